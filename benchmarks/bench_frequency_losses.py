"""What do terms that see frequencies cost in an update?

Updates with each term and without any, in turns in one process, each with a state of its own; the
quotient of every turn is taken, and the median of these. A second update without terms stands
beside them: what its quotient differs from 1 is the noise of the measurement. So does the share
that a training reports of itself (the term's value and gradient alone, over the step).
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from bench_training import batch_of, task_for
from common import parser, write

from specjax.nn import train_step as steps
from specjax.nn.config import LossConfig, ModelConfig, OptimiserConfig, TrainConfig
from specjax.nn.monitor import TermCost
from specjax.nn.sharding import mesh_of

SIZES = {
    "digits": ((8, 8), 64, ModelConfig()),
    "images": ((32, 32, 3), 16, ModelConfig(width=32, multipliers=(1, 2, 2))),
}
LOSSES = {
    "none": LossConfig(),
    "none, again": LossConfig(),
    "amplitude": LossConfig(terms=("amplitude=0.1",)),
    "amplitude_phase": LossConfig(terms=("amplitude_phase=0.1",)),
    "wavelet, haar": LossConfig(terms=("wavelet=0.1",)),
    "wavelet, bior1.3": LossConfig(terms=("wavelet=0.1",), wavelet="bior1.3"),
}


class Updates:
    """Updates of one configuration, compiled, with their state."""

    def __init__(self, shape: tuple[int, ...], config: TrainConfig):
        task, self.state = task_for(shape, config)
        self.batch = batch_of(shape, config.optimiser.batch)
        begun = time.perf_counter()
        program = jax.jit(partial(steps.update, task), donate_argnums=0)
        self.update: Callable[..., Any] = program.lower(self.state, self.batch).compile()
        self.compile_seconds = time.perf_counter() - begun
        self.seconds()

    def seconds(self) -> float:
        begun = time.perf_counter()
        self.state, metrics = self.update(self.state, self.batch)
        jax.block_until_ready((self.state, metrics))
        return time.perf_counter() - begun


def measured(size: str, repeat: int) -> list[dict]:
    shape, batch, model = SIZES[size]
    optimiser = OptimiserConfig(batch=batch)
    ways = {
        name: Updates(shape, TrainConfig(model=model, loss=loss, optimiser=optimiser))
        for name, loss in LOSSES.items()
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeat):
        order = list(ways)[:: 1 if turn % 2 else -1]  # who is first changes
        for name in order:
            found[name].append(ways[name].seconds())
    parameters = sum(leaf.size for leaf in jax.tree.leaves(ways["none"].state.params))
    about = {"data": size, "shape": shape, "batch": batch, "parameters": parameters}
    return [
        {
            **about,
            "terms": name,
            "compile_seconds": ways[name].compile_seconds,
            "seconds": statistics.median(seconds),
            **over(seconds, found["none"]),
            "share_alone": alone(name, shape, batch, statistics.median(seconds)),
        }
        for name, seconds in found.items()
        if name != "none"
    ]


def over(seconds: list[float], plain: list[float]) -> dict:
    quotients = np.divide(seconds, plain)
    return {
        "pairs": len(quotients),
        "seconds_without": statistics.median(plain),
        "overhead_of_pairs": float(np.median(quotients)) - 1,
        "overhead_of_pairs_quartiles": (np.quantile(quotients, [0.25, 0.75]) - 1).tolist(),
        "overhead_of_the_quickest": min(seconds) / min(plain) - 1,
    }


def alone(name: str, shape: tuple[int, ...], batch: int, seconds: float) -> float | None:
    """The share of an update as a training would report it."""
    config = LOSSES[name]
    if not config.weights:
        return None
    seen = shape if len(shape) == 3 else (*shape, 1)
    cost = TermCost(config, seen, batch=batch, parts=1, mesh=mesh_of())
    (taken,) = cost.seconds().values()
    return taken / seconds


def main(argv: list[str] | None = None) -> dict:
    made = parser(__doc__)
    made.add_argument("--data", nargs="+", choices=SIZES, default=list(SIZES))
    args = made.parse_args(argv)
    rows = [row for size in args.data for row in measured(size, args.repeat)]
    return write("frequency_losses", {"rows": rows}, args.folder)


if __name__ == "__main__":
    main()
