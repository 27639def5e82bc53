"""Updates of a network's training, compiled, as several benchmarks time them."""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
from common import clock, in_turns, overhead

import specjax as sx
from specjax.nn import train_step as steps
from specjax.nn.config import ModelConfig, OptimiserConfig, TrainConfig
from specjax.nn.denoiser import initial_params, untrained
from specjax.nn.run import RunInfo
from specjax.nn.train_step import Batch
from specjax.nn.training import make_task

SIZES = {
    "digits": ((8, 8), 64, ModelConfig()),
    "images": ((32, 32, 3), 16, ModelConfig(width=32, multipliers=(1, 2, 2))),
}
"""Shape, batch and network."""

Shape = tuple[int, ...]


def run_info(shape: Shape, config: TrainConfig) -> RunInfo:
    return RunInfo(
        config=config, content="", shape=shape, class_names=(), source={}, sigma_data=0.5,
        spectrum=sx.Spectrum.power_law(64, 1.0), versions={},
    )  # fmt: skip


def network_for(shape: Shape, config: TrainConfig) -> Any:
    return untrained(run_info(shape, config))


def task_for(shape: Shape, config: TrainConfig) -> tuple[steps.Task, steps.TrainState]:
    run = run_info(shape, config)
    task = make_task(run, untrained(run).with_params)
    return task, steps.initial_state(task, initial_params(run))


def batch_of(shape: Shape, n: int, k: int = 1) -> Batch:
    return Batch(jax.random.uniform(jax.random.key(0), (k, n, *shape), minval=-1), None)


class Updates:
    """Updates of one configuration, compiled, with their state; noise is an argument."""

    def __init__(self, shape: Shape, config: TrainConfig, together: int = 1):
        task, self.state = task_for(shape, config)
        noise = config.forward.spectrum(shape)
        self.arguments: tuple[Any, ...] = (batch_of(shape, config.optimiser.batch, together),)
        if noise is not None:
            noise32 = jax.tree.map(lambda x: jax.numpy.asarray(x, "float32"), noise)
            omits = noise.omitted > 0
            task = steps.Task(task.denoiser, 0, task.quantile, config, noise32, omits)
            self.arguments += (noise32,)
        program = jax.jit(partial(steps.update, task), donate_argnums=0)
        begun = time.perf_counter()
        self.update: Callable[..., Any] = program.lower(self.state, *self.arguments).compile()
        self.compile_seconds = time.perf_counter() - begun
        self.metrics: Any = None
        self()

    def __call__(self) -> Any:
        self.state, self.metrics = self.update(self.state, *self.arguments)
        return self.state, self.metrics

    @property
    def parameters(self) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(self.state.params))


def compare_updates(
    size: str, kind: str, configs: Mapping[str, dict[str, Any]], repeat: int,
    alone: Callable[[str, Shape, int], float | None],
) -> list[dict[str, Any]]:  # fmt: skip
    """Time updates of several configurations in turns; the first is the plain one.

    Args:
      kind: the name of what differs. configs: fields of TrainConfig by name.
      alone: seconds of what an update does more, measured by itself, of a name, shape and batch.
    """
    shape, batch, model = SIZES[size]
    optimiser = OptimiserConfig(batch=batch)
    ways = {
        name: Updates(shape, TrainConfig(model=model, optimiser=optimiser, **options))
        for name, options in configs.items()
    }
    found = in_turns(ways, repeat)
    (plain, without), *others = found.items()
    rows = []
    for name, seconds in others:
        median, more = statistics.median(seconds), alone(name, shape, batch)
        rows.append({
            "data": size,
            "shape": shape,
            "batch": batch,
            "parameters": ways[plain].parameters,
            kind: name,
            "compile_seconds": ways[name].compile_seconds,
            "seconds": median,
            "seconds_without": statistics.median(without),
            **overhead(seconds, without),
            "share_alone": None if more is None else more / median,
        })  # fmt: skip
    return rows


def median_seconds(function: Callable[..., Any], *args: Any, repeat: int = 20) -> float:
    clock(function, *args)
    return statistics.median(clock(function, *args)[0] for _ in range(repeat))
