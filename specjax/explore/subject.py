"""What is explored, and what is computed of it for some settings."""

from __future__ import annotations

import functools
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from specjax import data as datasets
from specjax import files
from specjax._core.checks import UserError
from specjax.explore.settings import Settings
from specjax.fitting.compare import heuristics, losses_over_steps
from specjax.fitting.fit import fit
from specjax.fitting.learned import LearnedResult
from specjax.gaussian.losses import LOSSES
from specjax.gaussian.task import GaussianTask
from specjax.gaussian.transfer import transfer
from specjax.noise.families import noise_spectrum
from specjax.noise.whitening import effective
from specjax.sampling.samplers import SAMPLERS
from specjax.sampling.step import SamplerPlan
from specjax.schedules.families import SCHEDULES
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
    """What the page shows of one settings.

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

    def over_steps(self) -> dict[str, list[float]]:
        """Return the loss over :data:`STEPS` of the learned schedules and the families."""
        make = heuristics(self.task)
        learned = [fit(self.task, s, progress=False).node_value for s in STEPS]
        shown = (name for name in self.schedules if name in make)
        curves = {name: losses_over_steps(self.task, make[name], STEPS) for name in shown}
        return {"learned": learned, **curves}


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
        own = spectrum.basis
        basis = "fourier" if isinstance(own, FourierBasis) else "data"
        noise = noise_spectrum(
            "power_law", (spectrum.dimension,) if own is None else tuple(own.shape), basis=basis,
            own=None if basis == "fourier" else own, exponent=settings.noise,
            spatial=own.spatial if isinstance(own, FourierBasis) else None,
        )  # fmt: skip
        return effective(spectrum, noise)

    def fit(self, settings: Settings) -> Fitted:
        """Fit a schedule, and make the families that are shown.

        Raises:
          UserError: for settings that no schedule can have.
        """
        task = GaussianTask.resolve(
            self.spectrum_for(settings), sampler=settings.sampler, loss=settings.loss,
            alpha_bar_range=settings.alpha_bar_range,
        )  # fmt: skip
        learned = fit(task, settings.steps, progress=False)
        make = heuristics(task)
        shown = {name: make[name](settings.steps) for name in settings.families if name in make}
        values = {name: float(task.value(one)) for name, one in shown.items()}
        return Fitted(
            task, learned, {"learned": learned.schedule, **shown},
            {"learned": learned.value, **values}, None if self.plan is None else self.plan.plan,
        )  # fmt: skip

    def samples(self, fitted: Fitted) -> dict[str, np.ndarray]:
        """Draw samples of the plan and the fit beside the best family and a fine solution.

        Raises:
          UserError: where there is no network, and no data that are built in, to draw from.
        """
        from specjax.sampling.generate import generate

        denoise, shape, noise, labels = self._denoiser
        known = {name: x for name, x in fitted.values.items() if name != "learned"}
        plans = {"plan": fitted.plan, "learned": fitted.task.plan(fitted.learned.schedule)}
        if known:
            best = min(known, key=known.__getitem__)
            plans[best] = fitted.task.plan(fitted.schedules[best])
        plans["64 steps"] = fitted.task.plan(heuristics(fitted.task)["spectral"](64))
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
        ends = tuple(float(f"{x:.8g}") for x in settings.alpha_bar_range)
        if self.spectrum is None:
            spectrum = f"sx.Spectrum.power_law({DIMENSION}, {settings.slope:g})"
        elif self.plan is None and self.run is None and not files.is_spectrum(self.name):
            spectrum = f"sx.data.open({json.dumps(self.name)}).spectrum()"
        else:
            spectrum = f"sx.load({json.dumps(self.name)})  # its spectrum"
        noise = (
            f'noise = sx.noise_spectrum("power_law", ..., exponent={settings.noise:g})\n'
            if settings.noise else ""
        )  # fmt: skip
        return (
            "import specjax as sx\n\n"
            f"spectrum = {spectrum}\n{noise}"
            f"learned = sx.fit(\n    spectrum.floor(1e{settings.floor:g}), {settings.steps},\n"
            f'    sampler="{settings.sampler}", loss="{settings.loss}", alpha_bar_range={ends},\n'
            f"{'    noise=noise,' + chr(10) if settings.noise else ''})\n"
            'sx.save("schedule.json", learned)\n'
        )


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
