"""Samplers: pure functions from a noise schedule to a :class:`SamplerPlan`.

Every sampler is written once, in the scaled coordinate ``x / alpha`` with noise level
``s = exp(-logsnr / 2)`` (:mod:`specjax.sampling.scaled`). A step of logsnr width ``h`` has
``s_next / s_now = exp(-h / 2)``. A last step to ``s = 0`` returns the estimate; that of ``lms``
extrapolates as its other steps do. After a first level of pure noise everything is the limit as
that level gets noisier: an estimate from there has weight 0 in the step behind it.

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
import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, concrete, where
from specjax._core.checks import UserError
from specjax.sampling.multistep import (
    deis_rows,
    dpmpp_3m_rows,
    ipndm_rows,
    slopes_rows,
    unipc_rows,
)
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
      denoiser_error: what fits take a denoiser to err by where nobody says how much, see
        :class:`specjax.gaussian.task.TaskOptions`; a sampler of your own may have it, too.

    Example:
      >>> sx.ddim(eta=0.5).options
      (('eta', 0.5),)
    """

    name: str
    function: Callable[..., ScaledRows]
    order: int | None
    summary: str
    options: tuple[tuple[str, Any], ...] = ()
    denoiser_error: float = 0.0

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
        sampler = dataclasses.replace(self, options=chosen)
        sampler.rows(level_steps(np.arange(3.0), "vp"))  # refuses values out of bounds
        return sampler

    def rows(self, steps: LevelSteps) -> ScaledRows:
        """Return the coefficients of S ``steps`` in scaled coordinates; traceable."""
        return self.function(steps, **dict(self.options))

    def __repr__(self) -> str:
        """Write the sampler as a user would make it."""
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in self.options)})"


def _stack(xp: ModuleType, table: list[list[Array]]) -> Array:
    """Stack a nested list of [K] columns into [K, H, H], or [K, H]."""
    return xp.stack([xp.stack(row, -1) if isinstance(row, list) else row for row in table], -2)


def _one_register(t: LevelSteps, keep: Array, pull: Array, push: Array | None) -> ScaledRows:
    xp = t.xp
    keep, pull = where(t.last, 0.0, keep), where(t.last, 1.0, pull)
    noise = xp.zeros_like(pull) if push is None else where(t.last, 0.0, push)
    return ScaledRows(
        t.now, t.now, t.after, keep[:, None, None], pull[:, None], noise[:, None],
        (True,), push is not None,
    )  # fmt: skip


def _log_eta_ratio(t: LevelSteps, eta: float) -> Array:
    """Compute the log of a step's ratio, ``-h/2 + log sqrt(1 - eta^2 (1 - e^-h))``.

    It has two forms: ``log1p`` for small steps, ``logaddexp`` where 1 - e^-h rounds to 1.
    """
    xp = t.xp
    if eta == 0:
        return -t.h / 2
    small = xp.log1p(eta**2 * xp.expm1(-xp.minimum(t.h, 1.0)))
    log_rest = math.log1p(-(eta**2)) if eta < 1 else -math.inf
    large = xp.logaddexp(xp.full_like(t.h, log_rest), 2 * math.log(eta) - t.h)
    return -t.h / 2 + where(t.h < 1, small, large) / 2


def eta_family(t: LevelSteps, *, eta: float) -> ScaledRows:
    """Return the rows of DDIM's family (2010.02502, eq. 12 and 16): eta = 0 is DDIM, 1 is DDPM.

    It is k-diffusion's ancestral Euler, too: in scaled coordinates the two are one formula, with
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
    return rows._replace(push=where(t.last, 0.0, t.kernel_std)[:, None])


def _heun(t: LevelSteps) -> ScaledRows:
    """Heun's method in sigma (EDM, 2206.00364, algorithm 1 without churn): two calls a step.

    ``r[1]`` keeps the half of the trapezoid that the first call knows. A last step to s = 0 is
    Euler's, and so is one from pure noise, over which no trapezoid has a limit; their second rows
    are idle.
    """
    xp, rho = t.xp, t.xp.exp(-t.h / 2)
    zero, one, single = xp.zeros_like(rho), xp.ones_like(rho), t.last | t.pure
    euler = where(t.last, 0.0, rho)
    half = (1 - 1 / rho) / 2
    slope = where(single, 0.0, half)
    first = _stack(xp, [[euler, zero], [where(single, 0.0, (1 + rho) / 2), zero]])
    second = _stack(xp, [[where(single, one, slope), where(single, zero, one)],
                         [zero, where(single, one, zero)]])  # fmt: skip

    def interleave(a: Array, b: Array) -> Array:
        return xp.stack([a, b], 1).reshape((2 * a.shape[0], *a.shape[1:]))

    known = where(single, 0.0, (1 - rho) / 2)
    pull = interleave(xp.stack([1 - euler, known], -1), xp.stack([-slope, zero], -1))
    return ScaledRows(
        called=interleave(t.now, where(t.last, t.now, t.after)),
        entered=interleave(t.now, t.after),
        left=interleave(t.after, t.after),
        keep=interleave(first, second),
        pull=pull,
        push=xp.zeros_like(pull),
        holds_sample=(True, True),
    )


def _past_weight(t: LevelSteps) -> Array:
    """Compute 2M's weight of the past estimate, ``h / (2 h_prev)``; 0 at both ends (Euler).

    It is 0 after a step from pure noise, too, whose width is infinite.
    """
    past = t.xp.arange(len(t.h)) - 1
    after_noise = t.pure[past] & (past >= 0)
    return where((t.age == 0) | t.last | after_noise, 0.0, t.h / (2 * t.h[past]))


def _two_estimates(t: LevelSteps, log_ratio: Array, push: Array | None) -> ScaledRows:
    """Return the rows of x' = ratio x + (1 - ratio) ((1 + c) d - c d_previous).

    The register ``r[1]`` holds the previous estimate.
    """
    xp = t.xp
    ratio = where(t.last, 0.0, xp.exp(log_ratio))
    blend = where(t.last, 1.0, -xp.expm1(log_ratio))
    c, zero = _past_weight(t), xp.zeros_like(ratio)
    noise = zero if push is None else where(t.last, 0.0, push)
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
    # A small eta, too, keeps no pure noise.
    rate: Any = where(t.pure, t.xp.full_like(t.h, max(eta, 1.0)), eta)
    push = t.s_next * t.xp.sqrt(-t.xp.expm1(-rate * t.h)) if eta else None
    return _two_estimates(t, -(1 + (rate if eta else 0.0)) * t.h / 2, push)


def _lms(t: LevelSteps, *, order: int = 4) -> ScaledRows:
    """Adams-Bashforth with variable steps in sigma (k-diffusion's ``sample_lms``).

    The slopes ``(x - d) / s`` of the last ``order`` calls are extrapolated by a polynomial that
    is integrated exactly (Gauss-Legendre), also over a last step to s = 0. It starts with Euler
    and adds an order a step, so the formal order is 2 with a small constant.
    """
    checks.whole_number("order", order)
    xp, steps = t.xp, t.h.shape[0]
    past = np.arange(order)
    index = np.maximum(np.arange(steps)[:, None] - past, 0)
    known = t.age[:, None] >= past  # [S, order]
    back = where(known, (t.now[:, None] - t.now[index]) / 2, 0.0)  # log of past levels over s
    gap = xp.exp(back)[:, None, :] * xp.expm1(back[:, :, None] - back[:, None, :])  # [S, j, m]
    other = known[:, :, None] & known[:, None, :] & (past[:, None] != past)
    width = where(t.last, -1.0, xp.expm1(-t.h / 2))  # of the step, in units of s
    point, weight = np.polynomial.legendre.leggauss((order + 1) // 2)
    total = xp.zeros_like(back)
    for x, w in zip(point.tolist(), weight.tolist(), strict=True):  # Python's keep the dtype
        beyond = (1 + x) / 2 * width[:, None] - xp.expm1(back)  # a point less past levels
        factor = where(other, beyond[:, None, :] / where(other, gap, 1.0), 1.0)
        total = total + w / 2 * factor.prod(-1)
    return slopes_rows(t, where(known, total, 0.0)[:, 1:])


ddim = Sampler("ddim", _ddim, 1, "DDIM; eta=0 is deterministic, eta=1 is DDPM")
"""DDIM (2010.02502) with the option ``eta``: 0 is deterministic, 1 is DDPM."""
ddpm = Sampler("ddpm", _ddpm, None, "DDPM; variance='posterior' or 'beta'")
"""DDPM (2006.11239) with the option ``variance``: "posterior" or "beta"."""
euler_ancestral = Sampler(
    "euler_ancestral", _euler_ancestral, None, "k-diffusion's ancestral Euler; eta=1"
)
"""k-diffusion's ancestral Euler with the option ``eta``."""
heun = Sampler("heun", _heun, 2, "EDM's Heun: two calls a step")
"""Heun's method on EDM's ODE (2206.00364, algorithm 1): two calls a step."""

# Samplers that lean on past answers: what networks are taken to err by, see experiments/defaults.
_multistep = functools.partial(Sampler, denoiser_error=0.1)

dpmpp_2m = _multistep("dpmpp_2m", _dpmpp_2m, 2, "DPM-Solver++(2M): one call a step, two estimates")
"""DPM-Solver++(2M) (2211.01095): one call a step, which uses the last two estimates."""
dpmpp_2m_sde = _multistep("dpmpp_2m_sde", _dpmpp_2m_sde, None, "its stochastic form; eta=1")
"""The stochastic form of DPM-Solver++(2M) with the option ``eta``."""
lms = _multistep("lms", _lms, 2, "Adams-Bashforth with variable steps; order=4")
"""Adams-Bashforth on EDM's ODE with variable steps, and the option ``order``."""
dpmpp_3m = _multistep(
    "dpmpp_3m", dpmpp_3m_rows, 2, "DPM-Solver++(3M): one call a step, three estimates"
)
"""DPM-Solver++(3M) (2211.01095), as diffusers has it: one call a step."""
unipc = _multistep(
    "unipc", unipc_rows, 2, "UniPC: each call corrects a step and takes one; order=2"
)
"""UniPC (2302.04867), one call a step, with the options ``order`` and ``variant``."""
deis = _multistep("deis", deis_rows, 2, "DEIS: slopes, polynomials in log sigma; order=3")
"""DEIS (2204.13902, tAB in log sigma) with the option ``order``."""
ipndm = _multistep("ipndm", ipndm_rows, 1, "iPNDM: slopes, Adams-Bashforth's weights; order=4")
"""iPNDM (2204.13902) with the option ``order``."""

SAMPLERS = {
    sampler.name: sampler
    for sampler in (
        ddim, ddpm, euler_ancestral, heun, dpmpp_2m, dpmpp_2m_sde, dpmpp_3m, unipc, lms, deis, ipndm
    )
}  # fmt: skip
"""The samplers of the package by name."""


def sampler_of(given: str | SamplerLike, **options: Any) -> SamplerLike:
    """Return the sampler of a name in SAMPLERS, with options, or the given one.

    Raises:
      UserError: for an unknown name or option, a value out of bounds, and for what is no sampler.
    """
    if isinstance(given, str):
        named = SAMPLERS[checks.one_of("sampler", given, SAMPLERS)]
        return named(**options) if options else named
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
    """Tell whether a sampler is one of the package, with any options."""
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
      process: "vp", "ve" or "flow".
      options: the sampler's own, such as ``eta``.

    Returns:
      A plan of S rows (Heun: 2 S, one less for a last level without noise and one for a first of
      pure noise). It starts from unit noise in VP, from noise of the first sigma in VE and flow.

    Raises:
      UserError: for an unknown sampler, process or option, and for VE from pure noise.

    Example:
      >>> schedule = NoiseSchedule.from_sigmas([10.0, 1.0, 0.0])
      >>> plan("heun", schedule, process="ve").calls
      3
    """
    chosen, levels = sampler_of(sampler, **options), concrete(schedule.logsnr)
    check_process(process, starts_pure=levels is not None and bool(np.isneginf(levels[0])))
    return drop_idle(plan_of_levels(chosen, schedule.logsnr, process))
