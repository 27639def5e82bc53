"""Training: from a dataset to a folder of checkpoints, metrics and pictures."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from specjax._core import checks, distributed
from specjax._core.checks import UserError
from specjax._core.progress import shows_progress
from specjax.data import Dataset
from specjax.data.in_memory import Collected, collect
from specjax.nn import train_step
from specjax.nn.batches import Samples
from specjax.nn.checkpoints import Checkpoints, open_checkpoints
from specjax.nn.config import TrainConfig
from specjax.nn.denoiser import initial_params, untrained
from specjax.nn.interrupt import Interrupt, deferred_signals
from specjax.nn.losses import term_ramp
from specjax.nn.monitor import MetricsLog, Preview, TermCost
from specjax.nn.noise_levels import noise_levels
from specjax.nn.run import Run, RunInfo, is_run, open_run
from specjax.nn.sharding import (
    check_batch,
    mesh_of,
    of_parameters,
    on_host,
    over_samples,
    replicated,
)  # fmt: skip
from specjax.nn.start import CACHE, check_data, folder_of_run, locked, start_or_resume
from specjax.nn.train_step import Batch, Task, TrainState, on_cpu
from specjax.spectra.spectrum import Spectrum

Progress = Callable[[int, int, str], None]
"""Called with (updates made, all of them, the latest metrics as text)."""

_UPDATES_PER_CALL = 10
"""Updates in one call of an accelerator's program."""

_HELD_OUT = 1024
"""Samples of the validation, at most."""


@shows_progress("training", "updates")
def train(
    data: Dataset,
    out: str | os.PathLike[str],
    config: TrainConfig | None = None,
    *,
    spectrum: Spectrum | None = None,
    mesh: Mesh | None = None,
    progress: Progress | Literal[False] | None = None,
) -> Run:
    """Train a network, or resume the training where an earlier start ended, at whatever moment.

    On a CPU the parameters at the end are the same, bit for bit, as if it had never been ended.

    Args:
      data: from :func:`specjax.data.open`.
      out: the folder of the run.
      config: the configuration; all defaults without one.
      spectrum: that of the data, if it is known; by default the exact one up to 4,096 dimensions,
        the shift-invariant one beyond.
      mesh: of the axes "data" and "model" (:func:`specjax.nn.sharding.mesh_of`); all devices by
        default.
      progress: see :data:`Progress`; by default a line on standard error in long calls, False
        for none.

    Returns:
      The run at its best checkpoint.

    Raises:
      UserError: for a configuration that is not allowed or does not fit the data or the devices,
        a folder with another run, a damaged checkpoint, a loss that is not finite, a full disk.
      KeyboardInterrupt: after SIGINT or SIGTERM, with the last update in a checkpoint.
    """
    config = config or TrainConfig()
    config.check()
    folder = Path(out)
    mesh = mesh_of() if mesh is None else mesh
    check_batch(mesh, config.optimiser.batch, config.optimiser.accumulate)
    check_data(config, data, spectrum)
    if jax.process_index():  # the first process starts the run, the others read what it wrote
        distributed.wait_for(lambda: is_run(folder))
    with folder_of_run(folder):
        collected = collect(data, cache=folder / CACHE)
        run = start_or_resume(folder, config, data, collected, spectrum)
    trainer = _Trainer(folder, run, mesh, progress or None)
    training, held_out = _split(run, collected, data.data_range)
    with locked(folder), open_checkpoints(folder) as checkpoints, deferred_signals() as interrupt:
        trainer.run(training, held_out, checkpoints, interrupt)
    return open_run(folder)


def _split(
    run: RunInfo, collected: Collected, data_range: tuple[float, float] | None
) -> tuple[Samples, Samples]:
    """The samples to train on, and those of the validation (the former, if none are held out)."""
    config, count = run.config, len(collected.samples)
    order = np.random.default_rng([config.seed, 1]).permutation(count)
    out = min(int(count * config.optimiser.validation), _HELD_OUT)
    labels = collected.labels if run.classes else None
    training, held_out = (
        Samples(
            collected.samples, labels, np.sort(members), data_range, config.optimiser.batch,
            config.seed,
        )
        for members in (order[out:], order[: out or _HELD_OUT])
    )  # fmt: skip
    return training, held_out


def make_task(run: RunInfo, denoiser: Callable[[Any], Any]) -> Task:
    """Return the task of training a run's denoiser, which is made of parameters."""
    levels = run.config.noise
    options = checks.named_values("noise_options", levels.noise_options)
    quantile = noise_levels(levels.noise_levels, run.effective, options)
    noise = run.effective.noise
    omits = noise is not None and noise.omitted > 0
    return Task(denoiser, run.classes, quantile, run.config, noise, omits)


class _Trainer:
    """The compiled programs of a run, and the loop that calls them."""

    def __init__(self, folder: Path, run: RunInfo, mesh: Mesh, progress: Progress | None):
        self.folder, self.config, self.mesh, self.progress = folder, run.config, mesh, progress
        network = untrained(run)
        self.shape = network.shape
        self.task = make_task(run, network.with_params)
        self.preview = Preview(folder, run, network.with_params)
        # The noise is an argument of the programs; white noise is None, and so is none of them.
        noise = jax.tree.map(lambda x: np.asarray(x, np.float32), self.task.noise)
        self.noise = jax.device_put(noise, replicated(mesh))
        self.initial = lambda: train_step.initial_state(self.task, initial_params(run))
        self.abstract = jax.eval_shape(partial(train_step.initial_state, self.task), network.params)
        self.shardings = of_parameters(mesh, self.abstract)
        self.update = jax.jit(
            partial(train_step.update, self.task),
            donate_argnums=0,
            out_shardings=(self.shardings, replicated(mesh)),
        )
        self.validate = jax.jit(partial(train_step.validation_loss, self.task))
        self.learning_rate = train_step.learning_rate(self.config.optimiser)
        self.term_cost: TermCost | None = None

    def run(
        self, training: Samples, held_out: Samples, checkpoints: Checkpoints, interrupt: Interrupt
    ) -> None:
        """Train from the last checkpoint to the end, or until a signal asks to stop."""
        keeping, total = self.config.keeping, self.config.optimiser.updates
        state = self._restored(checkpoints)
        step = start = int(state.step)
        if start >= total:
            return
        sizes = [1] * (total - start) if on_cpu() else call_sizes(start, total, keeping.intervals)
        validation = self._validation_batches(held_out)
        self.reported = start, time.perf_counter()
        waiting: list[Any] = []
        # The first process alone writes metrics and pictures.
        log = MetricsLog(self.folder, start) if jax.process_index() == 0 else None
        with contextlib.closing(log) if log else contextlib.nullcontext():
            batches = training.batches(self.mesh, start, sizes)
            for size, batch in zip(sizes, batches, strict=True):
                state, metrics = self.update(state, batch, self.noise)
                step += size
                waiting.append(metrics)
                reporting = step % keeping.log_every == 0
                stopping = interrupt.anywhere(ask=reporting)
                ending = step == total or stopping
                if ending or reporting:
                    self._check_finite(state, checkpoints)
                    self._report(log, step, waiting)
                    waiting = []
                if ending or step % keeping.checkpoint_every == 0:
                    self._save(checkpoints, log, step, state, validation)
                if keeping.samples_every and (step == total or step % keeping.samples_every == 0):
                    params = on_host(state.ema)  # all processes have a part in it
                    if log:
                        log.picture(step, self.preview.draw(step, params))
                if stopping:
                    break
        checkpoints.wait()
        if step < total:
            raise KeyboardInterrupt

    def _restored(self, checkpoints: Checkpoints) -> TrainState:
        """The state of the last checkpoint, or the initial one."""
        if not checkpoints.steps:
            return jax.device_put(self.initial(), self.shardings)
        like = jax.tree.map(
            lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
            self.abstract, self.shardings,
        )  # fmt: skip
        return checkpoints.restore(checkpoints.steps[-1], like)

    def _check_finite(self, state: TrainState, checkpoints: Checkpoints) -> None:
        """Stop at a loss or gradient that is not finite."""
        failed = int(on_host(state.failed))
        if failed < 0:
            return
        checkpoints.wait()
        good = f"step {checkpoints.steps[-1]}" if checkpoints.steps else "none"
        raise UserError(
            f"the loss is not finite at step {failed}, learning rate "
            f"{float(self.learning_rate(failed)):.3g}; last good checkpoint: {good}; train again "
            "with a lower --learning-rate or --clip"
        )

    def _report(self, log: MetricsLog | None, step: int, waiting: list[Any]) -> None:
        """Write a line of metrics, each the mean since the last line."""
        gathered = [on_host(metrics) for metrics in waiting]
        names = sorted(gathered[0], key=lambda name: (not name.startswith("loss"), name))
        means = {
            name: float(np.mean(np.concatenate([m[name] for m in gathered]))) for name in names
        }
        before, then = self.reported
        speed = (step - before) / max(time.perf_counter() - then, 1e-9)
        numbers = means | {
            "learning_rate": float(self.learning_rate(step - 1)),
            "steps_per_second": speed,
            "samples_per_second": speed * self.config.optimiser.batch,
        }
        if self.config.loss.weights:
            numbers |= self._term_metrics(step, speed)
        self.reported = step, time.perf_counter()  # what the terms' cost took is left out
        if log:
            log.write(step, numbers)
        if self.progress:
            text = f"loss {means['loss']:.4f}, {numbers['samples_per_second']:,.0f} samples/s"
            self.progress(step, self.config.optimiser.updates, text)

    def _term_metrics(self, step: int, steps_per_second: float) -> dict[str, float]:
        """The ramp of the terms' weights, and the share of a step's time that each term takes.

        The first line has no shares, as its time has compilation in it.
        """
        ramp = {"term_ramp": float(term_ramp(self.config.loss, step - 1))}
        if self.term_cost is None:
            config = self.config.optimiser
            self.term_cost = TermCost(
                self.config.loss, self.shape, batch=config.batch // config.accumulate,
                parts=config.accumulate, mesh=self.mesh,
            )  # fmt: skip
            return ramp
        seconds = self.term_cost.seconds()
        return ramp | {f"share_{name}": each * steps_per_second for name, each in seconds.items()}

    def _save(
        self, checkpoints: Checkpoints, log: MetricsLog | None, step: int, state: TrainState,
        validation: Sequence[Batch],
    ) -> None:  # fmt: skip
        """Begin to write a checkpoint of a finite state, with its validation loss."""
        if int(on_host(state.failed)) >= 0:
            return  # the next report stops the training
        losses = [
            on_host(self.validate(state.ema, batch, i, self.noise))
            for i, batch in enumerate(validation)
        ]
        loss = float(np.mean(losses))
        if log:
            log.write(step, {"validation_loss": loss})
        checkpoints.save(state, loss)

    def _validation_batches(self, held_out: Samples) -> list[Batch]:
        """The held-out samples in batches of one size; a few may be left over."""
        config, devices, members = self.config.optimiser, self.mesh.devices.size, held_out.members
        size = min(len(members), config.batch // config.accumulate)
        size = size // devices * devices or size
        sharding = over_samples(self.mesh) if size % devices == 0 else replicated(self.mesh)
        batches = []
        for start in range(0, len(members) - size + 1, size):
            rows = held_out.rows(members[start : start + size])
            batches.append(jax.device_put(rows, sharding))
        return batches


def call_sizes(start: int, total: int, intervals: Sequence[int]) -> list[int]:
    """Return how many updates go into each call, so that calls end where something is due.

    There are ten, or one where something is due earlier: two programs.

    Example:
      >>> call_sizes(0, 23, [21])
      [10, 10, 1, 1, 1]
    """
    sizes, step = [], start
    while step < total:
        due = min([total - step, *(each - step % each for each in intervals)])
        sizes.append(_UPDATES_PER_CALL if due >= _UPDATES_PER_CALL else 1)
        step += sizes[-1]
    return sizes
