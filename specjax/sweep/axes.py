"""What a sweep fits: the product of its axes, in groups of one compiled program each."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from specjax._core import checks
from specjax._core.arrays import shared_size
from specjax._core.checks import UserError
from specjax.files import plain
from specjax.fitting.compare import pinned_families
from specjax.fitting.fit import OVERSHOOT, restarts_for, tolerance_for
from specjax.fitting.levels import padded
from specjax.fitting.problem import FitShape
from specjax.gaussian.losses import Loss, loss_of
from specjax.gaussian.modes import Modes, modes_of
from specjax.gaussian.task import GaussianTask, Objective
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.noise.whitening import check_spectrum, effective
from specjax.sampling.samplers import options_of, sampler_of
from specjax.sampling.scaled import SamplerLike
from specjax.schedules.families import SCHEDULES
from specjax.schedules.schedule import NoiseSchedule, alpha_bar_to_logsnr
from specjax.spectra.spectrum import Spectrum
from specjax.sweep.noises import expanded_noise
from specjax.sweep.solve import Fits, Group, Tables

_STEP_SECONDS, _COMPILE_SECONDS = 3e-5, 5.0  # of a fit on a CPU core; only their ratio counts

RIVALS = ("spectral", *SCHEDULES)
"""What each fit is judged beside: the closed form of its spectrum, and the heuristics."""


class Pair(NamedTuple):
    """A spectrum by its name, under a noise by its place on the axis."""

    spectrum: str
    noise: int


@dataclass(frozen=True)
class Sweep:
    """The axes of a sweep; its fits are their product.

    Args:
      spectra: by name. steps: S. samplers: names in SAMPLERS, samplers, or mappings with ``name``
        and options, of which a list is an axis: ``{"name": "ddim", "eta": [0, 0.5, 1]}``.
      losses: names in LOSSES. processes: "vp", "ve". alpha_bar_ranges: pairs (noisy, clean).
      seeds: of the random starts. noises: that each spectrum is put under, by default isotropic
        alone: None, noises on samples of their shape, names in NOISES, or mappings with ``family``
        and options, of which a list is an axis.
      restarts, nodes, max_iterations, tolerance: as in :func:`fit`.
      denoiser_error: as in :func:`fit`, of all spectra or of some by name.

    Raises:
      UserError: for an empty axis, an unknown name, a value out of bounds, seeds without
        random starts, a noise that a spectrum cannot take.
    """

    spectra: Mapping[str, Spectrum]
    steps: Sequence[int]
    samplers: Sequence[Any] = ("ddim",)
    losses: Sequence[str | Loss] = ("w2",)
    processes: Sequence[str] = ("vp",)
    alpha_bar_ranges: Sequence[tuple[float, float]] = (checks.DEFAULT_ALPHA_BAR_RANGE,)
    seeds: Sequence[int] = (0,)
    restarts: int | None = None
    nodes: int = 40
    max_iterations: int = 500
    tolerance: float | None = None
    noises: Sequence[Any] = (None,)
    denoiser_error: float | Mapping[str, float] = 0.0

    def __post_init__(self) -> None:
        for name in ("spectra", "steps", "samplers", "losses", "processes", "alpha_bar_ranges",
                     "seeds", "noises"):  # fmt: skip
            given = getattr(self, name)
            if isinstance(given, str) or not hasattr(given, "__len__") or not len(given):
                raise UserError(f"{name} = {given!r}: give a list of at least one")
        whole = checks.whole_number
        checked: dict[str, Any] = {
            "steps": _distinct("steps", [whole("steps", s) for s in self.steps]),
            "samplers": _distinct("samplers", [s for x in self.samplers for s in expanded(x)]),
            "losses": _distinct("losses", [loss_of(x) for x in self.losses]),
            "processes": _distinct("processes", list(self.processes)),
            "alpha_bar_ranges": _distinct(
                "alpha_bar_ranges", [checks.alpha_bar_range(x) for x in self.alpha_bar_ranges]
            ),
            "seeds": _distinct("seeds", [checks.seed(s, "seeds") for s in self.seeds]),
            "nodes": whole("nodes", self.nodes),
            "max_iterations": whole("max_iterations", self.max_iterations),
        }
        if self.restarts is not None:
            whole("restarts", self.restarts)
        if self.tolerance is not None:
            checks.positive("tolerance", self.tolerance)
        if len(self.seeds) > 1 and (self.restarts or 1) <= 3:
            raise UserError(
                f"seeds = {list(self.seeds)} with restarts = {self.restarts}: the first three "
                "starts are not random, so all seeds give the same; set restarts to 4 or more"
            )
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        for name, spectrum in dict(self.spectra).items():
            if not isinstance(spectrum, Spectrum):
                raise UserError(f"spectra has {spectrum!r} as {name!r}: give a Spectrum")
        errors = self.denoiser_error
        if not isinstance(errors, Mapping):
            errors = dict.fromkeys(self.spectra, errors)
        for name, error in errors.items():
            checks.one_of("denoiser_error", name, self.spectra)
            checks.not_negative("denoiser_error", error)
        object.__setattr__(self, "denoiser_error", {x: float(y) for x, y in errors.items() if y})
        self._set_noises()
        sound, two_steps = Spectrum(np.ones(1)), NoiseSchedule(np.array([-1.0, 0.0, 1.0]))
        error = max(errors.values(), default=0.0)
        for sampler, loss, process in itertools.product(self.samplers, self.losses, self.processes):
            task = GaussianTask.resolve(
                sound, sampler=sampler, loss=loss, process=process, denoiser_error=error
            )
            task.plan(two_steps)

    def _set_noises(self) -> None:
        """The noises, once it is known that every spectrum can be put under them."""
        noises = [one for given in self.noises for one in expanded_noise(given)]
        documents = [json.dumps(one.document(), sort_keys=True) for one in noises]
        _distinct("noises", documents)
        object.__setattr__(self, "noises", tuple(noises))
        for name, spectrum in self.spectra.items():
            for one in noises:
                noise = one.on(name, spectrum)
                if noise is not None:
                    _check_under(name, spectrum, noise)

    @functools.cached_property
    def under(self) -> dict[Pair, Spectrum]:
        """Every spectrum under every noise, see :func:`effective`; without their bases."""
        found = {}
        for name, spectrum in self.spectra.items():
            for i, one in enumerate(self.noises):
                made = effective(spectrum, one.on(name, spectrum))
                found[Pair(name, i)] = spectrum if made is spectrum else replace(made, basis=None)
        return found

    def task(self, pair: Pair, objective: Objective) -> GaussianTask:
        """Resolve a spectrum under a noise, with a sampler and a loss.

        Raises:
          UserError: for a loss that is infinite on the spectrum.
        """
        assert isinstance(self.denoiser_error, Mapping)
        return GaussianTask.resolve(
            self.under[pair], sampler=objective.sampler, loss=objective.loss,
            process=objective.process, denoiser_error=self.denoiser_error.get(pair.spectrum, 0.0),
        )  # fmt: skip

    @property
    def has_noise(self) -> bool:
        """Whether any noise of it has a spectrum."""
        white = all(one.white for one in self.noises)
        return not white or any(s.noise is not None for s in self.spectra.values())

    @property
    def size(self) -> int:
        """The number of fits."""
        axes = (self.spectra, self.steps, self.samplers, self.losses, self.processes,
                self.alpha_bar_ranges, self.seeds, self.noises)  # fmt: skip
        return math.prod(len(axis) for axis in axes)

    def document(self) -> dict[str, Any]:
        """The sweep as plain JSON, with the fingerprints of the spectra: what makes two the same.

        In order, as the parts of a results folder are cut along it.
        """
        return {
            "spectra": [[name, s.fingerprint] for name, s in self.spectra.items()],
            "denoiser_error": dict(self.denoiser_error),  # type: ignore[arg-type]
            **self._noises_document(),
            "steps": list(self.steps),
            "samplers": [{"name": x.name, **options_of(x)} for x in self.samplers],
            "losses": [loss.name for loss in self.losses],  # type: ignore[union-attr]
            "processes": list(self.processes),
            "alpha_bar_ranges": [list(ends) for ends in self.alpha_bar_ranges],
            "seeds": list(self.seeds),
            "restarts": self.restarts,
            "nodes": self.nodes,
            "max_iterations": self.max_iterations,
            "tolerance": self.tolerance,
        }

    def _noises_document(self) -> dict[str, Any]:
        """Nothing where all is isotropic: such a sweep is the same as before there were noises."""
        if all(one.white for one in self.noises):
            return {}
        return {"noises": [one.document() for one in self.noises]}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of :meth:`document`."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True).encode()).hexdigest()


def _check_under(name: str, spectrum: Spectrum, noise: NoiseSpectrum) -> None:
    try:
        check_spectrum(spectrum, noise)
    except UserError as error:
        raise UserError(f"{noise.name} noise on {name}: {error}") from error


def _distinct(name: str, values: list[Any]) -> tuple[Any, ...]:
    for value in values if len(set(map(repr, values))) < len(values) else []:
        if values.count(value) > 1:
            raise UserError(f"{name} has {value!r} twice: the fits would be the same")
    return tuple(values)


def expanded(sampler: Any) -> list[SamplerLike]:
    """Return the samplers of an entry of the axis, one for each value of a listed option.

    Raises:
      UserError: for what is neither a name, nor a sampler, nor a table with a name and options.
    """
    if isinstance(sampler, str) or hasattr(sampler, "rows"):
        return [sampler_of(sampler)]
    if not isinstance(sampler, Mapping) or "name" not in sampler:
        raise UserError(f"samplers has {sampler!r}: give a name, or a table with name and options")
    options = {k: plain(v) for k, v in sampler.items() if k != "name"}
    lists = [v if isinstance(v, list | tuple) else [v] for v in options.values()]
    combined = (zip(options, values, strict=True) for values in itertools.product(*lists))
    return [sampler_of(str(sampler["name"]), **dict(pairs)) for pairs in combined]


class Case(NamedTuple):
    """What fits of a group differ in besides the spectrum."""

    steps: int
    alpha_bar_range: tuple[float, float]


@dataclass(frozen=True)
class Block:
    """The fits of one group: the product of its spectra (each under a noise), cases and seeds, in
    this order.

    ``error`` says why none of them can be fitted, else it is None.
    """

    group: Group
    objective: Objective
    spectra: tuple[Pair, ...]
    cases: tuple[Case, ...]
    seeds: tuple[int, ...]
    error: str | None = None

    @property
    def size(self) -> int:
        """The number of fits."""
        return len(self.spectra) * len(self.cases) * len(self.seeds)

    def fits(self, index: np.ndarray) -> Fits:
        """Indices into the tables of some of its fits."""
        shape = (len(self.spectra), len(self.cases), len(self.seeds))
        spectrum, case, seed = np.unravel_index(index, shape)
        return Fits(spectrum, case, np.asarray(self.seeds)[seed])


def blocks(sweep: Sweep) -> Iterator[Block]:
    """Every group of a sweep, in an order that depends on the sweep alone."""
    per_steps = sweep.size // len(sweep.steps) // len(sweep.samplers) // len(sweep.losses)
    padded_to = _shared(sweep.steps, per_steps // len(sweep.processes))
    cases = [Case(*x) for x in itertools.product(sweep.steps, sweep.alpha_bar_ranges)]
    of_kind: dict[tuple[int, bool], list[Case]] = {}
    for case in sorted(cases):
        kind = padded_to[case.steps], case.alpha_bar_range[1] == 1
        of_kind.setdefault(kind, []).append(case)
    for sampler, loss, process in itertools.product(sweep.samplers, sweep.losses, sweep.processes):
        chosen = Objective(sampler, loss_of(loss), process)
        for (restarts, error), names in _alike(sweep, chosen).items():
            for (steps, ends_clean), members in of_kind.items():
                yield Block(
                    group=Group(
                        FitShape(chosen, steps, ends_clean),
                        restarts,
                        sweep.max_iterations,
                        tolerance_for(np.float64, sweep.tolerance),
                        OVERSHOOT,
                    ),
                    objective=chosen,
                    spectra=names,
                    cases=tuple(members),
                    seeds=tuple(sweep.seeds),
                    error=error,
                )


def _shared(steps: Sequence[int], fits: int) -> dict[int, int]:
    """The steps that each S is padded to: what idle steps cost is less than another compilation.

    Args:
      fits: how many there are of each S.
    """
    padded_to: dict[int, int] = {}
    current = 0
    for s in sorted(steps, reverse=True):
        if not current or fits * (current - s) * _STEP_SECONDS > _COMPILE_SECONDS:
            current = shared_size(s)
        padded_to[s] = current
    return padded_to


def _alike(sweep: Sweep, chosen: Objective) -> dict[tuple[int, str | None], tuple[Pair, ...]]:
    """The spectra by the number of restarts, and by why a loss cannot take them."""
    found: dict[tuple[int, str | None], list[Pair]] = {}
    for pair in sweep.under:
        error = None
        try:
            restarts = restarts_for(sweep.task(pair, chosen).modes, sweep.restarts)
        except UserError as problem:
            restarts, error = 1, str(problem)
        found.setdefault((restarts, error), []).append(pair)
    return {key: tuple(names) for key, names in found.items()}


Rules = Mapping[tuple[Pair, bool], Modes]
"""Nodes by spectrum, and whether the loss is in units of the data, on which weights depend."""


def rules(sweep: Sweep) -> Rules:
    """Compute the quadratures of the spectra, float64 and all of one length.

    The shorter ones get eigenvalues of no weight.
    """
    assert isinstance(sweep.denoiser_error, Mapping)
    made = {
        (pair, unit): modes_of(
            spectrum, denoiser_error=sweep.denoiser_error.get(pair.spectrum), in_data_units=unit
        ).quadrature(sweep.nodes)
        for pair, spectrum in sweep.under.items()
        for unit in {loss_of(loss).in_data_units for loss in sweep.losses}
    }
    longest = max(modes.eigenvalues.size for modes in made.values())
    return {
        key: _lengthened(modes, longest, bool(sweep.denoiser_error)) for key, modes in made.items()
    }


def _lengthened(modes: Modes, count: int, errs: bool) -> Modes:
    columns = modes.columns
    extra = count - columns.shape[1]
    lam = np.append(columns[0], np.full(extra, columns[0].max()))
    rest = np.pad(columns[1:], ((0, 0), (0, extra)))
    error = np.asarray(modes.denoiser_error or 0.0, np.float64) if errs else None
    return Modes(lam, *rest, denoiser_error=error)  # type: ignore[misc]


@functools.lru_cache(maxsize=2**17)
def _rivals(case: Case, steps: int) -> np.ndarray:
    """[F, S + 1] of the families, padded to those steps; NaN where one has no level there."""
    made = pinned_families(case.alpha_bar_range)
    unknown = np.full(case.steps + 1, np.nan)
    levels = [made[x](case.steps).logsnr if x in made else unknown for x in SCHEDULES]
    return np.stack([padded(np.asarray(x), steps - case.steps) for x in levels])


def tables(block: Block, rules: Rules) -> Tables:
    """What the fits of a block look up."""
    steps, unit = block.group.shape.steps, block.objective.loss.in_data_units
    return Tables(
        nodes=jax.tree.map(lambda *x: np.stack(x), *(rules[pair, unit] for pair in block.spectra)),
        ends=np.stack([alpha_bar_to_logsnr(case.alpha_bar_range) for case in block.cases]),
        idle=np.array([steps - case.steps for case in block.cases]),
        rivals=np.stack([_rivals(case, steps) for case in block.cases]),
    )
