"""What a sweep fits: the product of its axes."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax._core.shown import Shown
from specjax.files import plain
from specjax.gaussian.losses import loss_of
from specjax.gaussian.task import GaussianTask, Objective
from specjax.noise.whitening import effective
from specjax.sampling.samplers import options_of, sampler_of
from specjax.sampling.scaled import SamplerLike
from specjax.schedules.families import SCHEDULES, family_of
from specjax.schedules.grids import check_grid
from specjax.schedules.level_range import LevelRange
from specjax.schedules.schedule import NoiseSchedule, check_process
from specjax.spectra.spectrum import Spectrum
from specjax.sweep.noises import noises_of, option_product

_AXES = ("spectra", "steps", "samplers", "losses", "processes", "alpha_bar_ranges", "seeds",
         "noises")  # fmt: skip


@dataclass(frozen=True)
class EffectiveSpectrum:
    """A spectrum of a sweep under one of its noises, without its basis.

    Attributes:
      name: of the spectrum. spectrum: the effective eigenvalues. denoiser_error: as in
        :class:`specjax.gaussian.task.TaskOptions`.
    """

    name: str
    spectrum: Spectrum
    denoiser_error: float

    def task(self, objective: Objective) -> GaussianTask:
        """Resolve the spectrum with a sampler and a loss.

        Raises:
          UserError: for a loss that is infinite on the spectrum.
        """
        return GaussianTask.resolve(
            self.spectrum, sampler=objective.sampler, loss=objective.loss,
            process=objective.process, denoiser_error=self.denoiser_error,
        )  # fmt: skip


@dataclass(frozen=True, repr=False)
class Sweep(Shown):
    """The axes of a sweep; its fits are their product.

    Args:
      spectra: by name.
      steps: S.
      samplers: names in SAMPLERS, samplers, or mappings with ``name`` and options, of which a list
        is an axis: ``{"name": "ddim", "eta": [0, 0.5, 1]}``.
      losses: names in LOSSES, or losses.
      processes: "vp", "ve", "flow".
      alpha_bar_ranges: pairs (noisy, clean).
      seeds: of the random starts.
      noises: that each spectrum is put under, by default isotropic alone: None, noises on samples
        of their shape, names in NOISES, or mappings with ``family`` and options, of which a list is
        an axis.
      restarts: as in :func:`fit`.
      nodes: of the quadrature, as in :func:`fit`.
      max_iterations: of each fit.
      tolerance: as in :func:`fit`.
      denoiser_error: as in :func:`fit`, of all spectra or of some by name.
      grid: that all levels stay within, as in :func:`fit`. No axis.
      families: what each fit is judged beside: names in SCHEDULES, or families. No axis.

    Samplers, losses and families of your own are in the table by their names.

    Raises:
      UserError: for an empty axis, an unknown name, a value out of bounds, seeds without
        random starts, a noise that a spectrum cannot take.
    """

    spectra: Mapping[str, Spectrum]
    steps: Sequence[int]
    samplers: Sequence[Any] = ("ddim",)
    losses: Sequence[Any] = ("w2",)
    processes: Sequence[str] = ("vp",)
    alpha_bar_ranges: Sequence[tuple[float, float]] = (checks.DEFAULT_ALPHA_BAR_RANGE,)
    seeds: Sequence[int] = (0,)
    restarts: int | None = None
    nodes: int = 40
    max_iterations: int = 500
    tolerance: float | None = None
    noises: Sequence[Any] = (None,)
    denoiser_error: Any = 0.0
    families: Sequence[Any] = tuple(SCHEDULES)
    grid: Any = None  # as in TaskOptions; resolved, it is a grid or None

    def __post_init__(self) -> None:
        for name in (*_AXES, "families"):
            given = getattr(self, name)
            if isinstance(given, str) or not hasattr(given, "__len__") or not len(given):
                raise UserError(f"{name} = {given!r}: give a list of at least one")
        for name, spectrum in dict(self.spectra).items():
            if not isinstance(spectrum, Spectrum):
                raise UserError(f"spectra has {spectrum!r} as {name!r}: give a Spectrum")
        whole = checks.whole_number
        object.__setattr__(self, "grid", self.grid and check_grid(self.grid))
        resolved: dict[str, list[Any]] = {
            "steps": [whole("steps", s) for s in self.steps],
            "samplers": [s for entry in self.samplers for s in samplers_of(entry)],
            "losses": [loss_of(x) for x in self.losses],
            "processes": list(self.processes),
            "alpha_bar_ranges": [
                LevelRange.resolve(x, self.grid).alpha_bar_range for x in self.alpha_bar_ranges
            ],
            "seeds": [checks.seed(s, "seeds") for s in self.seeds],
            "noises": [n for entry in self.noises for n in noises_of(entry)],
            "families": [family_of(x, {}) for x in self.families],
        }
        for name, values in resolved.items():
            object.__setattr__(self, name, tuple(values))
        for name in ("nodes", "max_iterations"):
            object.__setattr__(self, name, whole(name, getattr(self, name)))
        if self.restarts is not None:
            whole("restarts", self.restarts)
        if self.tolerance is not None:
            checks.positive("tolerance", self.tolerance)
        if len(self.seeds) > 1 and (self.restarts or 1) <= 3:
            raise UserError(
                f"seeds = {list(self.seeds)} with restarts = {self.restarts}: the first three "
                "starts are not random, so all seeds give the same; set restarts to 4 or more"
            )
        self._resolve_denoiser_error()
        document = self.document()
        for name in resolved:
            for value in document[name]:
                if document[name].count(value) > 1:
                    raise UserError(f"{name} has {value!r} twice: fits could not be told apart")
        self._check_combinations()

    def _resolve_denoiser_error(self) -> None:
        """Make it a mapping of the spectra whose denoiser errs."""
        errors = self.denoiser_error
        if not isinstance(errors, Mapping):
            errors = dict.fromkeys(self.spectra, errors)
        for name, error in errors.items():
            checks.one_of("denoiser_error", name, self.spectra)
            checks.not_negative("denoiser_error", error)
        object.__setattr__(self, "denoiser_error", {x: float(y) for x, y in errors.items() if y})

    def _check_combinations(self) -> None:
        """Refuse options that only a plan shows to be wrong, and noises on other samples."""
        levels = NoiseSchedule(np.array([-1.0, 0.0, 1.0]))
        some = Spectrum(np.ones(1))
        error = max(self.denoiser_error.values(), default=0.0)
        pure = any(noisy == 0 for noisy, _ in self.alpha_bar_ranges)
        for process in self.processes:
            check_process(process, starts_pure=pure)
        for choices in itertools.product(self.samplers, self.losses, self.processes):
            names = dict(zip(("sampler", "loss", "process"), choices, strict=True))
            GaussianTask.resolve(some, denoiser_error=error, **names).plan(levels)
        for name, spectrum in self.spectra.items():
            for noise in self.noises:
                noise.on(name, spectrum)

    @functools.cached_property
    def effective_spectra(self) -> tuple[EffectiveSpectrum, ...]:
        """Every spectrum under every noise."""
        made = []
        for (name, spectrum), noise in itertools.product(self.spectra.items(), self.noises):
            under = effective(spectrum, noise.on(name, spectrum))
            under = under if under is spectrum else replace(under, basis=None)
            made.append(EffectiveSpectrum(name, under, self.denoiser_error.get(name, 0.0)))
        return tuple(made)

    @property
    def has_noise(self) -> bool:
        """Tell whether any of its noises is not isotropic."""
        given = any(not noise.isotropic for noise in self.noises)
        return given or any(s.noise is not None for s in self.spectra.values())

    @property
    def size(self) -> int:
        """The number of fits."""
        return math.prod(len(getattr(self, name)) for name in _AXES)

    def document(self) -> dict[str, Any]:
        """Describe the sweep as plain JSON: names, options and fingerprints, in order."""
        described = {
            "spectra": [[name, s.fingerprint] for name, s in self.spectra.items()],
            "samplers": [{"name": x.name, **options_of(x)} for x in self.samplers],
            "losses": [loss.name for loss in self.losses],
            "noises": [noise.document() for noise in self.noises],
            "families": [family.name for family in self.families],
        }
        plainly = ("steps", "processes", "alpha_bar_ranges", "seeds", "restarts", "nodes",
                   "max_iterations", "tolerance", "denoiser_error")  # fmt: skip
        document = {**described, **{name: getattr(self, name) for name in plainly}}
        if self.grid is not None:
            document["grid"] = [self.grid.name, self.grid.logsnr]
        same: dict[str, Any] = json.loads(json.dumps(plain(document), default=str))
        return same

    @property
    def fingerprint(self) -> str:
        """SHA-256 of :meth:`document`."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True).encode()).hexdigest()


def samplers_of(entry: Any) -> list[SamplerLike]:
    """Return the samplers of an entry of the axis, one for each value of a listed option.

    Raises:
      UserError: for what is neither a name, nor a sampler, nor a table with a name and options.
    """
    if isinstance(entry, str) or hasattr(entry, "rows"):
        return [sampler_of(entry)]
    if not isinstance(entry, Mapping) or "name" not in entry:
        raise UserError(f"samplers has {entry!r}: give a name, or a table with name and options")
    options = {k: plain(v) for k, v in entry.items() if k != "name"}
    return [sampler_of(str(entry["name"]), **one) for one in option_product(options)]


def options_json(sampler: SamplerLike) -> str:
    """Write the options of a sampler as JSON, as a table has them."""
    return json.dumps(plain(options_of(sampler)), default=str)
