"""Samplers: pure functions from a noise schedule to a :class:`SamplerPlan`.

Every sampler is written once, in the scaled coordinate ``x / alpha`` with noise level
``s = exp(-logsnr / 2)`` (:mod:`specjax.sampling.scaled`). A step of logsnr width ``h`` has
``s_next / s_now = exp(-h / 2)``. A last step to ``s = 0`` returns the estimate, for all.

DDIM as an example, from the paper to a row of numbers. 2010.02502, eq. 12 with eta = 0 is::

    x_next = alpha_next x0 + sigma_next eps,    eps = (x - alpha x0) / sigma,

with x0 the denoiser's answer d. Divide by ``alpha_next`` and write ``r = x / alpha`` for the scaled
sample, ``s = sigma / alpha`` for its noise level; then ``eps = (r - d) / s`` and::

    r_next = d + s_next (r - d) / s = (s_next / s) r + (1 - s_next / s) d.

Compared with the step ``r <- keep r + pull d + push z`` of :mod:`specjax.sampling.step`::

    keep = exp(-h / 2),    pull = 1 - exp(-h / 2) = -expm1(-h / 2),    push = 0.

The plan of a process follows (:mod:`specjax.sampling.scaled`): VP keeps ``alpha_next / alpha``
times as much and pulls ``alpha_next`` times, VE (alpha = 1) stays as it is.

A sampler is whatever has a ``name`` and a method ``rows(steps) -> ScaledRows``, and a hash. To try
one of your own, write it in your own file and pass it in place of a name; to add one to the
package, write a function ``(LevelSteps, **options) -> ScaledRows`` and a row of :data:`SAMPLERS`.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array
from specjax._core.checks import UserError
from specjax.sampling.scaled import LevelSteps, SamplerLike, ScaledRows, level_steps, plan_of_levels
from specjax.sampling.step import SamplerPlan, drop_idle
from specjax.schedules.schedule import NoiseSchedule, check_process


@dataclass(frozen=True)
class Sampler:
    """A sampler of the package: a function with options, called to choose other options.

    Attributes:
      name: what tables and files call it.
      function: ``(LevelSteps, **options) -> ScaledRows``.
      order: of accuracy on the ODE; None for SDE samplers.
      summary: a line for tables.
      options: those that differ from the function's defaults, as (name, value) pairs.

    Example:
      >>> sx.ddim(eta=0.5).options
      (('eta', 0.5),)
    """

    name: str
    function: Callable[..., ScaledRows]
    order: int | None
    summary: str
    options: tuple[tuple[str, Any], ...] = ()

    def __call__(self, **options: Any) -> Sampler:
        """Return the sampler with other options.

        Raises:
          UserError: for an option that it does not have, or a value out of bounds.
        """
        known = [p.name for p in inspect.signature(self.function).parameters.values()][1:]
        for option, given in options.items():
            if option not in known:
                allowed = ", ".join(known) or "none"
                raise UserError(
                    f"sampler {self.name!r} has no option {option!r}: it takes {allowed}"
                )
            if not isinstance(given, str | int | float | np.number):
                raise UserError(f"{option} = {given!r}: give a number of Python's, or a name")
        plain = {k: x.item() if isinstance(x, np.generic) else x for k, x in options.items()}
        chosen = tuple(sorted({**dict(self.options), **plain}.items()))
        made = dataclasses.replace(self, options=chosen)
        made.rows(level_steps(np.arange(3.0), "vp"))  # refuses values out of bounds
        return made

    def rows(self, steps: LevelSteps) -> ScaledRows:
        """Return the coefficients of S steps in scaled coordinates; traceable."""
        return self.function(steps, **dict(self.options))

    def __repr__(self) -> str:
        """Write it as a user would."""
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in self.options)})"


def _stack(xp: ModuleType, table: list[list[Array]]) -> Array:
    """[K, H, H] or [K, H] from a nested list of [K] columns."""
    return xp.stack([xp.stack(row, -1) if isinstance(row, list) else row for row in table], -2)


def _one_register(t: LevelSteps, keep: Array, pull: Array, push: Array | None) -> ScaledRows:
    xp = t.xp
    keep, pull = xp.where(t.last, 0.0, keep), xp.where(t.last, 1.0, pull)
    noise = xp.zeros_like(pull) if push is None else xp.where(t.last, 0.0, push)
    return ScaledRows(
        t.now, t.now, t.after, keep[:, None, None], pull[:, None], noise[:, None],
        (True,), push is not None,
    )  # fmt: skip


def _log_eta_ratio(t: LevelSteps, eta: float) -> Array:
    """log of the part of x / s that survives a step: ``-h/2 + log sqrt(1 - eta^2 (1 - e^-h))``.

    Two forms: ``log1p`` for small steps, ``logaddexp`` where 1 - e^-h rounds to 1.
    """
    xp = t.xp
    if eta == 0:
        return -t.h / 2
    small = xp.log1p(eta**2 * xp.expm1(-xp.minimum(t.h, 1.0)))
    log_rest = math.log1p(-(eta**2)) if eta < 1 else -math.inf
    large = xp.logaddexp(xp.full_like(t.h, log_rest), 2 * math.log(eta) - t.h)
    return -t.h / 2 + xp.where(t.h < 1, small, large) / 2


def eta_family(t: LevelSteps, *, eta: float) -> ScaledRows:
    """DDIM's family (2010.02502, eq. 12 and 16): eta = 0 is DDIM, 1 is DDPM.

    Also k-diffusion's ancestral Euler: in scaled coordinates the two are one formula, with
    ``s_down = s_next sqrt(1 - eta^2 (1 - e^-h))`` and ``s_up = eta s_next sqrt(1 - e^-h)``.
    """
    eta = checks.number("eta", eta, 0, 1, "a number from 0 (DDIM) to 1 (DDPM)")
    log_ratio = _log_eta_ratio(t, eta)
    push = eta * t.s_next * t.xp.sqrt(-t.xp.expm1(-t.h)) if eta else None
    return _one_register(t, t.xp.exp(log_ratio), -t.xp.expm1(log_ratio), push)


def _ddim(t: LevelSteps, *, eta: float = 0.0) -> ScaledRows:
    """DDIM (2010.02502), deterministic by default."""
    return eta_family(t, eta=eta)


def _euler_ancestral(t: LevelSteps, *, eta: float = 1.0) -> ScaledRows:
    """k-diffusion's ``sample_euler_ancestral``."""
    return eta_family(t, eta=eta)


def _ddpm(t: LevelSteps, *, variance: str = "posterior") -> ScaledRows:
    """DDPM (2006.11239, eq. 6-7 and section 3.2), with either of its two variances.

    ``"posterior"`` is beta-tilde (optimal for a point x0), ``"beta"`` the forward kernel's.
    """
    checks.one_of("variance", variance, ("posterior", "beta"))
    rows = eta_family(t, eta=1.0)
    if variance == "posterior":
        return rows
    return rows._replace(push=t.xp.where(t.last, 0.0, t.kernel_std)[:, None])


def _heun(t: LevelSteps) -> ScaledRows:
    """Heun's method in sigma (EDM, 2206.00364, algorithm 1 without churn): two calls a step.

    ``r[1]`` keeps the half of the trapezoid that the first call knows. A last step to s = 0 is
    Euler's; its second row is idle.
    """
    xp, rho = t.xp, t.xp.exp(-t.h / 2)
    zero, one = xp.zeros_like(rho), xp.ones_like(rho)
    euler = xp.where(t.last, 0.0, rho)
    half = (1 - 1 / rho) / 2
    slope = xp.where(t.last, 0.0, half)
    first = _stack(xp, [[euler, zero], [(1 + rho) / 2, zero]])
    second = _stack(xp, [[xp.where(t.last, one, slope), xp.where(t.last, zero, one)],
                         [zero, xp.where(t.last, one, zero)]])  # fmt: skip

    def interleave(a: Array, b: Array) -> Array:
        return xp.stack([a, b], 1).reshape((2 * a.shape[0], *a.shape[1:]))

    pull = interleave(xp.stack([1 - euler, (1 - rho) / 2], -1), xp.stack([-slope, zero], -1))
    return ScaledRows(
        called=interleave(t.now, xp.where(t.last, t.now, t.after)),
        entered=interleave(t.now, t.after),
        left=interleave(t.after, t.after),
        keep=interleave(first, second),
        pull=pull,
        push=xp.zeros_like(pull),
        holds_sample=(True, True),
    )


def _past_weight(t: LevelSteps) -> Array:
    """``h / (2 h_prev)``: how far 2M leans on the past estimate; 0 at both ends (Euler)."""
    previous = t.xp.concatenate([t.h[:1], t.h[:-1]])
    return t.xp.where((t.age == 0) | t.last, 0.0, t.h / (2 * previous))


def _two_estimates(t: LevelSteps, log_ratio: Array, push: Array | None) -> ScaledRows:
    """x' = ratio x + (1 - ratio) ((1 + c) d - c d_previous); ``r[1]`` is the last estimate."""
    xp = t.xp
    ratio = xp.where(t.last, 0.0, xp.exp(log_ratio))
    blend = xp.where(t.last, 1.0, -xp.expm1(log_ratio))
    c, zero = _past_weight(t), xp.zeros_like(ratio)
    noise = zero if push is None else xp.where(t.last, 0.0, push)
    return ScaledRows(
        t.now, t.now, t.after,
        keep=_stack(xp, [[ratio, -blend * c], [zero, zero]]),
        pull=xp.stack([blend * (1 + c), xp.ones_like(c)], -1),
        push=xp.stack([noise, zero], -1),
        holds_sample=(True, False),
        stochastic=push is not None,
    )  # fmt: skip


def _dpmpp_2m(t: LevelSteps) -> ScaledRows:
    """DPM-Solver++(2M) (2211.01095, algorithm 2)."""
    return _two_estimates(t, -t.h / 2, None)


def _dpmpp_2m_sde(t: LevelSteps, *, eta: float = 1.0) -> ScaledRows:
    """SDE-DPM-Solver++(2M), midpoint form (2211.01095, eq. 19; k-diffusion's ``dpmpp_2m_sde``)."""
    eta = checks.not_negative("eta", eta)
    push = t.s_next * t.xp.sqrt(-t.xp.expm1(-eta * t.h)) if eta else None
    return _two_estimates(t, -(1 + eta) * t.h / 2, push)


def _lms(t: LevelSteps, *, order: int = 4) -> ScaledRows:
    """Adams-Bashforth with variable steps in sigma (k-diffusion's ``sample_lms``).

    The slopes ``(x - d) / s`` of the last ``order`` calls are extrapolated by a polynomial that
    is integrated exactly (Gauss-Legendre). It starts with Euler and adds an order a step, so
    the formal order is 2 with a small constant.
    """
    checks.whole_number("order", order)
    xp, steps = t.xp, t.h.shape[0]
    past = np.arange(order)
    index = np.maximum(np.arange(steps)[:, None] - past, 0)
    known = t.age[:, None] >= past  # [S, order]
    node = t.s[index]
    gap = node[:, :, None] - node[:, None, :]  # [S, j, m]
    other = known[:, :, None] & known[:, None, :] & (past[:, None] != past)
    where, weight = np.polynomial.legendre.leggauss((order + 1) // 2)
    total = xp.zeros_like(node)
    for x, w in zip(where.tolist(), weight.tolist(), strict=True):  # Python's keep the dtype
        at = (t.s + t.s_next) / 2 + x * (t.s_next - t.s) / 2
        factor = xp.where(
            other, (at[:, None, None] - node[:, None, :]) / xp.where(other, gap, 1.0), 1.0
        )
        total = total + w / 2 * factor.prod(-1)
    c = xp.where(known & ~t.last[:, None], total * (t.s_next - t.s)[:, None], 0.0)

    zero, one, inverse = xp.zeros_like(t.s), xp.ones_like(t.s), 1 / t.s
    euler, beyond = xp.exp(-t.h / 2), (total[:, 0] - 1) * xp.expm1(-t.h / 2)
    top = [xp.where(t.last, 0.0, euler + beyond), *(c[:, j] for j in range(1, order))]
    pulls = [xp.where(t.last, 1.0, -xp.expm1(-t.h / 2) - beyond), *([zero] * (order - 1))]
    table = [top]
    if order > 1:
        table.append([inverse, *([zero] * (order - 1))])
        pulls[1] = -inverse
    table += [[one if i == j else zero for i in range(order)] for j in range(1, order - 1)]
    pull = xp.stack(pulls, -1)
    return ScaledRows(
        t.now, t.now, t.after, _stack(xp, table), pull, xp.zeros_like(pull),
        (True,) + (False,) * (order - 1),
    )  # fmt: skip


ddim = Sampler("ddim", _ddim, 1, "DDIM; eta=0 is deterministic, eta=1 is DDPM")
ddpm = Sampler("ddpm", _ddpm, None, "DDPM; variance='posterior' or 'beta'")
euler_ancestral = Sampler(
    "euler_ancestral", _euler_ancestral, None, "k-diffusion's ancestral Euler; eta=1"
)
heun = Sampler("heun", _heun, 2, "EDM's Heun: two calls a step")
dpmpp_2m = Sampler("dpmpp_2m", _dpmpp_2m, 2, "DPM-Solver++(2M): one call a step, two estimates")
dpmpp_2m_sde = Sampler("dpmpp_2m_sde", _dpmpp_2m_sde, None, "its stochastic form; eta=1")
lms = Sampler("lms", _lms, 2, "Adams-Bashforth with variable steps; order=4")

SAMPLERS = {
    sampler.name: sampler
    for sampler in (ddim, ddpm, euler_ancestral, heun, dpmpp_2m, dpmpp_2m_sde, lms)
}
"""The samplers of the package by name."""


def sampler_of(given: str | SamplerLike, **options: Any) -> SamplerLike:
    """Return the sampler of a name in SAMPLERS, with options, or the given one.

    Raises:
      UserError: for an unknown name or option, a value out of bounds, and for what is no sampler.
    """
    if isinstance(given, str):
        found = SAMPLERS[checks.one_of("sampler", given, SAMPLERS)]
        return found(**options) if options else found
    if not (hasattr(given, "rows") and hasattr(given, "name")):
        raise UserError(
            f"sampler = {given!r}: give a name in specjax.SAMPLERS, or an object with a name and a "
            "method rows (specjax.sampling.samplers)"
        )
    if not options:
        return given
    if not isinstance(given, Sampler):
        raise UserError(f"sampler {given.name!r} takes no options here: set them on the object")
    return given(**options)


def is_of_package(sampler: SamplerLike) -> bool:
    """Tell the samplers of the package, with whatever options, from those of somebody else's."""
    own = SAMPLERS.get(sampler.name)
    return own is not None and getattr(sampler, "function", None) is own.function


def options_of(sampler: SamplerLike) -> dict[str, Any]:
    """Return the options of a sampler, for tables and files."""
    return dict(getattr(sampler, "options", ()))


def plan(
    sampler: str | SamplerLike, schedule: NoiseSchedule, process: str = "vp", **options: Any
) -> SamplerPlan:
    """Compute the numbers that a sampler applies along a schedule.

    Args:
      sampler: a name in :data:`SAMPLERS`, such a sampler, or one of your own.
      schedule: S + 1 levels.
      process: "vp" or "ve".
      options: the sampler's own, such as ``eta``.

    Returns:
      A plan of S rows (Heun: 2 S, or 2 S - 1 where the last level is noise-free). It starts
      from unit noise in VP, from noise of the first sigma in VE.

    Raises:
      UserError: for an unknown sampler, process or option.

    Example:
      >>> schedule = NoiseSchedule.from_sigmas([10.0, 1.0, 0.0])
      >>> plan("heun", schedule, process="ve").calls
      3
    """
    chosen = sampler_of(sampler, **options)
    return drop_idle(plan_of_levels(chosen, schedule.logsnr, check_process(process)))
