"""Learning the noise's spectrum together with the schedule, by gradient, in closed form."""

from __future__ import annotations

import functools
import inspect
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, follows_the_rule
from specjax.fitting.bfgs import BFGS, descend
from specjax.fitting.fit import OVERSHOOT, Progress, fit, tolerance_for
from specjax.fitting.learned import FitResult
from specjax.fitting.levels import levels_of, padded
from specjax.fitting.noise_problem import (
    Joint,
    NoiseForm,
    form_of,
    joint_curvature,
    joint_loss,
    joint_of,
    split,
    started,
    started_at,
)
from specjax.fitting.problem import Shape, shared_steps
from specjax.gaussian.losses import LOSSES, weighted
from specjax.gaussian.objective import Objective, objective
from specjax.noise.families import NOISES, noise_spectrum
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.noise.whitening import check_spectrum, effective
from specjax.schedules.schedule import NoiseSchedule, alpha_bar_to_logsnr
from specjax.spectra.basis import FourierBasis
from specjax.spectra.spectrum import Spectrum

ISOTROPIC = "isotropic noise"
"""The name of the fall-back among the baselines."""

_CHUNK = 50  # iterations between two returns to the host


class _Task(NamedTuple):
    """What is static in a compiled joint fit."""

    shape: Shape
    form: NoiseForm
    max_iterations: int


def fit_noise(
    spectrum: Spectrum,
    steps: int,
    *,
    family: str = "power_law",
    start: Mapping[str, Any] | None = None,
    learn: Sequence[str] | None = None,
    basis: str = "fourier",
    sampler: str = "ddim",
    loss: str = "w2",
    process: str = "vp",
    alpha_bar_range: tuple[float, float] = checks.DEFAULT_ALPHA_BAR_RANGE,
    sampler_options: Mapping[str, Any] | None = None,
    restarts: int = 4,
    max_iterations: int = 500,
    tolerance: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> FitResult:
    """Learn the parameters of a family of noises, and the levels, of a sampler of S steps.

    **On Gaussian data the best noise has the spectrum of the data**: with ``nu = lambda`` all
    effective eigenvalues are equal, and one schedule is best for all. That says nothing of other
    data, so families have few parameters, and what counts is what networks trained with the noise
    show: judge a result by training with it, not by its value here.

    Args:
      spectrum: of the data, in the basis of the noise: the shift-invariant one for "fourier"; any
        for "data".
      steps: S. family: a name in NOISES. start: parameters to start from, or to stay at.
      learn: which parameters are learned, of the family's smooth ones; by default the first. (The
        exponent and r0 of a power law do nearly the same: together they may end at a bound.)
      basis: "fourier" or "data".
      sampler, loss, process, alpha_bar_range, sampler_options, tolerance, seed, progress: as in
        :func:`fit`.
      restarts: the starts that are followed: isotropic noise with the schedule of :func:`fit`, the
        given one, and random ones. max_iterations: of each.

    Returns:
      A :class:`FitResult` with the learned ``noise``, in units of the data, of mean variance 1. It
      is never worse than that of isotropic noise, ``baselines["isotropic noise"]``, which it falls
      back to (``noise`` None).

    Raises:
      ValueError: for an unknown name, a parameter that cannot be learned, bands that leave
        directions without noise, and a spectrum that does not share the basis.

    Example:
      >>> result = fit_noise(Spectrum.power_law(16, 1.5), steps=3, family="exponential",
      ...                    basis="data")
      >>> result.value < 0.9 * result.baselines["isotropic noise"]
      True
    """
    began = time.perf_counter()
    steps, ends = checks.whole_number("steps", steps), checks.alpha_bar_range(alpha_bar_range)
    chosen = objective(spectrum, sampler, sampler_options, loss, process)
    family, parameters = _parameters(family, start)
    form = form_of(family, _learned(family, learn), parameters)
    _check_spectrum(spectrum, basis, form, parameters)
    if tolerance is not None:
        checks.positive("tolerance", tolerance)
    restarts, seed = checks.whole_number("restarts", restarts), checks.seed(seed)
    task = _Task(
        Shape(chosen, shared_steps(steps), ends[1] == 1),
        form,
        checks.whole_number("max_iterations", max_iterations),
    )
    white = fit(
        spectrum, steps, sampler=sampler, loss=loss, process=process, alpha_bar_range=ends,
        sampler_options=sampler_options, tolerance=tolerance, seed=seed,
    )  # fmt: skip
    logsnr_ends = np.asarray(alpha_bar_to_logsnr(ends), np.float64)
    joint = joint_of(spectrum, basis, logsnr_ends, task.shape.steps - steps)
    levels = padded(np.asarray(white.schedule.logsnr, np.float64), task.shape.steps - steps)
    phi = _noises(form, parameters, restarts, seed)
    found = _optimise(task, joint, levels, phi, tolerance, seed, progress)
    result = _result(spectrum, chosen, form, basis, steps, white, *found)
    better = result.finite and result.value < white.value
    return replace(
        result if better else white,
        baselines={ISOTROPIC: white.value}, seconds=time.perf_counter() - began,
    )  # fmt: skip


def _parameters(family: str, start: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """All parameters of a family: those given, the others by default."""
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
            raise ValueError(f"start: {name} = {value!r}: give one like {known[name]!r}")
    return family, {**known, **(start or {})}


def _learned(family: str, learn: Sequence[str] | None) -> tuple[str, ...]:
    smooth = NOISES[family].smooth
    if not smooth:
        raise ValueError(f"family = {family!r} has no parameter to learn: give another")
    for name in learn or ():
        checks.one_of("learn", name, smooth)
    found = tuple(name for name in smooth if name in (smooth[:1] if learn is None else learn))
    if not found:
        raise ValueError(f"learn = (): give at least one of {', '.join(smooth)}")
    return found


def _check_spectrum(
    spectrum: Spectrum, basis: str, form: NoiseForm, parameters: Mapping[str, Any]
) -> None:
    """Refuse what has no closed form, and noise that leaves directions out of the loss."""
    if spectrum.denoiser_error is not None:
        raise ValueError(
            "the spectrum has a denoiser_error: a noise is learned for a denoiser without, give "
            "spectrum.with_denoiser_error(0)"
        )
    checks.one_of("basis", basis, ("fourier", "data"))
    if basis == "fourier" and not isinstance(spectrum.basis, FourierBasis):
        raise ValueError(
            "basis = 'fourier': the spectrum is in another basis, where a noise that changes has "
            "no closed form: give the shift-invariant spectrum (method 'shift-invariant'), or "
            "basis = 'data'"
        )
    noise = _noise(spectrum, form, basis, parameters)
    if noise.omitted:
        raise ValueError(
            f"start: {noise.omitted:,} of {math.prod(noise.shape):,} directions have no noise, and "
            "losses leave them out: let the bands meet, and no gain be 0"
        )
    check_spectrum(spectrum, noise)


def _noise(
    spectrum: Spectrum, form: NoiseForm, basis: str, parameters: Mapping[str, Any]
) -> NoiseSpectrum:
    """The noise of parameters on the samples of a spectrum."""
    own = spectrum.basis
    shape = (spectrum.dimension,) if own is None else tuple(own.shape)
    place: dict[str, Any] = {"own": own} if basis == "data" else {}
    if isinstance(own, FourierBasis) and basis == "fourier":
        place = {"spatial": own.spatial}
    plain = {k: np.asarray(v, np.float64).tolist() for k, v in parameters.items()}
    return noise_spectrum(form.family, shape, basis=basis, **place, **plain)


def _noises(form: NoiseForm, parameters: Mapping[str, Any], restarts: int, seed: int) -> np.ndarray:
    """Unconstrained numbers [restarts, p]: isotropic, those given, random ones around them."""
    given = form.pack(parameters)
    white = form.pack({**parameters, **{k: v for k, v in form.white.items() if k in parameters}})
    drawn = np.random.default_rng(seed).normal(size=(max(restarts - 2, 0), len(given)))
    return np.concatenate([white[None], given[None], given + drawn])[:restarts]


@follows_the_rule
def _optimise(
    task: _Task, joint: Joint, levels: Array, phi: Array, tolerance: float | None, seed: int,
    progress: Progress | None,
) -> tuple[Array, ...]:  # fmt: skip
    """Levels and noise of the best start, its loss, gradient and its tolerance, and its history."""
    tolerance = tolerance_for(joint.nodes.eigenvalues.dtype, tolerance)
    state = _begin(task, joint, levels, phi, seed)
    running = True
    while running:
        state, running = _run(task, joint, state, tolerance * OVERSHOOT)
        best = np.asarray(state.value)
        if progress:
            done = int(np.asarray(state.iteration).max())
            progress(done, task.max_iterations, math.exp(np.nanmin(best)))
    k = int(np.argmin(np.where(np.isnan(best), np.inf, best)))
    history = np.exp(np.asarray(state.history[k])[: int(state.iteration[k])])
    theta, numbers = split(task.form, state.theta[k])
    found = _levels(task.shape, joint, theta)
    return found, numbers, state.slope[k], np.asarray(tolerance), history


@functools.partial(jax.jit, static_argnames="shape")
def _levels(shape: Shape, joint: Joint, theta: jax.Array) -> jax.Array:
    return levels_of(theta, joint.ends, ends_clean=shape.ends_clean, idle=joint.idle)


@functools.partial(jax.jit, static_argnames="task")
def _begin(task: _Task, joint: Joint, levels: Array, phi: Array, seed: Array) -> Any:
    """The states [restarts]; the first one has the levels of isotropic noise."""
    shape, form = task.shape, task.form
    levels, phi = jnp.asarray(levels), jnp.asarray(phi)
    theta = jax.vmap(lambda x: started(shape, form, joint, x, seed))(phi)
    theta = theta.at[0].set(started_at(shape, joint, levels, phi[0]))
    function = joint_loss(shape, form, joint)
    scale = jax.vmap(lambda x: joint_curvature(form, joint, x))(theta)
    return jax.vmap(lambda x, s: BFGS.begin(function, x, s, task.max_iterations))(theta, scale)


@functools.partial(jax.jit, static_argnames="task")
def _run(task: _Task, joint: Joint, state: Any, tolerance: Array) -> tuple[Any, jax.Array]:
    """At most _CHUNK more iterations of every start, and whether any wants to go on."""
    count = len(state.value)
    joints = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *jnp.shape(x))), joint)
    function_of = functools.partial(joint_loss, task.shape, task.form)
    most = jnp.minimum(state.iteration + _CHUNK, task.max_iterations)
    state = descend(BFGS, function_of, joints, state, tolerance, most)
    more = jax.vmap(lambda s: BFGS.wants_more(s, tolerance, task.max_iterations))(state)
    return state, more.any()


@follows_the_rule
def _plain(form: NoiseForm, phi: Array) -> dict[str, Array]:
    return {name: jnp.asarray(x) for name, x in form.parameters(jnp.asarray(phi)).items()}


def _result(
    spectrum: Spectrum, chosen: Objective, form: NoiseForm, basis: str, steps: int,
    white: FitResult, levels: Array, phi: Array, slope: Array, limit: Array, history: Array,
) -> FitResult:  # fmt: skip
    """Of the best start, judged on the full spectrum."""
    numbers = {k: np.asarray(v) for k, v in jax.tree.map(np.asarray, _plain(form, phi)).items()}
    noise = _noise(spectrum, form, basis, numbers)
    under = effective(spectrum, noise)
    schedule = NoiseSchedule(np.asarray(levels)[len(levels) - steps - 1 :])
    value = float(chosen.value(under, schedule))
    finite = bool(np.isfinite(value))
    nodes = replace(weighted(under, LOSSES[chosen.loss]), basis=None).quadrature(40)
    return replace(
        white, schedule=schedule, value=value, finite=finite, noise=noise, nodes=nodes,
        node_value=float(chosen.value(nodes, schedule)), converged=finite and bool(slope <= limit),
        history=np.asarray(history, np.float64),
        source={**(spectrum.source or {}), "fingerprint": under.fingerprint},
    )  # fmt: skip
