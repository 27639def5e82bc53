r"""The shift of a flow-matching schedule that the spectrum of the data names.

With S steps of equal width in time and a shift h the levels are ``sigma = h t / (1 - t)`` (the
ratio of noise to signal), ``t = 1, 1 - 1/S, ..., 0``: Euler's method from pure noise to the data,
as SD3, Flux and the video models sample. For DDIM, which is Euler's method here, an eigenvalue
lambda keeps exactly the part ``prod_k cos(phi_k - phi_(k+1))`` of its standard deviation, with
``tan phi_k = sigma_k / sqrt(lambda)``. In many steps the error of log std is ``-E / (2 S)``
(:mod:`specjax.fitting.spectral`), and with ``rho = h / sqrt(lambda)`` the integral is elementary
(in the angle ``tan phi = rho t / (1 - t)`` it is that of ``(rho cos phi + sin phi)^2 / rho``)::

    E = 1 + (pi / 4) (rho + 1 / rho).

**Many steps.** The loss ``sum w E^2``, with w the importance of an error of log std (lambda for W2,
1 for KL), is least at the one positive root of a quartic in h, which has one change of sign::

    (pi/4) A(-1) h^4 + A(-1/2) h^3 - A(1/2) h - (pi/4) A(1) = 0,    A(p) = sum w lambda^p.

S is not in it. Where the spectrum is wide the outer terms decide, ``h = (A(1) / A(-1))^(1/4)``: for
W2 the fourth root of the mean square of the eigenvalues.

**Few steps.** An eigenvalue far below ``(pi h / (8 S))^2`` loses all of its variance, and not
``E^2``. Let d numbers lie on a grid of D axes, ``lambda = K f^-beta`` over the frequency f, in
cycles a side, with D < beta. Where the last frequencies are lost the sum over them is a Mellin
integral, and with ``q = 2 (beta - D) / beta`` and Omega = 2, 2 pi, 4 pi for D = 1, 2, 3::

    C = Omega (2 / beta) Gamma(-q) (2^q - 2),    kappa^(q+2) = (2 / (q C)) (pi / 8S)^4 sum f^(-2 beta),
    h = kappa (8 S / pi) sqrt(K),    so    h ~ sqrt(K) S^(-D / (2 beta - D)).

At a fixed variance of a number K grows like d, so that the shift then grows like the square root of
the number of tokens, as SD3's rule has it (2403.03206, eq. 23), and falls with the steps; in many
steps it grows like the fourth root. For KL, which weighs all directions alike, it hardly moves.
"""  # noqa: E501

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Unpack

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.gaussian.losses import Loss, loss_of
from specjax.gaussian.modes import Modes, modes_of
from specjax.gaussian.task import GaussianTask, TaskOptions
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.spectrum import Spectrum

_GRID = 49
_BEYOND = 3.0  # in log h, around the roots of the eigenvalues


class BestShift(NamedTuple):
    """The shift at which a sampler of S steps, uniform in time before it, has the least loss.

    Attributes:
      steps: S.
      shift: the best one.
      value: the loss there.
      unshifted: the loss with a shift of 1.
      many_steps: the best shift in the limit of many steps of DDIM, the root of the quartic.
    """

    steps: int
    shift: float
    value: float
    unshifted: float
    many_steps: float


def best_shift(
    spectrum: Spectrum | GaussianTask, steps: int, **task: Unpack[TaskOptions]
) -> BestShift:
    """Find the shift of a flow-matching schedule that suits a spectrum and a number of steps.

    Args:
      spectrum: d eigenvalues, or a task.
      steps: S. The levels before the shift are ``t = 1, 1 - 1/S, ..., 0``.
      task: sampler, loss, denoiser, denoiser_error, see
        :class:`specjax.gaussian.task.TaskOptions`; the process is "flow" by default.

    Returns:
      A :class:`BestShift`, by numerical minimisation of the exact loss.

    Raises:
      UserError: for an unknown name, steps below 1, zero eigenvalues under a loss that is infinite
        there.

    Example:
      >>> round(best_shift(Spectrum([9.0]), 10).shift, 4)  # sigma must pass through 3
      3.0
    """
    steps = checks.whole_number("steps", steps)
    if not isinstance(spectrum, GaussianTask):
        task = {"process": "flow", **task}
    resolved = GaussianTask.resolve(spectrum, **task)
    nodes = resolved.nodes.in_float64

    def value(log_shift: float) -> float:
        return float(resolved.objective.value(nodes, shifted(steps, math.exp(log_shift))))

    low, high = log_range(nodes)
    best = minimum(value, low - _BEYOND, high + _BEYOND)
    return BestShift(
        steps, math.exp(best), value(best), value(0.0), shift_of_many_steps(nodes, resolved.loss)
    )


def shifted(steps: int, shift: float) -> NoiseSchedule:
    """Return the levels ``sigma = shift t / (1 - t)`` of S equal steps of time, from pure noise."""
    t = np.linspace(1, 0, steps + 1)
    with np.errstate(divide="ignore"):
        return NoiseSchedule(-2 * (math.log(shift) + np.log(t) - np.log1p(-t)))


def shift_of_many_steps(spectrum: Spectrum | Modes, loss: str | Loss = "w2") -> float:
    """Return the best shift of DDIM in the limit of many steps, in closed form.

    Args:
      spectrum: d eigenvalues; those that are 0 do not count.
      loss: a name in LOSSES, or a quadratic loss of your own.

    Example:
      >>> round(shift_of_many_steps(Spectrum([4.0])), 9)
      2.0
    """
    chosen = loss_of(loss)
    modes = modes_of(spectrum, in_data_units=chosen.in_data_units)
    lam, weights = (np.asarray(x, np.float64) for x in (modes.eigenvalues, modes.weights))
    kept = (lam > 0) & (weights > 0)
    unit = float(np.exp(np.average(np.log(lam[kept]), weights=weights[kept])))
    lam, weights = lam[kept] / unit, weights[kept]
    importance = weights * np.asarray(chosen.importance(lam), np.float64)

    def moment(p: float) -> float:
        return float(importance @ lam**p)

    quarter = math.pi / 4
    roots = np.roots([quarter * moment(-1), moment(-0.5), 0, -moment(0.5), -quarter * moment(1)])
    return float(roots[np.argmax(roots.real)].real) * math.sqrt(unit)


def shift_of_few_steps(exponent: float, sizes: Sequence[int], steps: int) -> float:
    """Return the best shift of DDIM for W2 where the highest frequencies are lost, in closed form.

    It is the asymptote for steep spectra on large grids in few steps: where it exceeds that of
    many steps by far it holds, where it is below that one it does not.

    Args:
      exponent: beta of the power over frequency, above the number of axes.
      sizes: of the grid's axes.
      steps: S.

    Raises:
      UserError: for an exponent that is not above the number of axes.
    """
    from scipy.special import gamma

    axes, beta = len(sizes), checks.positive("exponent", exponent)
    if not axes < beta:
        raise UserError(f"exponent = {exponent!r}: give one above {axes}, the number of axes")
    power = frequency_power_law(beta, sizes)
    scale = float(power.eigenvalues.max())  # K, of frequency 1
    squares = float(power.weights @ (power.eigenvalues / scale) ** 2)
    q = 2 * (beta - axes) / beta
    sphere = (2.0, 2 * math.pi, 4 * math.pi)[axes - 1]
    mellin = 2 * math.log(2) if abs(q - 1) < 1e-6 else gamma(-q) * (2**q - 2)
    lost = sphere * (2 / beta) * mellin
    angle = math.pi / (8 * steps)
    kappa = (2 / (q * lost) * angle**4 * squares) ** (1 / (q + 2))
    return float(kappa / angle * math.sqrt(scale))


def frequency_power_law(
    exponent: float, sizes: Sequence[int], *, variance: float = 1.0
) -> Spectrum:
    """Make the spectrum ``lambda = K f^-exponent`` of a periodic grid of 1 to 3 axes.

    f is the frequency in cycles a side (of the longest one), and that of the constant is the least
    other one.

    Args:
      exponent: of the power over frequency: about 2 for photographs.
      sizes: of the axes, such as (64, 64), or (16, 64, 64) for frames.
      variance: the mean variance of a number, which fixes K.

    Returns:
      A spectrum whose weights count the frequencies of equal f.

    Example:
      >>> spectrum = frequency_power_law(2.0, (16, 16))
      >>> round(float(spectrum.weights @ spectrum.eigenvalues), 9)
      256.0
    """
    sizes = checks.sample_shape(tuple(sizes), "sizes")
    if len(sizes) > 3 or math.prod(sizes) < 2:
        raise UserError(f"sizes = {sizes!r}: give one to three axes, such as (64, 64)")
    checks.not_negative("exponent", exponent)
    checks.fits_in_memory("sizes", sizes, 32 * math.prod(sizes))
    axes = np.meshgrid(*(np.fft.fftfreq(n) * max(sizes) for n in sizes), indexing="ij", sparse=True)
    squares, counts = np.unique(np.round(sum(axis**2 for axis in axes), 9), return_counts=True)
    squares = np.maximum(squares, squares[1])
    power = squares ** (-exponent / 2)
    power *= checks.positive("variance", variance) * counts.sum() / (counts @ power)
    source = {"name": f"power law f^-{exponent:g} on {'x'.join(map(str, sizes))}",
              "exponent": exponent, "dimension": math.prod(sizes)}  # fmt: skip
    return Spectrum(power, weights=counts.astype(np.float64), source=source)


def log_range(modes: Modes) -> tuple[float, float]:
    """Return the logarithms of the roots of the least and the largest eigenvalue above 0."""
    lam = np.asarray(modes.eigenvalues, np.float64)[np.asarray(modes.weights) > 0]
    lam = lam[lam > 0]
    return math.log(lam.min()) / 2, math.log(lam.max()) / 2


def minimum(
    function: Callable[[float], float], low: float, high: float, points: int = _GRID,
    tolerance: float = 1e-6,
) -> float:  # fmt: skip
    """Find where a function of one number is least: on a grid, then around the best point."""
    from scipy.optimize import minimize_scalar

    grid = np.linspace(low, high, points)
    best = int(np.argmin([function(x) for x in grid]))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, points - 1)])
    found = minimize_scalar(function, bounds=around, method="bounded", options={"xatol": tolerance})
    return float(found.x)
