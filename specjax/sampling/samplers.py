"""Samplers: pure functions from a noise schedule to a :class:`SamplerPlan`.

Every sampler is written once, in the scaled coordinate ``x / alpha``, where VP and VE are the
same process with noise level ``s = exp(-logsnr / 2)``; :func:`plan` then scales the registers
that hold samples to the process asked for. A step of logsnr width ``h`` has
``s_next / s_now = exp(-h / 2)``. A last step to ``s = 0`` returns the estimate, for all.

To add a sampler, write a function ``(Intervals, **options) -> Rows`` and name it in SAMPLERS.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, namespace
from specjax.sampling.step import SamplerPlan, drop_idle
from specjax.schedules.schedule import NoiseSchedule, alpha_sigma, check_process


class Intervals(NamedTuple):
    """The S steps between S + 1 levels, safe to divide by and to differentiate.

    ``h`` is the width in logsnr (1 where the step is ``last``, that is, ends at s = 0), ``now``
    and ``after`` the logsnr at its two ends (``after`` is +inf where last), ``s`` and ``s_next``
    the scaled noise levels, ``kernel_std`` the standard deviation of the forward kernel from the
    next level to this one, in the scaled coordinate of the next level. ``age`` counts the steps
    behind each one, for samplers that remember; rows of negative age are idle in the end.
    """

    xp: ModuleType
    now: Array
    after: Array
    h: Array
    last: Array
    s: Array
    s_next: Array
    kernel_std: Array
    age: Array


class Rows(NamedTuple):
    """A plan in scaled coordinates: coefficients and the levels that its registers live on."""

    called: Array  # [K] logsnr of the call
    entered: Array  # [K] logsnr of the sample registers before the row
    left: Array  # [K] and after it
    keep: Array
    pull: Array
    push: Array
    holds_sample: tuple[bool, ...]  # [H]; the others hold estimates or slopes, unscaled
    stochastic: bool = False


class Sampler(NamedTuple):
    """A row of the table: the function, its order on the ODE (None for SDE samplers), a line."""

    rows: Callable[..., Rows]
    order: int | None
    summary: str


def _stack(xp: ModuleType, table: list[list[Array]]) -> Array:
    """[K, H, H] or [K, H] from a nested list of [K] columns."""
    return xp.stack([xp.stack(row, -1) if isinstance(row, list) else row for row in table], -2)


def _one_register(t: Intervals, keep: Array, pull: Array, push: Array | None) -> Rows:
    xp = t.xp
    keep, pull = xp.where(t.last, 0.0, keep), xp.where(t.last, 1.0, pull)
    noise = xp.zeros_like(pull) if push is None else xp.where(t.last, 0.0, push)
    return Rows(
        t.now, t.now, t.after, keep[:, None, None], pull[:, None], noise[:, None],
        (True,), push is not None,
    )  # fmt: skip


def _log_eta_ratio(t: Intervals, eta: float) -> Array:
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


def eta_family(t: Intervals, *, eta: float) -> Rows:
    """DDIM's family (2010.02502, eq. 12 and 16): eta = 0 is DDIM, 1 is DDPM.

    Also k-diffusion's ancestral Euler: in scaled coordinates the two are one formula, with
    ``s_down = s_next sqrt(1 - eta^2 (1 - e^-h))`` and ``s_up = eta s_next sqrt(1 - e^-h)``.
    """
    eta = checks.number("eta", eta, 0, 1, "a number from 0 (DDIM) to 1 (DDPM)")
    log_ratio = _log_eta_ratio(t, eta)
    push = eta * t.s_next * t.xp.sqrt(-t.xp.expm1(-t.h)) if eta else None
    return _one_register(t, t.xp.exp(log_ratio), -t.xp.expm1(log_ratio), push)


def ddim(t: Intervals, *, eta: float = 0.0) -> Rows:
    """DDIM (2010.02502), deterministic by default."""
    return eta_family(t, eta=eta)


def euler_ancestral(t: Intervals, *, eta: float = 1.0) -> Rows:
    """k-diffusion's ``sample_euler_ancestral``."""
    return eta_family(t, eta=eta)


def ddpm(t: Intervals, *, variance: str = "posterior") -> Rows:
    """DDPM (2006.11239, eq. 6-7 and section 3.2), with either of its two variances.

    ``"posterior"`` is beta-tilde (optimal for a point x0), ``"beta"`` the forward kernel's.
    """
    checks.one_of("variance", variance, ("posterior", "beta"))
    rows = eta_family(t, eta=1.0)
    if variance == "posterior":
        return rows
    return rows._replace(push=t.xp.where(t.last, 0.0, t.kernel_std)[:, None])


def heun(t: Intervals) -> Rows:
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
    return Rows(
        called=interleave(t.now, xp.where(t.last, t.now, t.after)),
        entered=interleave(t.now, t.after),
        left=interleave(t.after, t.after),
        keep=interleave(first, second),
        pull=pull,
        push=xp.zeros_like(pull),
        holds_sample=(True, True),
    )


def _past_weight(t: Intervals) -> Array:
    """``h / (2 h_prev)``: how far 2M leans on the past estimate; 0 at both ends (Euler)."""
    previous = t.xp.concatenate([t.h[:1], t.h[:-1]])
    return t.xp.where((t.age == 0) | t.last, 0.0, t.h / (2 * previous))


def _two_estimates(t: Intervals, log_ratio: Array, push: Array | None) -> Rows:
    """x' = ratio x + (1 - ratio) ((1 + c) d - c d_previous); ``r[1]`` is the last estimate."""
    xp = t.xp
    ratio = xp.where(t.last, 0.0, xp.exp(log_ratio))
    blend = xp.where(t.last, 1.0, -xp.expm1(log_ratio))
    c, zero = _past_weight(t), xp.zeros_like(ratio)
    noise = zero if push is None else xp.where(t.last, 0.0, push)
    return Rows(
        t.now, t.now, t.after,
        keep=_stack(xp, [[ratio, -blend * c], [zero, zero]]),
        pull=xp.stack([blend * (1 + c), xp.ones_like(c)], -1),
        push=xp.stack([noise, zero], -1),
        holds_sample=(True, False),
        stochastic=push is not None,
    )  # fmt: skip


def dpmpp_2m(t: Intervals) -> Rows:
    """DPM-Solver++(2M) (2211.01095, algorithm 2)."""
    return _two_estimates(t, -t.h / 2, None)


def dpmpp_2m_sde(t: Intervals, *, eta: float = 1.0) -> Rows:
    """SDE-DPM-Solver++(2M), midpoint form (2211.01095, eq. 19; k-diffusion's ``dpmpp_2m_sde``)."""
    eta = checks.not_negative("eta", eta)
    push = t.s_next * t.xp.sqrt(-t.xp.expm1(-eta * t.h)) if eta else None
    return _two_estimates(t, -(1 + eta) * t.h / 2, push)


def lms(t: Intervals, *, order: int = 4) -> Rows:
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
    return Rows(
        t.now, t.now, t.after, _stack(xp, table), pull, xp.zeros_like(pull),
        (True,) + (False,) * (order - 1),
    )  # fmt: skip


SAMPLERS = {
    "ddim": Sampler(ddim, 1, "DDIM; eta=0 is deterministic, eta=1 is DDPM"),
    "ddpm": Sampler(ddpm, None, "DDPM; variance='posterior' or 'beta'"),
    "euler_ancestral": Sampler(euler_ancestral, None, "k-diffusion's ancestral Euler; eta=1"),
    "heun": Sampler(heun, 2, "EDM's Heun: two calls a step"),
    "dpmpp_2m": Sampler(dpmpp_2m, 2, "DPM-Solver++(2M): one call a step, two estimates"),
    "dpmpp_2m_sde": Sampler(dpmpp_2m_sde, None, "its stochastic form; eta=1"),
    "lms": Sampler(lms, 2, "Adams-Bashforth with variable steps; order=4"),
}


def intervals(logsnr: Array, process: str, idle: Array | int) -> Intervals:
    """The steps between levels [S + 1], with the width of a step to s = 0 replaced by 1."""
    xp = namespace(logsnr)
    now, after = logsnr[:-1], logsnr[1:]
    last = xp.isinf(after)
    finite_after = xp.where(last, now + 1, after)
    h = finite_after - now
    alpha_next = alpha_sigma(finite_after, process)[0]
    sigma_now = alpha_sigma(now, process)[1]
    return Intervals(
        xp, now, after, h, last,
        s=xp.exp(-now / 2),
        s_next=xp.where(last, 0.0, xp.exp(-finite_after / 2)),
        kernel_std=sigma_now * xp.sqrt(-xp.expm1(-h)) / alpha_next,
        age=xp.arange(now.shape[0]) - idle,
    )  # fmt: skip


def check_sampler(sampler: str, options: dict[str, Any]) -> Sampler:
    """The sampler's row of the table, if its name and its options exist and can be compiled in."""
    found = SAMPLERS[checks.one_of("sampler", sampler, SAMPLERS)]
    known = [p.name for p in inspect.signature(found.rows).parameters.values()][1:]
    for option, given in options.items():
        if option not in known:
            allowed = ", ".join(known) or "none"
            raise ValueError(f"sampler {sampler!r} has no option {option!r}: it takes {allowed}")
        if not isinstance(given, str | int | float | np.number):
            raise ValueError(f"{option} = {given!r}: give a number of Python's, or a name")
    return found


def plan(sampler: str, schedule: NoiseSchedule, process: str = "vp", **options: Any) -> SamplerPlan:
    """The numbers that a sampler applies along a schedule.

    Args:
      sampler: a name in :data:`SAMPLERS`. schedule: S + 1 levels. process: "vp" or "ve".
      options: the sampler's own, such as ``eta``.

    Returns:
      A plan of S rows (Heun: 2 S, or 2 S - 1 where the last level is noise-free). It starts
      from unit noise in VP, from noise of the first sigma in VE.

    Raises:
      ValueError: for an unknown sampler, process or option.

    Example:
      >>> schedule = NoiseSchedule.from_sigmas([10.0, 1.0, 0.0])
      >>> plan("heun", schedule, process="ve").calls
      3
    """
    check_sampler(sampler, options)
    check_process(process)
    return drop_idle(plan_of_levels(sampler, schedule.logsnr, process, options))


def plan_of_levels(
    sampler: str, logsnr: Array, process: str, options: dict[str, Any], idle: Array | int = 0
) -> SamplerPlan:
    """The plan along levels [S + 1] of which the first ``idle`` steps do nothing.

    So one compilation serves several S: ``idle`` may be traced, and the levels before the first
    that counts may be anything that rises.
    """
    t = intervals(logsnr, process, idle)
    return plan_of_rows(SAMPLERS[sampler].rows(t, **options), t, process, idle)


def plan_of_rows(rows: Rows, t: Intervals, process: str, idle: Array | int = 0) -> SamplerPlan:
    """The plan of a process from rows in scaled coordinates."""
    xp = t.xp

    def scale(logsnr: Array) -> Array:
        """[K, H]: alpha for the registers that hold samples, 1 for the others."""
        alpha = alpha_sigma(logsnr, process)[0]
        return xp.stack([alpha if s else xp.ones_like(alpha) for s in rows.holds_sample], -1)

    before, behind = scale(rows.entered), scale(rows.left)
    alpha, sigma = alpha_sigma(rows.called, process)
    keep = rows.keep * behind[:, :, None] / before[:, None, :]
    pull, push = rows.pull * behind, rows.push * behind
    if not isinstance(idle, int) or idle > 0:
        busy = xp.repeat(t.age >= 0, len(pull) // len(t.age))
        keep = xp.where(busy[:, None, None], keep, xp.eye(keep.shape[-1], dtype=keep.dtype))
        pull, push = (xp.where(busy[:, None], x, 0.0) for x in (pull, push))
    start = xp.ones_like(t.s[0]) if process == "vp" else t.s[idle]
    return SamplerPlan(alpha, sigma, keep, pull, push, start, rows.stochastic)
