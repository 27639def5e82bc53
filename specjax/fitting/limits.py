"""The least loss that S calls of the denoiser can reach on Gaussian data.

In scaled coordinates y = x / alpha a call at the noise level s answers
``lambda / (lambda + s^2) y`` where the data have mean 0 and variance lambda. So S calls, a last
step that ends at estimates, and whatever sums of past samples and estimates in between, multiply
the starting noise by ::

    g(lambda) = c lambda (lambda + z_1) ... (lambda + z_{S-1}) / ((lambda + p_1) ... (lambda + p_S))

with p_k = s_k^2, and sampling is perfect where ``g = sqrt(lambda)``. The least error of a plan
without noise is that of the best g: of type (S - 1, S) approximation of ``1 / sqrt(lambda)``. With
u = sqrt(lambda) and the 2 S points u_i where such a g is exact ::

    g / u = (1 - t) / (1 + t),     t(u) = prod (u - u_i) / (u + u_i)

so that the least maximum of ``|t|`` is Zolotarev's third problem. Poles and zeros of the best g are
real, negative and alternate (Hermite and Biehler): one register is enough.

Plans whose coefficients sum to one, as all of specjax, have ``c = g(inf)``: the standard deviation
of y at their start. They cannot choose scale and first level apart; ``noisy`` is the limit with a
fixed start, which a corrected plan attains. Far above the data that start costs about one call.
"""

from __future__ import annotations

import math

import jax
import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.fitting.gain_descent import (
    GainInputs,
    descend_all,
    initial_gains,
    loss_at,
    packed,
    unpacked,
)
from specjax.fitting.rational import Gain, zolotarev
from specjax.gaussian.losses import Loss, check_finite, loss_of
from specjax.gaussian.modes import Modes, modes_of
from specjax.gaussian.task import loss_of_plan
from specjax.sampling.samplers import plan
from specjax.schedules.schedule import NoiseSchedule, check_process
from specjax.spectra.spectrum import Spectrum

__all__ = ["Gain", "best", "gaussian", "plan_numbers", "zolotarev"]

_NODES = 96  # of the spectrum while descending, at least


def gaussian(
    spectrum: Spectrum | Modes,
    steps: int,
    loss: str | Loss = "w2",
    *,
    noisy: float | None = None,
    process: str = "vp",
) -> float:
    """Compute the loss that no plan of S calls without noise falls below.

    Args:
      spectrum: d eigenvalues.
      steps: S, the number of calls.
      loss: a name in LOSSES, or a loss of your own.
      noisy: alpha_bar of the first level, see :func:`best`, whose errors it raises.
      process: "vp", "ve" or "flow".

    Example:
      >>> spectrum = Spectrum([4.0, 1.0, 0.1])
      >>> gaussian(spectrum, 2) < 1e-20 < gaussian(spectrum, 1)  # 2 S variances can be exact
      True
    """
    return best(spectrum, steps, loss, noisy=noisy, process=process).error


def best(
    spectrum: Spectrum | Modes,
    steps: int,
    loss: str | Loss = "w2",
    *,
    noisy: float | None = None,
    process: str = "vp",
) -> Gain:
    """Find the gain of S calls with the least loss on a spectrum, by descents from many starts.

    Of the gains that are positive on the spectrum every stationary one is exact at 2 S points
    (2 S - 2 with ``noisy``), since its tangents are a Chebyshev system.

    Args:
      spectrum: d eigenvalues.
      steps: S, the number of calls.
      loss: a name in LOSSES, or a loss of your own.
      noisy: alpha_bar of the first level where it is fixed. The scale is then that of the start
        of the process, and the gain that of a plan, see :func:`plan_numbers`. None is any start.
        From pure noise (0) the first call answers the mean, and S - 1 calls start anywhere.
      process: "vp" (unit noise at the start), "ve" or "flow" (noise of the first sigma).

    Returns:
      A :class:`Gain` whose ``error`` is the loss. ``g / c`` is also what is lost of the data's
      mean; this part counts where ``noisy`` is given, and is left out where it is None.

    Raises:
      UserError: for an unknown loss or process, ``noisy`` outside [0, 1), a loss that is infinite
        on the spectrum.
    """
    steps = checks.whole_number("steps", steps)
    chosen = loss_of(loss)
    modes = modes_of(spectrum, in_data_units=chosen.in_data_units).in_float64
    check_finite(chosen, modes.eigenvalues)
    check_process(process, starts_pure=noisy == 0)
    if noisy == 0:
        steps, noisy = steps - 1, None
    if steps == 0:
        mean = plan("ddim", NoiseSchedule([-math.inf, math.inf]))
        return Gain(np.zeros(0), np.zeros(0), 0.0, float(loss_of_plan(mean, modes, chosen)))
    start = None if noisy is None else _start(noisy, process)
    size = max(4, 1 << (steps - 1).bit_length())
    few = modes.quadrature(max(_NODES, 12 * size))
    inputs = GainInputs(few, np.arange(1, size) < steps, start is not None, start or (0.0, 0.0))
    gains = initial_gains(few, steps, chosen, start)
    thetas = np.stack([packed(gain, size, start) for gain in gains])
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        ends = np.concatenate([thetas, descend_all(inputs, thetas, chosen)])
        losses = [float(loss_at(inputs._replace(modes=modes), x, chosen)) for x in ends]
        best = int(np.nanargmin(losses))
        paired, zeros, pole, scale = map(np.asarray, unpacked(inputs, ends[best]))
    poles = np.append(pole, paired[: steps - 1])
    return Gain(_falling(poles), _falling(zeros[: steps - 1]), float(scale), losses[best])


def plan_numbers(gain: Gain, *, pure: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return levels (logsnr) [S + 1] and corrections c [S] of the ratios of a plan with ``gain``.

    :func:`specjax.sampling.corrections.corrected_plan` has it, if ``scale`` is its start's: for a
    gain of :func:`best` with ``noisy``, in the same process. With ``pure`` a step from pure noise
    comes before its calls, which can start at any scale: for ``noisy = 0``.
    """
    logsnr = np.append(-np.log(gain.poles), np.inf)
    ratio = np.log(gain.zeros / gain.poles[:-1]) + np.diff(logsnr[:-1]) / 2
    ratio = np.append(ratio, np.zeros(gain.poles.size - ratio.size))
    if pure:
        to_scale = np.log(gain.scale) - np.log(gain.poles[:1]) / 2 if gain.scale else [0.0]
        logsnr, ratio = np.append(-np.inf, logsnr), np.append(to_scale, ratio)
    return logsnr, ratio


def _start(noisy: float, process: str) -> tuple[float, float]:
    """Return the logarithms of the first pole s^2 and of the std of y at the start."""
    if not (isinstance(noisy, float | np.floating) and 0 < noisy < 1):
        raise UserError(f"noisy = {noisy!r}: give alpha_bar of the first level, between 0 and 1")
    pole = math.log1p(-noisy) - math.log(noisy)
    return pole, -math.log(noisy) / 2 if process == "vp" else pole / 2


def _falling(x: np.ndarray) -> np.ndarray:
    return np.sort(x)[::-1]
