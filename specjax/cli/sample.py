"""``specjax sample``: what a trained network makes along any schedule."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.cli.console import print_json, progress, status
from specjax.cli.schedules import SPECTRAL, Found, levels_of, noise_of, schedule_for, source_of
from specjax.files import corrections_document
from specjax.fitting.learned import FitResult, PlanResult
from specjax.noise.noise_spectrum import NoiseSpectrum, check_noise
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.units import check_units

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from specjax.nn.run import Run
    from specjax.sampling.step import SamplerPlan


@dataclass(frozen=True, kw_only=True)
class Along:
    """How samples come about: the schedule and the sampler."""

    schedule: str | None = None
    """a schedule file, a plan file (which says what is done with the network's answers, too), a
    list of sigmas, the name of a family, or spectral (the default): the closed-form schedule of
    the run's own spectrum"""
    steps: int | None = None
    """S, for a family and spectral (by default 50)"""
    sampler: str | None = None
    """ddim, ddpm, euler_ancestral, heun, dpmpp_2m, dpmpp_2m_sde or lms; by default that of the
    schedule file, else ddim"""
    sampler_options: tuple[str, ...] = ()
    """the sampler's own options, such as eta=0.5"""
    process: str | None = None
    """vp or ve; by default that of the schedule file, else vp"""

    def check(self) -> None:
        """Refuse what can be refused before the run is read."""
        if self.steps is not None:
            checks.whole_number("steps", self.steps)
        if self.schedule not in (None, SPECTRAL):
            self.planned(schedule_for(self.schedule, self.steps, _no_spectrum))
        else:
            self.planned(NoiseSchedule.from_sigmas([1.0, 0.0]))

    def found(self, run: Run, name: str) -> Found:
        """The schedule, of the units and the noise of the run."""
        found = schedule_for(self.schedule, self.steps, lambda: run.effective)
        check_units(source_of(found), run.source, schedule=str(self.schedule), data=name)
        if not isinstance(found, NoiseSchedule):  # plain levels are of no noise
            check_noise(noise_of(found), run.noise, what=str(self.schedule), where=name)
        return found

    def choice(self, found: Found) -> tuple[str, dict[str, Any], str]:
        """Sampler, options and process: what is given goes before what the file says."""
        if isinstance(found, PlanResult) and found.corrections is not None:
            self._check_beside(found)
            return found.sampler, dict(found.sampler_options), self.process or found.process
        of_file = found if isinstance(found, FitResult) else None
        sampler = self.sampler or (of_file.sampler if of_file else "ddim")
        options = checks.named_values("sampler_options", self.sampler_options)
        if of_file and sampler == of_file.sampler:
            options = {**of_file.sampler_options, **options}
        return sampler, options, self.process or (of_file.process if of_file else "vp")

    def _check_beside(self, plan: PlanResult) -> None:
        """Refuse what a plan already says; another process is but another scale of it."""
        if self.sampler not in (None, plan.sampler):
            given = f"sampler = {self.sampler!r}"
        elif self.sampler_options:
            given = f"sampler_options = {' '.join(self.sampler_options)}"
        else:
            return
        raise UserError(
            f"{given} beside {self.schedule}, a plan, which says what is done with the network's "
            "answers: leave it out, or give the plan's sigmas as a list"
        )

    def planned(self, found: Found) -> SamplerPlan:
        """The plan along the schedule, or that of the file."""
        from specjax.sampling.samplers import plan

        sampler, options, process = self.choice(found)
        if isinstance(found, PlanResult) and found.corrections is not None:
            return found.plan_in(process)
        return plan(sampler, levels_of(found), process, **options)

    def facts(self, found: Found) -> dict[str, Any]:
        """The plan that is run: enough to make it again."""
        sampler, options, process = self.choice(found)
        facts = {
            "schedule": self.schedule or SPECTRAL,
            "logsnr": files.numbers(levels_of(found).logsnr),
            "sampler": sampler,
            "sampler_options": options,
            "process": process,
            "calls": self.planned(found).calls,
        }
        if isinstance(found, PlanResult) and found.corrections is not None:
            facts["corrections"] = corrections_document(found.corrections)
        return facts


def _no_spectrum() -> Any:
    raise AssertionError("only the spectral schedule needs a spectrum")


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How many samples, of what, and how they are computed."""

    n: int = 64
    """how many samples"""
    labels: tuple[int, ...] = ()
    """classes of a conditional run, repeated in turn until there are n; by default all of them"""
    seed: int = 0
    """of the noise; sample i has the same noise whatever n, batch and devices"""
    batch: int | None = None
    """samples in one call of the network; by default what fits the memory"""
    devices: int | None = None
    """how many devices are used, by default all (a CPU is cut into that many)"""

    def check(self) -> None:
        """Refuse what can be refused before the run is read."""

        checks.whole_number("n", self.n)
        checks.seed(self.seed)
        for name in ("batch", "devices"):
            if getattr(self, name) is not None:
                checks.whole_number(name, getattr(self, name))
        if self.batch is not None and self.devices is not None:
            self.check_batch(self.devices)

    def check_batch(self, devices: int) -> None:
        """Refuse a batch that does not divide over the devices."""
        if self.batch is not None and self.batch % devices:
            raise UserError(
                f"batch = {self.batch} does not divide over {devices} devices: give a multiple"
            )

    def of_run(self, run: Run, name: str) -> np.ndarray | None:
        """The labels [n] of the samples, or None."""
        if not run.classes and self.labels:
            raise UserError(f"labels: {name} was trained without classes; leave --labels out")
        for label in self.labels:
            if not 0 <= label < run.classes:
                raise UserError(f"labels = {label}: {name} has classes 0 to {run.classes - 1}")
        if not run.classes:
            return None
        return np.resize(np.asarray(self.labels or range(run.classes), np.int32), self.n)

    def mesh(self) -> Mesh | None:
        """Over the devices of this process, where they are several."""
        import jax

        own = jax.local_devices()
        if (self.devices or 1) > len(own):
            raise UserError(f"devices = {self.devices}: there are {len(own)}")
        own = own[: self.devices]
        return jax.sharding.Mesh(np.array(own), ("samples",)) if len(own) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Samples of a trained network along any schedule: a picture, sounds or arrays."""

    run_folder: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]] = tyro.MISSING
    """a run folder by 'specjax train'"""
    along: Annotated[Along, tyro.conf.arg(name="")] = Along()
    drawing: Annotated[Drawing, tyro.conf.arg(name="")] = Drawing()
    step: str = "best"
    """which checkpoint: best (the least validation loss), last, or the number of its step"""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "samples.png"
    """.png (one picture of all), .npz (arrays and how they were made), .npy, .wav (one sound), or
    a new folder of numbered pictures or sounds"""
    json: bool = False
    """print JSON instead of text"""

    def run(self) -> None:
        """The run, the plan, the samples, the file."""
        from specjax._core import distributed
        from specjax.files.samples import check_target, write_samples
        from specjax.sampling.generate import generate

        self.drawing.check()
        step = step_of(self.step)
        check_target(self.out, self.drawing.n)
        self.along.check()
        if self.drawing.devices is not None:
            distributed.use_all_cores(self.drawing.devices)
        from specjax.nn.run import open_run

        mesh = self.drawing.mesh()
        self.drawing.check_batch(mesh.size if mesh else 1)
        with status(f"opening {self.run_folder}"):
            run = open_run(self.run_folder, step)
        check_target(self.out, self.drawing.n, run.shape, run.source)
        found = self.along.found(run, self.run_folder)
        labels = self.drawing.of_run(run, self.run_folder)
        plan, begun = self.along.planned(found), time.perf_counter()
        with progress("sampling", "samples", long=True) as update:
            samples = generate(
                plan, run.denoiser(), self.drawing.n, run.shape, seed=self.drawing.seed,
                labels=labels, batch=self.drawing.batch, mesh=mesh, noise=run.noise,
                progress=update,
            )  # fmt: skip
        seconds = time.perf_counter() - begun
        self._check_finite(samples)
        facts = self._facts(run, found, labels)
        with status("writing"):
            written = write_samples(self.out, samples, run.source, facts)
        if self.json:
            range_ = [float(samples.min()), float(samples.max())]
            more = {"range": range_, "seconds": round(seconds, 3), "files": [str(written)]}
            print_json({**facts, **more})
        else:
            _tell(facts, seconds, str(written))

    def _check_finite(self, samples: np.ndarray) -> None:
        bad = int((~np.isfinite(samples)).reshape(len(samples), -1).any(1).sum())
        if bad:
            raise UserError(
                f"{bad} of {len(samples)} samples are not finite, nothing was written: try another "
                "checkpoint (--step) or a schedule within the levels that the network knows"
            )

    def _facts(self, run: Run, found: Found, labels: Any) -> dict[str, Any]:
        """What made the samples: enough to make them again."""
        return {
            "format": "specjax.samples",
            "format_version": 1,
            "run": self.run_folder,
            "step": int(run.step),
            "n": self.drawing.n,
            "shape": list(run.shape),
            "seed": self.drawing.seed,
            "labels": None if labels is None else labels.tolist(),
            **self.along.facts(found),
            "noise": noise_facts(run.noise),
            "data": files.plain(run.source),
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": files.versions(),
        }


def noise_facts(noise: NoiseSpectrum | None) -> dict[str, str] | None:
    """What is said of a run's noise; the run has all of it. None where it is white."""
    return None if noise is None else {"name": noise.name, "fingerprint": noise.fingerprint}


def step_of(text: str) -> str | int:
    """``open_run``'s step."""
    if text in ("last", "best"):
        return text
    if not text.isdecimal():
        raise UserError(f"step = {text!r}: give best, last or the number of a checkpoint")
    return int(text)


def _tell(facts: Mapping[str, Any], seconds: float, written: str) -> None:
    options = ", ".join(f"{k} = {v}" for k, v in facts["sampler_options"].items())
    noise, rate = facts["noise"], facts["n"] / max(seconds, 1e-9)
    digits = max(0, 1 - math.floor(math.log10(rate)))
    print(
        f"{facts['n']:,} samples of {facts['run']} at step {facts['step']:,}: "
        f"{facts['sampler']}{f' ({options})' if options else ''}"
        f"{' corrected' if facts.get('corrections') else ''}, {facts['process']}, "
        f"{facts['calls']} calls along {facts['schedule']}, "
        f"{noise['name'] + ' noise, ' if noise else ''}seed {facts['seed']}; "
        f"{seconds:.1f} s, {rate:,.{digits}f} a second with compilation"
    )
    print(f"wrote {written}")
