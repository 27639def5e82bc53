"""Run folders by ``specjax train``, and denoisers in Python: their data, and how samples are drawn.

A denoiser in Python (:mod:`specjax.cli.python_denoiser`) stands where a run does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax import data as datasets
from specjax import files
from specjax._core import checks, distributed
from specjax._core.checks import UserError
from specjax._core.extras import import_extra
from specjax.cli.console import status
from specjax.cli.data import Reading
from specjax.cli.guidance import Guidance
from specjax.cli.python_denoiser import PythonDenoiser, is_named, open_denoiser
from specjax.cli.schedules import SPECTRAL, schedule_for
from specjax.spectra.estimate import check_same_data, check_units

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from specjax.fitting.learned import LearnedResult
    from specjax.nn.run import Run

_KEPT = ("data_range", "limit", "shard", "seed")
"""Options that built-in sets are read with, as the source of a run has them."""


def is_run(path: str) -> bool:
    """Tell whether there is a run folder of that name, or it is that of a denoiser in Python."""
    return is_named(path) or (Path(path) / "run.json").is_file()


def open_run(
    folder: str, checkpoint: str, shape: tuple[int, ...] = (), labels: tuple[int, ...] = ()
) -> Run | PythonDenoiser:
    """Open a run at the given checkpoint, or a denoiser in Python.

    Args:
      folder: of a run; or FILE.py:NAME or MODULE:NAME.
      checkpoint: best, last or a number.
      shape: of one sample of a denoiser.
      labels: classes that a denoiser is told.

    Raises:
      UserError: for an option that is none of a run's, or none of a denoiser's.
    """
    if is_named(folder):
        if checkpoint != "best":
            raise UserError(f"checkpoint = {checkpoint}: {folder} is no run, it has no checkpoints")
        return open_denoiser(folder, shape, labels)
    if shape:
        raise UserError(f"shape = {shape}: {folder} is a run, which knows its own: leave it out")
    import_extra("flax.nnx", "train", f"the network of {folder}")
    from specjax.nn import run

    with status(f"opening {folder}"):
        return run.open_run(folder, checkpoint_of(checkpoint))


def checkpoint_of(text: str) -> str | int:
    """Convert ``--checkpoint`` to what :func:`specjax.nn.open_run` takes."""
    return int(text) if text.isdecimal() else text


def data_of_run(
    run: Run | PythonDenoiser, name: str, data: str | None, reading: Reading
) -> datasets.Dataset:
    """Open the given data, or those that the network was trained on if they are built in.

    Raises:
      UserError: for data of another shape, in other units or in another range than those of the
        training, and where none are given and those of the training are not built in.
    """
    if data is not None:
        opened = datasets.open(data, reading)
    else:
        own = str(run.source.get("name"))
        if own not in datasets.BUILTIN:
            given = f"{own}, which is not built in: give it, or data like it,"
            if isinstance(run, PythonDenoiser):
                given = "data that are not known here: give them, or data like them,"
            raise UserError(f"{name} was trained on {given} by --data")
        kept = {key: run.source[key] for key in _KEPT if run.source.get(key) is not None}
        opened = datasets.open(own, **kept)
        if "corruption" in run.source:
            opened = datasets.corrupted(opened, **run.source["corruption"])
    check_same_data(run.source, run.shape, opened.source, first=name, second=opened.name)
    return opened


@dataclass(frozen=True, kw_only=True)
class RunSampling(Guidance):
    """How a run draws samples."""

    sampler: str | None = None
    """ddim, ddpm, euler_ancestral, heun, dpmpp_2m, dpmpp_2m_sde or lms; by default that of the
    schedule file, else ddim"""
    sampler_options: tuple[str, ...] = ()
    """the sampler's own options, such as eta=0.5"""
    process: str | None = None
    """vp, ve or flow; by default that of the schedule file, else vp"""
    labels: tuple[int, ...] = ()
    """classes of a conditional run, repeated in turn; by default all of them"""
    batch: int | None = None
    """samples in one call of the network; by default what fits the memory"""
    devices: int | None = None
    """how many devices are used, by default all (a CPU is cut into that many)"""
    checkpoint: str = "best"
    """which checkpoint: best (the least validation loss), last, or its number"""
    shape: tuple[int, ...] = ()
    """of one sample of a denoiser in Python that does not say it, such as 3 32 32"""

    def open(self, folder: str) -> Run | PythonDenoiser:
        """Open the run at its checkpoint, with the devices that are asked for."""
        if self.devices is not None:
            distributed.use_all_cores(self.devices)
        return open_run(folder, self.checkpoint, self.shape, self.labels)

    def mesh(self) -> Mesh | None:
        """Return a mesh of this process's devices; None for a single one."""
        mesh = distributed.local_mesh(self.devices)
        return mesh if mesh.size > 1 else None

    def labels_for(self, run: Run | PythonDenoiser, n: int) -> np.ndarray | None:
        """Return the classes [n] of n samples; None without classes."""
        if self.labels:
            run.denoiser(np.asarray(self.labels))  # refuses labels that it has not learned
        classes = np.asarray(self.labels or range(run.classes), np.int32)
        return np.resize(classes, n) if classes.size else None

    def schedule_on(
        self, run: Run | PythonDenoiser, name: str, schedule: str | None, steps: int | None
    ) -> LearnedResult:
        """Read or make a schedule, and refuse one for other units or another noise than the run's.

        Args:
          name: what errors call the run. schedule, steps: see :func:`schedule_for`.
        """
        from specjax.noise.noise_spectrum import check_noise

        result = schedule_for(schedule, steps, lambda: run.effective)
        if result.kept != "given":  # levels alone are for no noise and no data
            check_units(result.source, run.source, schedule=str(schedule), data=name)
            check_noise(result.noise, run.noise, what=str(schedule), where=name)
        return result

    def applied(self, result: LearnedResult, schedule: str | None) -> LearnedResult:
        """Return the schedule with the sampler and process that are asked for; plans keep theirs.

        Raises:
          UserError: for another sampler or options beside a plan; another process is only another
            scale of it.
        """
        process = self.process or result.process
        if result.corrections is not None:
            if self.sampler not in (None, result.sampler) or self.sampler_options:
                raise UserError(
                    f"sampler = {self.sampler!r}, sampler_options = {self.sampler_options!r} "
                    f"beside {schedule}, a plan with a sampler of its own: leave them out, or "
                    "give the plan's sigmas as a list"
                )
            return replace(result, process=process)
        sampler = self.sampler or result.sampler
        options = checks.named_values("sampler_options", self.sampler_options)
        if sampler == result.sampler:
            options = {**result.sampler_options, **options}
        return replace(result, sampler=sampler, sampler_options=options, process=process)


def run_facts(run: Run | PythonDenoiser, folder: str) -> dict[str, Any]:
    """Return what is kept of a run beside its samples; the run itself has the rest."""
    from specjax.sampling.guidance import guided_in

    noise = run.noise
    about = None if noise is None else {"name": noise.name, "fingerprint": noise.fingerprint}
    step = None if run.step is None else int(run.step)
    facts = {"run": folder, "step": step, "data": files.plain(run.source), "noise": about}
    if (guided := guided_in(run.denoiser())) is not None:
        weight = np.ravel(guided.weight).tolist()
        facts["guided"] = {"weight": weight, "interval": guided.interval}
    return facts


def plan_facts(result: LearnedResult, schedule: str | None) -> dict[str, Any]:
    """Return the plan that is run: enough to make it again."""
    facts = {
        "schedule": schedule or SPECTRAL,
        "logsnr": files.numbers(result.schedule.logsnr),
        "sampler": result.sampler,
        "sampler_options": dict(result.sampler_options),
        "process": result.process,
        "calls": result.plan.calls,
    }
    if result.corrections is not None:
        facts["corrections"] = files.corrections_document(result.corrections)
    if result.guidance is not None:
        facts["guidance"] = files.numbers(result.guidance)
    return facts
