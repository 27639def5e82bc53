"""What does sampling cost beyond the calls of the network?

``generate`` against jitted calls of the same network on the same batch, in one process: on a CPU
call by call in turns, so that other load falls on both; on an accelerator, where all calls are one
program, loop by loop. Beside it a denoiser that costs nothing, whose time is all overhead.
"""

import statistics
import time
from typing import Any

import jax
import numpy as np
from common import clock, in_turns, options, overhead, write
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
    """Make a UNet for digits a denoiser; give the number of its parameters."""
    graph, params = nnx.split(UNet((*SHAPE, 1), width=width, blocks=1, rngs=nnx.Rngs(0)))
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    return NetworkDenoiser(params, graph, "f", 0.5, (*SHAPE, 1)), count


def free(x: jax.Array, alpha: jax.Array, sigma: jax.Array) -> jax.Array:
    """Denoise at no cost."""
    return x


@jax.jit
def call(denoise: NetworkDenoiser, x: jax.Array, alpha: Any, sigma: Any) -> jax.Array:
    return denoise(x, alpha, sigma)


def call_by_call(plan: sx.SamplerPlan, denoise: NetworkDenoiser, batch: int, repeat: int) -> Times:
    """Take turns at each call; the first of a run, with the start noise, is left out."""
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
                bare.append(clock(call, denoise, x, *level)[0])
            mark = time.perf_counter()

        generate(plan, denoise, batch, SHAPE, batch=batch, progress=between)
    return own, bare


def loop_by_loop(plan: sx.SamplerPlan, denoise: NetworkDenoiser, batch: int, repeat: int) -> Times:
    """Take turns at each run of all calls."""
    levels = np.float32(np.stack([plan.alpha, plan.sigma], 1))

    def bare() -> np.ndarray:
        x = jax.random.normal(jax.random.key(0), (batch, *SHAPE))
        for level in levels:
            x = call(denoise, x, *level)
        return np.asarray(x)

    ways = {"own": lambda: generate(plan, denoise, batch, SHAPE, batch=batch), "bare": bare}
    own, other = in_turns(ways, repeat).values()
    return [x / plan.calls for x in own], [x / plan.calls for x in other]


def row(sampler: str, steps: int, batch: int, denoise: NetworkDenoiser, repeat: int) -> dict:
    plan = sx.plan(sampler, sx.family("cosine", steps))
    first, _ = clock(lambda: generate(plan, denoise, batch, SHAPE, batch=batch))
    on_cpu = jax.default_backend() == "cpu"
    compare = call_by_call if on_cpu else loop_by_loop
    compare(plan, denoise, batch, 1)
    own, bare = compare(plan, denoise, batch, repeat)
    empty = [clock(lambda: generate(plan, free, batch, SHAPE, batch=batch))[0] for _ in range(41)]
    return {
        "sampler": sampler,
        "calls": plan.calls,
        "first_seconds_with_compilation": first,
        "seconds_per_call": statistics.median(own),
        "bare_seconds_per_call": statistics.median(bare),
        "overhead": statistics.median(own) / statistics.median(bare) - 1,
        **overhead(own, bare),
        "free_network_seconds_per_call": statistics.median(empty) / plan.calls,
    }


def main(argv: list[str] | None = None) -> dict:
    args = options(argv, __doc__, steps=50, batch=64, width=28)
    denoise, parameters = network(args.width)
    rows = [row(sampler, args.steps, args.batch, denoise, args.repeat) for sampler in SAMPLERS]
    result = {"shape": SHAPE, "batch": args.batch, "parameters": parameters, "rows": rows}
    return write("sampling", result, args.folder)


if __name__ == "__main__":
    main()
