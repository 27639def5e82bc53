"""Learning the noise's spectrum together with the schedule, by gradient, in closed form."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Unpack

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax._core.progress import shows_progress
from specjax.fitting.bfgs import BFGS
from specjax.fitting.fit import Descent, Progress, about_task, fit, follow_starts
from specjax.fitting.learned import LearnedResult
from specjax.fitting.levels import levels_of
from specjax.fitting.noise_problem import (
    NoiseParameters,
    joint_inputs,
    joint_loss,
    joint_starts,
    noise_parameters,
    split,
)
from specjax.fitting.problem import FitShape
from specjax.gaussian.task import GaussianTask, TaskOptions
from specjax.noise.families import NOISES, noise_spectrum
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.noise.whitening import check_spectrum
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.basis import FourierBasis
from specjax.spectra.spectrum import Spectrum

ISOTROPIC = "isotropic noise"
"""The name of the fall-back among the baselines."""


@shows_progress("fit", "iterations")
def fit_noise(
    spectrum: Spectrum,
    steps: int,
    *,
    family: str = "power_law",
    start: Mapping[str, Any] | None = None,
    learn: Sequence[str] | None = None,
    basis: str = "fourier",
    restarts: int = 4,
    max_iterations: int = 500,
    tolerance: float | None = None,
    seed: int = 0,
    progress: Progress | Literal[False] | None = None,
    **task: Unpack[TaskOptions],
) -> LearnedResult:
    """Learn the parameters of a family of noises, and the levels, of a sampler of S steps.

    **On Gaussian data the best noise has the spectrum of the data**: with ``nu = lambda`` all
    effective eigenvalues are equal, and one schedule is best for all. That says nothing of other
    data, so families have few parameters, and what counts is what networks trained with the noise
    show: judge a result by training with it, not by its value here.

    Args:
      spectrum: of the data, in the basis of the noise: the shift-invariant one for "fourier"; any
        for "data".
      steps: S, the number of steps.
      family: a name in NOISES.
      start: parameters to start from, or to stay at.
      learn: which parameters are learned, of the family's smooth ones; by default the first. (The
        exponent and r0 of a power law do nearly the same: together they may end at a bound.)
      basis: "fourier" or "data".
      restarts: the starts that are followed: isotropic noise with the schedule of :func:`fit`, the
        given one, and random ones.
      max_iterations: the most iterations of each start.
      tolerance: as in :func:`fit`.
      seed: of the random starts.
      progress: as in :func:`fit`.
      task: as in :func:`fit`, for the ideal denoiser.

    Returns:
      A :class:`LearnedResult` with the learned ``noise``, in units of the data, of mean variance 1.
      It is never worse than that of isotropic noise, ``baselines["isotropic noise"]``, which it
      falls back to (``noise`` None).

    Raises:
      UserError: for an unknown name, a parameter that cannot be learned, bands that leave
        directions without noise, and a spectrum that does not share the basis.

    Example:
      >>> result = fit_noise(Spectrum.power_law(16, 1.5), steps=3, family="exponential",
      ...                    basis="data")
      >>> result.value < 0.9 * result.baselines["isotropic noise"]
      True
    """
    clock = time.perf_counter()
    steps = checks.whole_number("steps", steps)
    for name in ("noise", "denoiser", "denoiser_error"):
        if task.get(name):
            raise UserError(f"{name}: a noise is learned for the ideal denoiser; leave it out")
    resolved = GaussianTask.resolve(spectrum, **task)
    family, parameters = _parameters(family, start)
    form = noise_parameters(family, _learned(family, learn), parameters)
    _check_spectrum(spectrum, basis, form, parameters)
    if tolerance is not None:
        checks.positive("tolerance", tolerance)
    restarts, seed = checks.whole_number("restarts", restarts), checks.seed(seed)
    objective, ends = resolved.objective, np.asarray(resolved.logsnr_range, np.float64)
    shape = FitShape.of(objective, steps, ends_clean=resolved.levels.last_is_free)
    shape = shape._replace(noise=form)
    most = checks.whole_number("max_iterations", max_iterations)
    white = fit(resolved, steps, tolerance=tolerance, seed=seed)
    idle = shape.steps - steps
    joint = joint_inputs(spectrum, basis, ends, idle, shape.losses.index(objective.loss))
    levels = np.asarray(white.schedule.logsnr, np.float64)
    phi = form.starts(parameters, restarts, seed)
    thetas, scales = joint_starts(shape, joint, objective, levels, phi)
    best = follow_starts(
        Descent(joint_loss, shape, BFGS), joint, thetas, scales,
        most=most, tolerance=tolerance, progress=progress or None,
    )  # fmt: skip
    theta, learned_phi = split(shape, best.theta)
    learned = {name: np.asarray(x) for name, x in form.parameters(learned_phi).items()}
    task["noise"] = _noise(spectrum, form, basis, learned)
    under = GaussianTask.resolve(spectrum, **task)
    schedule = NoiseSchedule(levels_of(theta[idle:], ends, ends_clean=shape.ends_clean))
    value = float(under.value(schedule))
    result = white
    if np.isfinite(value) and value < white.value:
        result = replace(
            white, schedule=schedule, value=value, nodes=under.nodes,
            node_value=float(under.objective.value(under.nodes, schedule)),
            converged=best.converged, history=best.history, **about_task(under),
        )  # fmt: skip
    baselines = {ISOTROPIC: white.value}
    return replace(result, baselines=baselines, seconds=time.perf_counter() - clock)


def _parameters(family: str, start: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """Return all parameters of a family: those given, the others by default."""
    family = checks.one_of("family", family.replace("-", "_"), NOISES)
    known = {
        name: one.default
        for name, one in inspect.signature(NOISES[family].weights).parameters.items()
        if name != "r"
    }
    for name, value in (start or {}).items():
        checks.one_of("start", name, known)
        number = np.issubdtype(np.asarray(value).dtype, np.number)
        if not number or np.shape(value) != np.shape(known[name]):
            raise UserError(f"start: {name} = {value!r}: give one like {known[name]!r}")
    return family, {**known, **(start or {})}


def _learned(family: str, learn: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the parameters that are learned, in the order of the family."""
    smooth = NOISES[family].smooth
    if not smooth:
        raise UserError(f"family = {family!r} has no parameter to learn: give another")
    for name in learn or ():
        checks.one_of("learn", name, smooth)
    if learn is not None and not learn:
        raise UserError(f"learn = (): give at least one of {', '.join(smooth)}")
    return smooth[:1] if learn is None else tuple(name for name in smooth if name in learn)


def _check_spectrum(
    spectrum: Spectrum, basis: str, form: NoiseParameters, parameters: Mapping[str, Any]
) -> None:
    """Refuse what has no closed form, and noise that leaves directions out of the loss."""
    checks.one_of("basis", basis, ("fourier", "data"))
    if basis == "fourier" and not isinstance(spectrum.basis, FourierBasis):
        raise UserError(
            "basis = 'fourier': the spectrum is in another basis, where a noise that changes has "
            "no closed form: give the shift-invariant spectrum (method 'shift-invariant'), or "
            "basis = 'data'"
        )
    noise = _noise(spectrum, form, basis, parameters)
    if noise.omitted:
        raise UserError(
            f"start: {noise.omitted:,} of {math.prod(noise.shape):,} directions have no noise, and "
            "losses leave them out: let the bands meet, and no gain be 0"
        )
    check_spectrum(spectrum, noise)


def _noise(
    spectrum: Spectrum, form: NoiseParameters, basis: str, parameters: Mapping[str, Any]
) -> NoiseSpectrum:
    """Make the noise of parameters on the samples of a spectrum."""
    own = spectrum.basis
    shape = (spectrum.dimension,) if own is None else tuple(own.shape)
    options: dict[str, Any] = {"own": own} if basis == "data" else {}
    if isinstance(own, FourierBasis) and basis == "fourier":
        options = {"spatial": own.spatial}
    plain = {k: np.asarray(v, np.float64).tolist() for k, v in parameters.items()}
    return noise_spectrum(form.family, shape, basis=basis, **options, **plain)
