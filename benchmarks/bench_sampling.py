"""What does sampling cost beyond the calls of the network?

``generate`` against jitted calls of the same network on the same batch, in one process: on a CPU
call by call in turns, so that other load falls on both; on an accelerator, where all calls are one
program, loop by loop. Beside it a denoiser that costs nothing, whose time is all overhead.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from common import parser, write
from flax import nnx

import specjax as sx
from specjax.nn.denoiser import NetworkDenoiser
from specjax.nn.unet import UNet
from specjax.sampling.generate import generate

SHAPE = (8, 8)
SAMPLERS = ("ddim", "dpmpp_2m", "ddpm")
Times = tuple[list[float], list[float]]
"""Seconds a call, of generate and of the bare network."""


def network(width: int) -> tuple[NetworkDenoiser, int]:
    """A UNet for digits as a denoiser, and the number of its parameters."""
    graph, params = nnx.split(UNet((*SHAPE, 1), width=width, blocks=1, rngs=nnx.Rngs(0)))
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    return NetworkDenoiser(params, graph, "f", 0.5, (*SHAPE, 1)), count


def free(x: jax.Array, alpha: jax.Array, sigma: jax.Array) -> jax.Array:
    """A denoiser that costs nothing."""
    return x


@jax.jit
def call(denoise: NetworkDenoiser, x: jax.Array, alpha: Any, sigma: Any) -> jax.Array:
    return denoise(x, alpha, sigma)


def seconds(function: Callable[..., Any], *args: Any) -> float:
    begun = time.perf_counter()
    jax.block_until_ready(function(*args))
    return time.perf_counter() - begun


def call_by_call(plan: sx.SamplerPlan, denoise: NetworkDenoiser, batch: int, repeat: int) -> Times:
    """In turns; the first call of a run, with the start noise, is left out."""
    x = jax.random.normal(jax.random.key(0), (batch, *SHAPE))
    level = np.float32(plan.alpha[0]), np.float32(plan.sigma[0])
    own: list[float] = []
    bare: list[float] = []
    for _ in range(repeat):
        mark = None

        def between(done: int, n: int) -> None:
            nonlocal mark
            if mark is not None:
                own.append(time.perf_counter() - mark)
                bare.append(seconds(call, denoise, x, *level))
            mark = time.perf_counter()

        generate(plan, denoise, batch, SHAPE, batch=batch, progress=between)
    return own, bare


def loop_by_loop(plan: sx.SamplerPlan, denoise: NetworkDenoiser, batch: int, repeat: int) -> Times:
    """In turns; who is first changes from pair to pair."""
    levels = np.float32(np.stack([plan.alpha, plan.sigma], 1))

    def bare() -> np.ndarray:
        x = jax.random.normal(jax.random.key(0), (batch, *SHAPE))
        for level in levels:
            x = call(denoise, x, *level)
        return np.asarray(x)

    both = (lambda: generate(plan, denoise, batch, SHAPE, batch=batch), bare)
    found: Times = ([], [])
    for i in range(repeat):
        for which in ((0, 1), (1, 0))[i % 2]:
            found[which].append(seconds(both[which]) / plan.calls)
    return found


def row(sampler: str, steps: int, batch: int, denoise: NetworkDenoiser, repeat: int) -> dict:
    plan = sx.plan(sampler, sx.family("cosine", steps))
    first = seconds(lambda: generate(plan, denoise, batch, SHAPE, batch=batch))
    on_cpu = jax.default_backend() == "cpu"
    compare = call_by_call if on_cpu else loop_by_loop
    compare(plan, denoise, batch, 1)
    own, bare = compare(plan, denoise, batch, repeat)
    empty = [seconds(lambda: generate(plan, free, batch, SHAPE, batch=batch)) for _ in range(41)]
    ratios = [a / b for a, b in zip(own, bare, strict=True)]
    return {
        "sampler": sampler,
        "calls": plan.calls,
        "first_seconds_with_compilation": first,
        "pairs": len(ratios),
        "seconds_per_call": statistics.median(own),
        "bare_seconds_per_call": statistics.median(bare),
        "overhead": statistics.median(own) / statistics.median(bare) - 1,
        "overhead_of_pairs": statistics.median(ratios) - 1,
        "overhead_of_pairs_quartiles": [x - 1 for x in np.quantile(ratios, [0.25, 0.75]).tolist()],
        "overhead_of_the_quickest": min(own) / min(bare) - 1,
        "free_network_seconds_per_call": statistics.median(empty) / plan.calls,
    }


def main(argv: list[str] | None = None) -> dict:
    made = parser(__doc__)
    made.add_argument("--steps", type=int, default=50)
    made.add_argument("--batch", type=int, default=64)
    made.add_argument("--width", type=int, default=28)
    args = made.parse_args(argv)
    denoise, parameters = network(args.width)
    rows = [row(sampler, args.steps, args.batch, denoise, args.repeat) for sampler in SAMPLERS]
    result = {"shape": SHAPE, "batch": args.batch, "parameters": parameters, "rows": rows}
    return write("sampling", result, args.folder)


if __name__ == "__main__":
    main()
