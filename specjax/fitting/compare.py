"""Schedules side by side on one spectrum."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from specjax._core import checks
from specjax.fitting.fit import Progress, fit
from specjax.fitting.learned import FitResult
from specjax.fitting.spectral import spectral
from specjax.gaussian.losses import LOSSES
from specjax.gaussian.objective import Objective, objective
from specjax.gaussian.transfer import transfer
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.noise.whitening import effective
from specjax.sampling.step import SamplerPlan
from specjax.schedules.families import SCHEDULES, family
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.spectrum import Spectrum

AMPLIFIED = 2.0
"""From here on a network may not follow a schedule, see :attr:`Comparison.amplification`."""

MOST_STEPS = 1000
"""Where the search for the steps that a heuristic needs ends."""


@dataclass(frozen=True)
class Row:
    """One schedule of a comparison.

    ``steps_needed`` is the fewest steps with which the family reaches the learned loss: None
    where it takes more than :data:`MOST_STEPS`, or where only one schedule was given.
    """

    name: str
    schedule: NoiseSchedule
    value: float
    steps_needed: int | None = None


@dataclass(frozen=True)
class Comparison:
    """Schedules of S steps on one spectrum, best first, and the fit among them."""

    learned: FitResult
    rows: tuple[Row, ...]

    @property
    def baselines(self) -> dict[str, float]:
        """Losses of all but the learned schedule, by name."""
        return {row.name: row.value for row in self.rows if row.name != "learned"}

    @cached_property
    def amplification(self) -> float:
        """What the learned schedule makes of a denoiser's errors, over the least of the others.

        Of the variance that :meth:`Spectrum.with_denoiser_error` adds up to, among schedules of as
        many steps. It is about 1 for DDIM; above :data:`AMPLIFIED` the loss is no guide for a
        network: on the digits' one such schedules are worse than a cosine
        (experiments/erring_denoiser).
        """
        fit = self.learned
        chosen = objective(fit.nodes, fit.sampler, fit.sampler_options, fit.loss, fit.process)
        others = [row.schedule for row in self.rows if row.name != "learned"]
        alike = [x for x in others if x.steps == fit.steps]
        return amplification(chosen, fit.nodes, fit.schedule, alike)


def amplification(
    chosen: Objective,
    spectrum: Spectrum,
    schedule: NoiseSchedule,
    others: Iterable[NoiseSchedule],
) -> float:
    """See :attr:`Comparison.amplification`; ``others`` have as many steps."""
    relative = not LOSSES[chosen.loss].in_data_units

    def errors(x: NoiseSchedule) -> float:
        return errors_of(chosen.plan(x), spectrum, relative)

    return errors(schedule) / min(errors(x) for x in others)


def errors_of(plan: SamplerPlan, spectrum: Spectrum, relative: bool = False) -> float:
    """What a plan makes of answers that err, independently, by the posterior's variance.

    Summed over the eigenvalues, or over their parts of each where ``relative``.
    """
    erring = replace(spectrum.with_denoiser_error(1.0), basis=None)
    error = transfer(plan, erring).error
    assert error is not None
    unit = erring.eigenvalues if relative else 1.0
    return float((erring.weights * error / unit).sum())


def compare(
    spectrum: Spectrum,
    steps: int,
    *,
    sampler: str = "ddim",
    loss: str = "w2",
    process: str = "vp",
    alpha_bar_range: tuple[float, float] = checks.DEFAULT_ALPHA_BAR_RANGE,
    sampler_options: Mapping[str, Any] | None = None,
    noise: NoiseSpectrum | None = None,
    schedules: Mapping[str, NoiseSchedule] | None = None,
    learned: FitResult | None = None,
    progress: Progress | None = None,
    **fit_options: Any,
) -> Comparison:
    """The learned schedule beside every family pinned to the same ends.

    Args:
      spectrum to alpha_bar_range, sampler_options, noise, fit_options: as in :func:`fit`.
      schedules: more schedules by name, anybody's, taken as they are.
      learned: a fit of the same to reuse.

    Returns:
      A :class:`Comparison` with the values on the full spectrum.

    Raises:
      ValueError: as :func:`fit` does; for a name of a family among the schedules, and where
        ``learned`` is of something else.

    Example:
      >>> table = compare(Spectrum([1.0]), 4)
      >>> table.rows[0].name
      'learned'
    """
    spectrum = effective(spectrum, noise)
    given = dict(schedules or {})
    for name in given:
        if name in ("learned", "spectral", *SCHEDULES):
            raise ValueError(f"schedules: {name!r} is the name of another one: give it a new name")
    chosen = objective(spectrum, sampler, sampler_options, loss, process)
    if learned is None:
        learned = fit(
            spectrum, steps, sampler=sampler, loss=loss, process=process,
            alpha_bar_range=alpha_bar_range, sampler_options=sampler_options, progress=progress,
            **fit_options,
        )  # fmt: skip
    else:
        _check_same(learned, chosen, steps, alpha_bar_range, spectrum)
    rows = [Row("learned", learned.schedule, learned.value, steps)]
    for name, make in heuristics(learned.nodes, loss, alpha_bar_range).items():
        made = make(steps)
        needed = _steps_needed(chosen, learned.nodes, make, learned.node_value)
        rows.append(Row(name, made, _value(chosen, spectrum, made), needed))
    rows += [Row(name, one, _value(chosen, spectrum, one)) for name, one in given.items()]
    return Comparison(learned, tuple(sorted(rows, key=_rank)))


def _check_same(
    learned: FitResult,
    chosen: Objective,
    steps: int,
    ends: tuple[float, float],
    spectrum: Spectrum,
) -> None:
    """Refuse a fit of something else than what is compared."""
    asked = {
        "steps": (learned.steps, steps),
        "sampler": (learned.sampler, chosen.sampler),
        "sampler_options": (dict(learned.sampler_options), dict(chosen.options)),
        "loss": (learned.loss, chosen.loss),
        "process": (learned.process, chosen.process),
        "alpha_bar_range": (tuple(learned.alpha_bar_range), checks.alpha_bar_range(ends)),
        "spectrum": (learned.source.get("fingerprint"), spectrum.fingerprint),
    }
    for name, (found, wanted) in asked.items():
        if found != wanted:
            raise ValueError(f"learned: its {name} is {found!r}, that of the comparison {wanted!r}")


def _rank(row: Row) -> float:
    """The value; the learned schedule goes first among those that are equal up to rounding."""
    return row.value * (1 - 1e-9) if row.name == "learned" else row.value


def heuristics(
    spectrum: Spectrum, loss: str, alpha_bar_range: tuple[float, float]
) -> dict[str, Callable[[int], NoiseSchedule]]:
    """Every family, pinned, and the closed form of the spectrum: functions of the steps."""
    closed = partial(_spectral, spectrum, loss, alpha_bar_range)
    return {"spectral": closed, **pinned_families(alpha_bar_range)}


def pinned_families(
    alpha_bar_range: tuple[float, float],
) -> dict[str, Callable[[int], NoiseSchedule]]:
    """Every family that has a level within the range, pinned to it: functions of the steps."""
    made: dict[str, Callable[[int], NoiseSchedule]] = {}
    for name in SCHEDULES:
        with contextlib.suppress(ValueError):
            family(name, 1, alpha_bar_range=alpha_bar_range)
            made[name] = partial(family, name, alpha_bar_range=alpha_bar_range)
    return made


def _spectral(
    spectrum: Spectrum, loss: str, alpha_bar_range: tuple[float, float], steps: int
) -> NoiseSchedule:
    return spectral(spectrum, steps, loss=loss, alpha_bar_range=alpha_bar_range)


def losses_over_steps(
    chosen: Objective,
    spectrum: Spectrum,
    make: Callable[[int], NoiseSchedule],
    steps: tuple[int, ...],
) -> list[float]:
    """The loss of a family at several numbers of steps."""
    return [_value(chosen, spectrum, make(s)) for s in steps]


def _value(chosen: Objective, spectrum: Spectrum, schedule: NoiseSchedule) -> float:
    return float(chosen.value(spectrum, schedule))


def _steps_needed(
    chosen: Objective, nodes: Spectrum, make: Callable[[int], NoiseSchedule], target: float
) -> int | None:
    """The fewest steps that reach a loss, by doubling and bisection."""

    def reaches(steps: int) -> bool:
        return _value(chosen, nodes, make(steps)) <= target * (1 + 1e-9)

    above = 1
    while not reaches(above):
        if above == MOST_STEPS:
            return None
        above = min(2 * above, MOST_STEPS)
    below = above // 2
    while above - below > 1:
        middle = (above + below) // 2
        below, above = (below, middle) if reaches(middle) else (middle, above)
    return above
