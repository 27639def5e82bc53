"""Heuristic schedules, which people use without looking at the data.

A family is a curve ``logsnr(t)`` over time t from 1 (noisy) to 0 (clean), strictly falling in t.
Its S + 1 levels are taken at equal steps of time between two *ends*.

Without ``alpha_bar_range`` the ends are the family's own: the curve's noisy end, or an alpha_bar
of 1e-9 (the clipping of 2301.10972) where the curve starts at pure noise, and a noise-free end.
Flow matching starts at pure noise as its pipelines do, t = 1, 1 - 1/S, ..., 1/S, 0.
With it the family is **pinned** to the ends (noisy, clean), so that families can be compared:

- time is truncated to the part of the curve between the two ends;
- where the curve does not reach an end, its logsnr is stretched affinely to it, with the other
  end fixed (or, where that end is noise-free, the level at a thousandth of the time);
- a ramp in sigma, whose ends are its options, takes them from the range.

Pinned to pure noise (``noisy = 0.0``), a curve that starts there has its levels where its formula
puts them. The others have S - 1 steps from their own noisy end, behind the one from pure noise.

A noise-free end (``clean = 1.0``) is the last of the S + 1 levels. Curves end there; a ramp in
sigma puts S levels down to its ``sigma_min`` and the noise-free one behind them.

A family is a :class:`Family`. To try one of your own, make one in your own file and pass it in
place of a name; to add one to the package, add it to SCHEDULES.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.schedules.grids import GRIDS, TrainingGrid
from specjax.schedules.schedule import NoiseSchedule, alpha_bar_to_logsnr

Curve = Callable[[np.ndarray], np.ndarray]

NEARLY_PURE = 1e-9
"""The alpha_bar at which a curve that starts at pure noise is cut off (2301.10972, clip_min)."""
PURE_NOISE = float(alpha_bar_to_logsnr(NEARLY_PURE))
"""Its logsnr."""


@dataclass(frozen=True)
class Family:
    """A family of schedules; make one of your own and pass it in place of a name.

    Attributes:
      name: name of the family in tables.
      curve: ``(t [n], **options) -> logsnr [n]``, falling in t from 0 (clean) to 1 (noisy).
      summary: one line for tables.
      ramp: whether the curve runs from the option ``sigma_max`` to the option ``sigma_min``.
      pure: whether it starts from pure noise by default, and not from an alpha_bar of 1e-9.

    Example:
      >>> straight = Family("straight", lambda t: 10 - 20 * t)
      >>> family(straight, 2).logsnr
      array([-10.,   0.,  inf])
    """

    name: str
    curve: Callable[..., np.ndarray]
    summary: str = ""
    ramp: bool = False
    pure: bool = False


def _along_grid(t: np.ndarray, grid: TrainingGrid) -> np.ndarray:
    """Make a curve of a training grid: log alpha_bar is linear between t = k / T, 0 at t = 0."""
    log_alpha_bar = np.concatenate([[0.0], -np.logaddexp(0, -grid.logsnr)])
    at = np.interp(t * grid.size, np.arange(grid.size + 1), log_alpha_bar)
    return at - np.log(-np.expm1(at))


def _log_cos_ratio(x: np.ndarray | float, y: float) -> np.ndarray:
    """Compute ``log(cos x / cos y)`` for x >= y in quarter turns.

    For close x and y, ``cos^2 x / cos^2 y = 1 - sin(x - y) sin(x + y) / cos^2 y`` keeps the digits,
    near x = 1 the sine of the complement does.
    """
    x, quarter = np.asarray(x, np.float64), math.pi / 2
    cos_y = np.cos(y * quarter)
    drop = np.sin((x - y) * quarter) * np.sin((x + y) * quarter) / cos_y**2
    with np.errstate(divide="ignore"):
        far = np.log(np.sin((1 - x) * quarter) / cos_y)
    return np.where(drop < 0.5, np.log1p(-np.minimum(drop, 0.5)) / 2, far)


def cosine(t: np.ndarray, *, s: float = 0.008) -> np.ndarray:
    """Let ``alpha_bar = f(t) / f(0)``, ``f = cos^2((t + s)/(1 + s) pi/2)`` (2102.09672, eq. 17)."""
    checks.not_negative("s", s)
    log_alpha_bar = 2 * _log_cos_ratio((t + s) / (1 + s), s / (1 + s))
    return log_alpha_bar - np.log(-np.expm1(log_alpha_bar))


def cosine_chen(
    t: np.ndarray, *, start: float = 0.0, end: float = 1.0, tau: float = 1.0
) -> np.ndarray:
    """Scale ``v = cos^(2 tau)(pi/2 (start + t (end - start)))`` to [0, 1] (2301.10972)."""
    if not 0 <= start < end <= 1:
        raise UserError(f"start = {start!r}, end = {end!r}: give 0 <= start < end <= 1")
    power = 2 * checks.positive("tau", tau)
    log_v = power * _log_cos_ratio(start + t * (end - start), start)
    log_v_end = power * _log_cos_ratio(end, start)
    return np.log(np.maximum(np.exp(log_v) - np.exp(log_v_end), 0)) - np.log(-np.expm1(log_v))


def sigmoid(
    t: np.ndarray, *, start: float = -3.0, end: float = 3.0, tau: float = 1.0
) -> np.ndarray:
    """Scale ``v = sigmoid(-(start + t (end - start)) / tau)`` to [0, 1] (2301.10972).

    ``sigmoid x - sigmoid y = sinh((x - y)/2) / (2 cosh(x/2) cosh(y/2))`` keeps the digits of the
    ratio of signal to noise at both ends.
    """
    if not start < end:
        raise UserError(f"start = {start!r}, end = {end!r}: give start < end")
    low, high = (x / checks.positive("tau", tau) / 2 for x in (start, end))

    def log_sinh(x: np.ndarray) -> np.ndarray:
        return x + np.log(-np.expm1(-2 * x)) - math.log(2)

    signal = log_sinh((1 - t) * (high - low)) - np.logaddexp(high, -high)
    noise = log_sinh(t * (high - low)) - np.logaddexp(low, -low)
    return signal - noise


def flow(t: np.ndarray, *, shift: float = 1.0) -> np.ndarray:
    """Follow flow matching with a time shift: ``sigma_ve = shift t / (1 - t)``.

    This is ``t'/(1 - t')`` with ``t' = shift t/(1 + (shift - 1) t)`` (2403.03206, eq. 23).
    """
    return -2 * (math.log(checks.positive("shift", shift)) + np.log(t) - np.log1p(-t))


def _ramp_ends(sigma_min: float, sigma_max: float) -> tuple[float, float]:
    low, high = checks.positive("sigma_min", sigma_min), checks.positive("sigma_max", sigma_max)
    if not low < high:
        raise UserError(
            f"sigma_min = {sigma_min!r}: give less than sigma_max = {sigma_max:.6g}, the noisy end"
        )
    return low, high


def karras(
    t: np.ndarray, *, rho: float = 7.0, sigma_min: float = 0.002, sigma_max: float = 80.0
) -> np.ndarray:
    """Let ``sigma^(1/rho)`` be linear in time (2206.00364, eq. 5)."""
    low, high = _ramp_ends(sigma_min, sigma_max)
    inverse = 1 / checks.positive("rho", rho)
    return -2 / inverse * np.log(low**inverse + t * (high**inverse - low**inverse))


def uniform_logsnr(
    t: np.ndarray, *, sigma_min: float = 0.002, sigma_max: float = 80.0
) -> np.ndarray:
    """Let log sigma be linear in time (2206.00927, section 3; "exponential" in k-diffusion)."""
    low, high = _ramp_ends(sigma_min, sigma_max)
    return -2 * (math.log(low) + t * math.log(high / low))


def beta(t: np.ndarray, *, alpha: float = 0.6, beta: float = 0.6) -> np.ndarray:
    """Follow DDPM's linear grid at quantiles of Beta(alpha, beta) in time (2407.12173, ComfyUI).

    With 0.6 both ends of time have more levels than its middle.
    """
    from scipy.special import betaincinv

    shape = checks.positive("alpha", alpha), checks.positive("beta", beta)
    return _along_grid(betaincinv(*shape, t), GRIDS["ddpm"])


AYS_TABLES = {
    "sd15": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    "sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
    "svd": (700.00, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
}
"""Align Your Steps: the published 10-step sigmas (2404.14507)."""


def align_your_steps(t: np.ndarray, *, table: str = "sd15") -> np.ndarray:
    """Interpolate the published sigmas linearly in log sigma (2404.14507, appendix)."""
    sigmas = AYS_TABLES[checks.one_of("table", table, AYS_TABLES)]
    return -2 * np.interp(t, np.linspace(0, 1, len(sigmas)), np.log(sigmas[::-1]))


SCHEDULES = {family.name: family for family in (
    Family("linear", lambda t: _along_grid(t, GRIDS["ddpm"]), "DDPM's linear betas"),
    Family("scaled_linear", lambda t: _along_grid(t, GRIDS["sd"]), "Stable Diffusion's betas"),
    Family("cosine", cosine, "Nichol and Dhariwal's cosine; s=0.008"),
    Family("cosine_chen", cosine_chen, "Chen's cosine; start=0, end=1, tau=1"),
    Family("sigmoid", sigmoid, "Chen's sigmoid; start=-3, end=3, tau=1"),
    Family("karras", karras, "EDM's ramp in sigma^(1/rho); rho=7", ramp=True),
    Family("uniform_logsnr", uniform_logsnr, "equal steps of log sigma", ramp=True),
    Family("linear_alpha_bar", lambda t: np.log1p(-t) - np.log(t), "alpha_bar falls linearly"),
    Family("flow", flow, "flow matching with a time shift; shift=1", pure=True),
    Family("beta", beta, "quantiles of a beta distribution in time; alpha=0.6, beta=0.6"),
    Family("align_your_steps", align_your_steps, "published sigmas; table=sd15, sdxl or svd"),
)}  # fmt: skip
"""The families of the package by name."""


def family(
    name: str | Family,
    steps: int,
    *,
    alpha_bar_range: tuple[float, float] | None = None,
    **options: Any,
) -> NoiseSchedule:
    """Make a heuristic schedule of S steps, in float64 on the host.

    Args:
      name: a name in :data:`SCHEDULES`, or a family of your own.
      steps: S.
      alpha_bar_range: (noisy, clean) to which the family is pinned, see this module's docstring;
        its own ends by default.
      options: options of the family, such as ``rho``.

    Raises:
      UserError: for an unknown family or option, and for an option or a range out of bounds.

    Example:
      >>> family("align_your_steps", 5).sigmas.round(3)
      array([14.615,  3.861,  1.886,  0.963,  0.399,  0.   ])
    """
    row = family_of(name, options)
    checks.whole_number("steps", steps)
    noisy, clean = None, math.inf
    if alpha_bar_range is not None:
        noisy, clean = map(float, alpha_bar_to_logsnr(checks.alpha_bar_range(alpha_bar_range)))
        options = _with_ends(row, options, noisy, clean)
    curve = _curve(row, options)
    with np.errstate(divide="ignore"):
        own = float(curve(np.array(1.0)))
    if noisy is None:
        noisy = own if row.pure else max(own, PURE_NOISE)
    # A curve that is cleaner, by more than rounding, knows of no pure noise.
    before = [noisy] if noisy == -math.inf and own > PURE_NOISE else []
    levels = _between(row, curve, steps - len(before), own if before else noisy, clean)
    if levels is None:
        raise UserError(
            f"alpha_bar_range = {alpha_bar_range!r}: no level of schedule {row.name!r} is in it"
        )
    return NoiseSchedule(np.concatenate([before, levels]))


def _curve(row: Family, options: dict[str, Any]) -> Curve:
    """Return the curve of a family with its options, the same function for the same ones."""
    try:
        return _known_curve(row, tuple(sorted(options.items())))
    except TypeError:  # options without a hash
        return functools.partial(row.curve, **options)


@functools.lru_cache(256)
def _known_curve(row: Family, options: tuple[tuple[str, Any], ...]) -> Curve:
    return functools.partial(row.curve, **dict(options))


def _between(
    row: Family, curve: Curve, steps: int, noisy: float, clean: float
) -> np.ndarray | None:
    """Return [S + 1] levels of a family from one end to the other, None where it has none there."""
    if steps == 0:
        return np.array([clean])
    if not row.ramp:
        levels = _pinned(curve, steps, noisy, clean)
    elif math.isfinite(clean):
        levels = curve(np.linspace(1, 0, steps + 1))
    else:
        levels = np.append(curve(np.linspace(1, 0, steps)), clean)
    if levels is not None:
        levels[0], levels[-1] = noisy, clean
    return levels


def family_of(given: str | Family, options: Iterable[str] = ()) -> Family:
    """Return the family of a name, or the given one, if it has options of these names.

    Raises:
      UserError: for an unknown name or option.
    """
    if not isinstance(given, Family):
        given = SCHEDULES[checks.one_of("schedule", given, SCHEDULES)]
    known = list(inspect.signature(given.curve).parameters)[1:]
    for option in options:
        if option not in known:
            allowed = ", ".join(known) or "none"
            raise UserError(f"schedule {given.name!r} has no option {option!r}: it takes {allowed}")
    return given


def _with_ends(
    family: Family, options: dict[str, Any], noisy: float, clean: float
) -> dict[str, Any]:
    """Give a ramp the ends of a range that are finite."""
    if not family.ramp:
        return options
    ends = {"sigma_max": math.exp(-noisy / 2)} if math.isfinite(noisy) else {}
    if math.isfinite(clean):
        ends["sigma_min"] = math.exp(-clean / 2)
    for option in ends.keys() & options.keys():
        raise UserError(
            f"schedule {family.name!r}: {option} = {options[option]!r} and alpha_bar_range both "
            "set the same end: leave one out"
        )
    return {**options, **ends}


def _pinned(curve: Curve, steps: int, noisy: float, clean: float) -> np.ndarray | None:
    """Return [S + 1] levels, truncated in time and stretched in logsnr to both ends.

    The result is None where no level of the curve lies between the ends.
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # at pure noise, which is known
        first, last = _time_of(curve, noisy), _time_of(curve, clean)
        if not last < first:
            return None
        levels = np.asarray(curve(np.linspace(first, last, steps + 1)))
        end = float(curve(np.array(last)))
        # A curve that ends at logsnr = inf cannot be stretched from there.
        fixed = end if math.isfinite(end) else float(curve(np.array(first / 1000)))
        target = clean if math.isfinite(clean) else fixed
        if noisy == -math.inf:
            noisy, anchor = levels[1], levels[1]  # the first level that can be kept
        else:
            anchor = levels[0]
        slope = (target - noisy) / (fixed - anchor) if fixed != anchor else 1.0
        return noisy + slope * (levels - anchor)


@functools.lru_cache(256)
def _time_of(curve: Curve, level: float) -> float:
    """Find the time at which the curve has a level; its nearer end where it never does."""

    def gap(t: float) -> float:
        return float(curve(np.array(t))) - level

    if level == -math.inf or gap(1.0) >= 0:
        return 1.0
    if gap(0.0) <= 0 or math.isinf(level):
        return 0.0
    # Near t = 0 a level hardly changes with t, so only the relative tolerance may end the search.
    # It is SciPy's bisect, which would take half a second to import.
    low, width = 0.0, 1.0
    while True:
        width /= 2
        over = gap(low + width)
        if over == 0 or width < 1e-300 + 1e-15 * (low + width):
            return low + width
        low += width if over > 0 else 0.0
