"""What does noise with a spectrum cost in an update?

Updates under each noise and under white noise, in turns in one process, each with a state of its
own; the quotient of every turn is taken, and the median of these. A second update under white noise
stands beside them: what its quotient differs from 1 is the noise of the measurement. "omit" leaves
a band out, of which the network's answers are cleaned, too.
"""

import statistics
import time
from functools import partial
from typing import Any

import jax
from bench_frequency_losses import SIZES, over
from bench_training import batch_of, task_for
from common import parser, write

from specjax.files.forward_noise import ForwardNoise
from specjax.nn import train_step as steps
from specjax.nn.config import OptimiserConfig, TrainConfig

POWER_LAW = ForwardNoise(noise="power-law", noise_exponent=-0.06)
NOISES = {
    "white": ForwardNoise(),
    "white, again": ForwardNoise(),
    "fourier": POWER_LAW,
    "cosine": ForwardNoise(noise="power-law", noise_exponent=-0.06, noise_basis="cosine"),
    "omit": ForwardNoise(noise_omit=(0.4, 0.6)),
}


class Updates:
    """Updates under one noise, compiled, with their state; the noise is an argument."""

    def __init__(self, shape: tuple[int, ...], config: TrainConfig):
        task, self.state = task_for(shape, config)
        noise = config.forward.spectrum(shape)
        self.noise = jax.tree.map(lambda x: jax.numpy.asarray(x, "float32"), noise)
        omits = noise is not None and noise.omitted > 0
        task = steps.Task(task.denoiser, 0, task.quantile, config, self.noise, omits)
        self.batch = batch_of(shape, config.optimiser.batch)
        program = jax.jit(partial(steps.update, task), donate_argnums=0)
        begun = time.perf_counter()
        self.update: Any = program.lower(self.state, self.batch, self.noise).compile()
        self.compile_seconds = time.perf_counter() - begun
        self.seconds()

    def seconds(self) -> float:
        begun = time.perf_counter()
        self.state, metrics = self.update(self.state, self.batch, self.noise)
        jax.block_until_ready((self.state, metrics))
        return time.perf_counter() - begun


def coloring(shape: tuple[int, ...], batch: int, forward: ForwardNoise) -> float:
    """Seconds of T alone, on a batch: what an update takes more at the least."""
    noise = forward.spectrum(shape)
    white = jax.random.normal(jax.random.key(0), (batch, *shape))
    if noise is None:
        return 0.0
    color = jax.jit(lambda noise, white: noise.color(white))
    found = []
    for _ in range(20):
        begun = time.perf_counter()
        color(noise, white).block_until_ready()
        found.append(time.perf_counter() - begun)
    return statistics.median(found)


def measured(size: str, repeat: int) -> list[dict]:
    shape, batch, model = SIZES[size]
    optimiser = OptimiserConfig(batch=batch)
    ways = {
        name: Updates(shape, TrainConfig(model=model, forward=forward, optimiser=optimiser))
        for name, forward in NOISES.items()
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeat):
        order = list(ways)[:: 1 if turn % 2 else -1]  # who is first changes
        for name in order:
            found[name].append(ways[name].seconds())
    parameters = sum(leaf.size for leaf in jax.tree.leaves(ways["white"].state.params))
    about = {"data": size, "shape": shape, "batch": batch, "parameters": parameters}
    return [
        {
            **about,
            "noise": name,
            "compile_seconds": ways[name].compile_seconds,
            "seconds": statistics.median(seconds),
            **over(seconds, found["white"]),
            "share_alone": coloring(shape, batch, NOISES[name]) / statistics.median(seconds),
        }
        for name, seconds in found.items()
        if name != "white"
    ]


def main(argv: list[str] | None = None) -> dict:
    made = parser(__doc__)
    made.add_argument("--data", nargs="+", choices=SIZES, default=list(SIZES))
    args = made.parse_args(argv)
    rows = [row for size in args.data for row in measured(size, args.repeat)]
    return write("noise", {"rows": rows}, args.folder)


if __name__ == "__main__":
    main()
