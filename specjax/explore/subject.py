"""What is explored, and what is computed of it for some settings."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from specjax import data as datasets
from specjax import files
from specjax._core.checks import UserError
from specjax.explore.settings import Settings
from specjax.fitting.fit import fit
from specjax.fitting.learned import LearnedResult
from specjax.fitting.spectral import spectral
from specjax.gaussian.losses import LOSSES
from specjax.gaussian.task import GaussianTask, loss_of_plan
from specjax.gaussian.transfer import transfer
from specjax.noise.families import noise_spectrum
from specjax.noise.whitening import effective
from specjax.sampling.samplers import SAMPLERS
from specjax.sampling.step import SamplerPlan
from specjax.schedules.families import SCHEDULES, family
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.basis import FourierBasis
from specjax.spectra.spectrum import Spectrum

DIMENSION = 256
"""Eigenvalues of the power law."""

STEPS = (1, 2, 4, 8, 16)
"""The S over which losses are drawn; one program serves them all."""

CHOICES = {
    "sampler": tuple(SAMPLERS),
    "loss": tuple(LOSSES),
    "families": ("spectral", *SCHEDULES),
}
"""The names that can be chosen."""

_SHOWN = 16  # samples side by side


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fit with its rivals, as the page shows it for some settings.

    Attributes:
      task: what was fitted.
      learned: the fit.
      schedules: by name, the learned first, then the families and the plan that is explored.
      values: the loss of each.
    """

    task: GaussianTask
    learned: LearnedResult
    schedules: dict[str, NoiseSchedule]
    values: dict[str, float]
    plan: SamplerPlan | None = None

    def std_ratios(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return eigenvalues, rising, and the generated over the true standard deviation."""
        modes = self.task.nodes
        lam = np.asarray(modes.eigenvalues, np.float64)
        order = np.flatnonzero(lam > 0)
        order = order[np.argsort(lam[order])]
        plans = {name: self.task.plan(one) for name, one in self.schedules.items()}
        if self.plan is not None:
            plans["plan"] = self.plan
        stds = {name: np.asarray(transfer(one, modes).std) for name, one in plans.items()}
        return lam[order], {k: x[order] / np.sqrt(lam[order]) for k, x in stds.items()}


@dataclass(frozen=True, eq=False)
class Subject:
    """Data, a spectrum, a plan or a run that is explored.

    Attributes:
      name: as it was given; "" for a power law.
      spectrum: of the data; None for the power law of the settings.
      plan: a schedule or plan that is shown beside the fits.
      run: a trained network, for samples.
    """

    name: str = ""
    spectrum: Spectrum | None = None
    plan: LearnedResult | None = None
    run: Any = None

    @classmethod
    def open(cls, name: str = "") -> Subject:
        """Open what is to be explored.

        Args:
          name: data, a spectrum file, a schedule or plan file, the folder of a run; "" for none.

        Raises:
          UserError: for what can be none of these.
        """
        if not name:
            return cls()
        if os.path.isfile(os.path.join(name, "run.json")):
            from specjax.nn.run import open_run

            run = open_run(name)
            return cls(name, run.effective, None, run)
        if files.is_spectrum(name):
            loaded = files.load(name)
            assert isinstance(loaded, Spectrum)
            return cls(name, loaded)
        if files.kind_of(name) is not None:
            loaded = files.load(name)
            if not isinstance(loaded, LearnedResult):
                raise UserError(f"{name} is no schedule or plan: give one, data or a run")
            return cls(name, _spectrum_of(loaded), loaded)
        return cls(name, datasets.open(name).spectrum(progress=False))

    def start(self) -> Settings:
        """Return the settings to begin with: those of the plan, if there is one."""
        if self.plan is None:
            return Settings()
        noisy = float(np.log10(np.asarray(self.plan.schedule.alpha_bar)[0]))
        sampler = self.plan.sampler if self.plan.sampler in SAMPLERS else "ddim"
        loss = self.plan.loss if self.plan.loss in LOSSES else "w2"
        steps = min(self.plan.steps, 50)
        return Settings(sampler=sampler, loss=loss, steps=steps, noisy=round(noisy, 2))

    def spectrum_for(self, settings: Settings) -> Spectrum:
        """Return the spectrum with its floor, under the noise."""
        spectrum = self.spectrum or Spectrum.power_law(DIMENSION, settings.slope)
        spectrum = spectrum.floor(10.0**settings.floor)
        if not settings.noise:
            return spectrum
        if spectrum.noise is not None:
            raise UserError(f"{self.name} is under a noise already: leave the exponent at 0")
        shape, options = _noise_options(spectrum)
        noise = noise_spectrum("power_law", shape, exponent=settings.noise, **options)
        return effective(spectrum, noise)

    @functools.lru_cache(8)  # noqa: B019 (the subject lives as long as its page)
    def fit(self, settings: Settings) -> Fitted:
        """Fit a schedule, and make the families that are shown.

        Raises:
          UserError: for settings that no schedule can have.
        """
        task = GaussianTask.for_fit(
            self.spectrum_for(settings), sampler=settings.sampler, loss=settings.loss,
            alpha_bar_range=settings.alpha_bar_range,
        )  # fmt: skip
        learned = fit(task, settings.steps, progress=False)
        shown = {}
        for name in settings.families:
            with contextlib.suppress(UserError):  # no level of the family is between the ends
                shown[name] = _heuristic(task, name, settings.steps)
        values = {name: float(task.value(one)) for name, one in shown.items()}
        if self.plan is not None:
            values["plan"] = float(loss_of_plan(self.plan.plan, task.modes, task.loss))
        return Fitted(
            task, learned, {"learned": learned.schedule, **shown},
            {"learned": learned.value, **values}, None if self.plan is None else self.plan.plan,
        )  # fmt: skip

    def over_steps(self, settings: Settings) -> dict[str, list[float]]:
        """Return the loss over :data:`STEPS` of the learned schedules and the families."""
        return self._over_steps(replace(settings, steps=STEPS[0]))

    @functools.lru_cache(8)  # noqa: B019
    def _over_steps(self, settings: Settings) -> dict[str, list[float]]:
        first = self.fit(settings)
        task, others = first.task, STEPS[1:]
        more = [fit(task, s, progress=False).node_value for s in others]
        curves = {"learned": [first.learned.node_value, *more]}
        for name in first.schedules:
            if name != "learned":
                every = (_heuristic(task, name, s) for s in STEPS)
                curves[name] = [float(task.objective.value(task.nodes, one)) for one in every]
        return curves

    def samples(self, fitted: Fitted) -> dict[str, np.ndarray]:
        """Draw samples of the plan and the fit beside the best family and a fine solution.

        Raises:
          UserError: where there is no network, and no data that are built in, to draw from.
        """
        from specjax.sampling.generate import generate

        denoise, shape, noise, labels = self._denoiser
        known = {
            name: x
            for name, x in fitted.values.items()
            if name in fitted.schedules and name != "learned"
        }
        plans = {"plan": fitted.plan, "learned": fitted.task.plan(fitted.learned.schedule)}
        if known:
            best = min(known, key=known.__getitem__)
            plans[best] = fitted.task.plan(fitted.schedules[best])
        plans["64 steps"] = fitted.task.plan(_heuristic(fitted.task, "spectral", 64))
        return {
            name: generate(
                plan, denoise, _SHOWN, shape, noise=noise, labels=labels, progress=False
            )
            for name, plan in plans.items() if plan is not None
        }  # fmt: skip

    @functools.cached_property
    def _denoiser(self) -> tuple[Any, tuple[int, ...], Any, Any]:
        """The denoiser of the run, or the ideal one of a mixture on built-in data."""
        if self.run is not None:
            labels = np.resize(np.arange(self.run.classes), _SHOWN) if self.run.classes else None
            return self.run.denoiser(), self.run.shape, self.run.noise, labels
        source = {} if self.spectrum is None else dict(self.spectrum.source or {})
        name = (self.plan.source if self.plan else source).get("name")
        if name not in datasets.BUILTIN:
            raise UserError("samples need a run by 'specjax train', or data that are built in")
        from specjax.priors import prior_of

        opened = datasets.open(str(name))
        prior = prior_of("mixture", opened)

        def denoise(x: Any, alpha: Any, sigma: Any) -> Any:
            return prior.lift(prior(prior.project(x), alpha, sigma))

        return denoise, tuple(opened.source["shape"]), None, None

    def file_of(self, fitted: Fitted) -> str:
        """Return the text of the schedule file of a fit."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "schedule.json"
            files.save(path, fitted.learned)
            return path.read_text()

    def code_of(self, settings: Settings) -> str:
        """Write the code that makes the same fit."""
        lines = ["import specjax as sx", "", self._spectrum_code(settings)]
        lines.append(f"spectrum = spectrum.floor(10**{settings.floor})")
        if settings.noise:
            shape, options = _noise_options(self.spectrum_for(replace(settings, noise=0.0)))
            own = {"spatial": options["spatial"]} if "spatial" in options else {}
            given = {"basis": options["basis"], **own, "exponent": settings.noise}
            words = ", ".join(f"{name}={value!r}" for name, value in given.items())
            words += ", own=spectrum.basis" * (given["basis"] == "data")
            lines.append(f'noise = sx.noise_spectrum("power_law", {shape}, {words})')
        lines += [
            "learned = sx.fit(",
            f"    spectrum, {settings.steps},",
            f"    sampler={settings.sampler!r}, loss={settings.loss!r},",
            f"    alpha_bar_range={settings.alpha_bar_range},",
            *(["    noise=noise,"] if settings.noise else []),
            ")",
            'sx.save("schedule.json", learned)',
        ]
        return "\n".join(lines)

    def _spectrum_code(self, settings: Settings) -> str:
        """Write the lines that make the spectrum."""
        if self.spectrum is None:
            return f"spectrum = sx.Spectrum.power_law({DIMENSION}, {settings.slope})"
        if self.run is not None:
            return f"spectrum = sx.nn.open_run({self.name!r}).effective"
        if files.is_spectrum(self.name):
            return f"spectrum = sx.load({self.name!r})"
        if self.plan is None:
            return f"spectrum = sx.data.open({self.name!r}).spectrum()"
        if self.plan.nodes is None:
            return f"spectrum = sx.data.open({self.plan.source['name']!r}).spectrum()"
        parts = ", ".join(f"nodes.{x}" for x in ("eigenvalues", "mean", "weights", "mean_weights"))
        return f"nodes = sx.load({self.name!r}).nodes\nspectrum = sx.Spectrum({parts})"


def _noise_options(spectrum: Spectrum) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Return the shape and the basis of a noise whose eigenvectors the spectrum has."""
    own = spectrum.basis
    shape = (spectrum.dimension,) if own is None else tuple(own.shape)
    if isinstance(own, FourierBasis):
        return shape, {"basis": "fourier", "spatial": own.spatial}
    return shape, {"basis": "data", "own": own}


def _heuristic(task: GaussianTask, name: str, steps: int) -> NoiseSchedule:
    """Make a schedule that is shown beside the fit."""
    if name == "spectral":
        ends = task.alpha_bar_range
        return spectral(task.nodes, steps, loss=task.loss, alpha_bar_range=ends)
    return _pinned(name, steps, task.alpha_bar_range)


@functools.lru_cache(2**12)
def _pinned(name: str, steps: int, ends: tuple[float, float]) -> NoiseSchedule:
    return family(name, steps, alpha_bar_range=ends)


def _spectrum_of(result: LearnedResult) -> Spectrum | None:
    """Return the spectrum that a result was learned on: its nodes, or that of built-in data."""
    if result.nodes is not None:
        nodes = result.nodes
        return Spectrum(
            nodes.eigenvalues,
            nodes.mean,
            nodes.weights,
            nodes.mean_weights,
            source=dict(result.source),
        )
    name = result.source.get("name")
    if name in datasets.BUILTIN:
        return datasets.open(str(name)).spectrum(progress=False)
    raise UserError(
        f"its data, {name}, are not built in: explore the data, or a schedule by 'specjax fit'"
    )
