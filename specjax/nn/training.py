"""Training: from a dataset to a folder of checkpoints, metrics and pictures."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from specjax._core import distributed
from specjax.data import Dataset
from specjax.data.in_memory import Collected, collect
from specjax.nn import step as steps
from specjax.nn.checkpoints import Checkpoints
from specjax.nn.config import TrainConfig
from specjax.nn.document import RunDocument, has_document
from specjax.nn.feeding import Feed
from specjax.nn.log import Log
from specjax.nn.loops import on_cpu
from specjax.nn.network import network_of, task_of
from specjax.nn.preview import Preview
from specjax.nn.run import Run, open_run
from specjax.nn.setup import CACHE, begun, check_data, prepared
from specjax.nn.sharding import (
    check_batch,
    mesh_of,
    of_parameters,
    on_host,
    over_samples,
    place,
    placed_as,
    replicated,
)
from specjax.nn.step import Batch, TrainState
from specjax.nn.stopping import Stop, alone, anywhere
from specjax.nn.targets import network_shape
from specjax.nn.terms import TermCost, ramp
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.spectra.spectrum import Spectrum

Progress = Callable[[int, int, str], None]
"""Called with (updates made, all of them, the latest metrics as text)."""

_TOGETHER = 10
"""Updates in one call of an accelerator."""

_HELD_OUT = 1024
"""Samples of the validation, at most."""


def train(
    data: Dataset,
    out: str | os.PathLike[str],
    config: TrainConfig | None = None,
    *,
    spectrum: Spectrum | None = None,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> Run:
    """Train a network; go on where an earlier start of the same was ended, at whatever moment.

    On a CPU the parameters at the end are the same, bit for bit, as if it had never been ended.

    Args:
      data: from :func:`specjax.data.open`. out: the folder of the run. config: what is trained.
      spectrum: of the data, if it is known; by default the exact one up to 4,096 dimensions, the
        shift-invariant one beyond.
      mesh: of the axes "data" and "model" (:func:`specjax.nn.sharding.mesh_of`); all devices by
        default. progress: see :data:`Progress`.

    Returns:
      The run at its best checkpoint.

    Raises:
      ValueError: for a configuration that is not allowed or does not fit the data or the devices,
        a folder with another run, a loss that is not finite, a full disk.
      KeyboardInterrupt: after SIGINT or SIGTERM, with the last update in a checkpoint.
    """
    config = config or TrainConfig()
    config.check()
    folder = Path(out)
    mesh = mesh_of() if mesh is None else mesh
    check_batch(mesh, config.optimiser.batch, config.optimiser.accumulate)
    check_data(config, data, spectrum)
    if jax.process_index():  # the first process begins, the others do as it has done
        distributed.wait_for(lambda: has_document(folder))
    collected = collect(data, cache=prepared(folder) / CACHE)
    document, spectrum = begun(folder, config, data, collected, spectrum)
    _Training(folder, document, spectrum, collected, data.data_range, mesh, progress).run()
    return open_run(folder)


@dataclass
class _Training:
    """The loop.

    Attributes:
      spectrum: of the data under the run's noise. data_range: of the samples that were collected.
    """

    folder: Path
    document: RunDocument
    spectrum: Spectrum
    collected: Collected
    data_range: tuple[float, float] | None
    mesh: Mesh
    progress: Progress | None

    def __post_init__(self) -> None:
        self.config = self.document.config
        network = network_of(self.document)
        self.denoiser = network.denoiser
        self.task = task_of(self.document, network.denoiser, self.spectrum)
        self.noise = self._placed(self.task.noise)
        self.begin = lambda: steps.begin(self.task, network.begin())
        self.form = jax.eval_shape(partial(steps.begin, self.task), network.form)
        self.shardings = of_parameters(self.mesh, self.form)
        self.update = jax.jit(
            partial(steps.update, self.task),
            donate_argnums=0,
            out_shardings=(self.shardings, replicated(self.mesh)),
        )
        self.validate = jax.jit(partial(steps.validation_loss, self.task))
        self.feed, self.held_out = self._feeds()
        self.cost: TermCost | None = None

    def _placed(self, noise: NoiseSpectrum | None) -> NoiseSpectrum | None:
        """On all devices; white noise is None, and so no argument of a program."""
        known = jax.tree.map(lambda x: np.asarray(x, np.float32), noise)
        return place(known, jax.tree.map(lambda _: replicated(self.mesh), known))

    def _feeds(self) -> tuple[Feed, Feed]:
        """Samples to train on, and samples that are held out."""
        config, (samples, labels, _) = self.config, self.collected
        count = len(samples)
        order = np.random.default_rng([config.seed, 1]).permutation(count)
        out = min(int(count * config.optimiser.validation), _HELD_OUT)
        labels = labels if self.document.classes else None
        feeds = [
            Feed(
                samples, labels, np.sort(members), self.data_range, config.optimiser.batch,
                config.seed,
            )
            for members in (order[out:], order[:out] if out else order[:_HELD_OUT])
        ]  # fmt: skip
        return feeds[0], feeds[1]

    def run(self) -> None:
        """From the last checkpoint to the end."""
        total = self.config.optimiser.steps
        with alone(self.folder), Checkpoints(self.folder, self.document) as kept, Stop() as stop:
            state = self._restored(kept)
            begun = int(state.step)
            if begun >= total:
                return
            with self._log(begun) as log:
                self._go_on(state, begun, total, kept, log, stop)

    def _restored(self, kept: Checkpoints) -> TrainState:
        if not kept.steps:
            return place(self.begin(), self.shardings)
        return kept.restore(kept.steps[-1], placed_as(self.form, self.shardings))

    @contextlib.contextmanager
    def _log(self, step: int) -> Iterator[Log | None]:
        """Of the first process alone."""
        if jax.process_index():
            yield None
            return
        with Log(self.folder, step) as log:
            yield log

    def _go_on(
        self, state: TrainState, begun: int, total: int, kept: Checkpoints, log: Log | None,
        stop: Stop,
    ) -> None:  # fmt: skip
        keeping = self.config.keeping
        sizes = [1] * (total - begun) if on_cpu() else chunks(begun, total, keeping.cadences)
        preview = Preview(self.folder, self.document, self.spectrum, self.denoiser)
        pace = _Pace(begun, self.config.optimiser.batch)
        waiting: list[Any] = []
        step = begun
        batches = self.feed.batches(self.mesh, begun, sizes)
        for size, batch in zip(sizes, batches, strict=True):
            state, metrics = self.update(state, batch, self.noise)
            step += size
            waiting.append(metrics)
            logging = step % keeping.log_every == 0
            asked = anywhere(stop.asked, ask=logging)
            ending = step == total or asked
            if ending or logging:
                self._report(log, step, total, state, waiting, pace, kept)
                waiting = []
            if ending or step % keeping.checkpoint_every == 0:
                self._keep(kept, log, step, state)
            if keeping.samples_every and (step == total or step % keeping.samples_every == 0):
                params = on_host(state.ema)  # all processes have a part in it
                if log:
                    log.picture(step, preview.draw(step, params))
            if asked:
                break
        kept.wait()
        if step < total:
            raise KeyboardInterrupt

    def _report(
        self, log: Log | None, step: int, total: int, state: TrainState, waiting: list[Any],
        pace: _Pace, kept: Checkpoints,
    ) -> None:  # fmt: skip
        """A line of metrics; stops at a loss that is not finite."""
        gathered = [on_host(metrics) for metrics in waiting]
        rate = steps.learning_rate(self.config.optimiser)
        failed = int(on_host(state.failed))
        if failed >= 0:
            kept.wait()
            good = f"step {kept.steps[-1]}" if kept.steps else "none"
            raise ValueError(
                f"the loss is not finite at step {failed}, learning rate {float(rate(failed)):.3g};"
                f" last good checkpoint: {good}; train again with a lower --learning-rate or --clip"
            )
        names = sorted(gathered[0], key=lambda name: (not name.startswith("loss"), name))
        numbers = {
            name: float(np.mean(np.concatenate([m[name] for m in gathered]))) for name in names
        }
        speed = pace.since(step)
        numbers |= {"learning_rate": float(rate(step - 1)), **speed}
        if self.config.loss.weights:
            numbers |= self._of_terms(step, speed["steps_per_second"])
            pace.go_on()
        if log:
            log.write(step, numbers)
        if self.progress:
            text = f"loss {numbers['loss']:.4f}, {speed['samples_per_second']:,.0f} samples/s"
            self.progress(step, total, text)

    def _of_terms(self, step: int, steps_per_second: float) -> dict[str, float]:
        """How much of their weights counts, and the part of a step's time that each takes.

        That is not known of the first lines, as they have compilation in their time.
        """
        numbers = {"term_ramp": float(ramp(self.config.loss, step - 1))}
        if self.cost is None:
            self.cost = self._cost()
            return numbers
        seconds = self.cost.seconds()
        shares = {f"share_{name}": each * steps_per_second for name, each in seconds.items()}
        return numbers | shares

    def _cost(self) -> TermCost:
        config = self.config.optimiser
        return TermCost(
            self.config.loss, network_shape(self.document.shape, self.config.model.spatial),
            batch=config.batch // config.accumulate, parts=config.accumulate, mesh=self.mesh,
        )  # fmt: skip

    def _keep(self, kept: Checkpoints, log: Log | None, step: int, state: TrainState) -> None:
        """A checkpoint, once the state is known to be good, with its validation loss."""
        if int(on_host(state.failed)) >= 0:
            return  # told by the next report
        loss = self._validation_loss(state.ema)
        if log:
            log.write(step, {"validation_loss": loss})
        kept.save(state, loss)

    def _validation_loss(self, params: Any) -> float:
        """On the held-out samples, a batch at a time; the noise is always the same."""
        losses = [
            on_host(self.validate(params, batch, i, self.noise))
            for i, batch in enumerate(self.validation)
        ]
        return float(np.mean(losses))

    @functools.cached_property
    def validation(self) -> list[Batch]:
        """The held-out samples in batches of one size; a few may be left over."""
        config, devices = self.config.optimiser, self.mesh.devices.size
        members = self.held_out.members
        size = min(len(members), config.batch // config.accumulate)
        size = size // devices * devices or size
        shared = over_samples(self.mesh) if size % devices == 0 else replicated(self.mesh)
        found = []
        for start in range(0, len(members) - size + 1, size):
            rows = self.held_out.rows(members[start : start + size])
            found.append(place(rows, jax.tree.map(lambda _: shared, rows)))
        return found


def chunks(begun: int, total: int, cadences: Sequence[int]) -> list[int]:
    """How many updates go into each call, so that calls end where something is due.

    Ten, or one where something is due earlier: two programs.

    Example:
      >>> chunks(0, 23, [21])
      [10, 10, 1, 1, 1]
    """
    found, step = [], begun
    while step < total:
        due = min([total - step, *(each - step % each for each in cadences)])
        found.append(_TOGETHER if due >= _TOGETHER else 1)
        step += found[-1]
    return found


class _Pace:
    """Updates and samples a second, since the last time that was asked for."""

    def __init__(self, step: int, batch: int):
        self.step, self.batch, self.time = step, batch, time.perf_counter()

    def since(self, step: int) -> dict[str, float]:
        now = time.perf_counter()
        rate = (step - self.step) / max(now - self.time, 1e-9)
        self.step, self.time = step, now
        return {"steps_per_second": rate, "samples_per_second": rate * self.batch}

    def go_on(self) -> None:
        """Leave out the time since the last answer."""
        self.time = time.perf_counter()
