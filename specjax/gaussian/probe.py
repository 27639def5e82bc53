"""A network's own transfer function: what a denoiser does to each eigenvalue at each noise level.

At a level ``s = sigma / alpha`` data ``x0`` become ``y = x0 + s eps`` and the denoiser answers
``d = D(y)``. In the eigenbasis of the data, direction by direction (the index k is left out), with
``mu`` the data's mean, ``z = y - mu`` and Wiener's answer ``w(y) = mu + lambda/(lambda + s^2) z``,

    ``d = w(y) + bias + (gain - lambda/(lambda + s^2)) z + rest``

is fitted by least squares. Then

- ``gain = Cov(d, y) / Var(y)`` is that of the best linear stand-in for D, Wiener's gain
  ``lambda/(lambda + s^2)`` for the ideal denoiser of a Gaussian;
- ``bias`` is what D answers at ``y = mu`` on average, less mu; so ``d = gain y + offset + rest``
  with ``offset = (1 - gain) mu + bias``;
- ``residual = E rest^2``: what is not linear in y_k, other directions' influence among it;
- ``error = E (d - x0)^2``, Wiener's being ``lambda s^2/(lambda + s^2)``, and ``excess`` what
  ``error`` is above that of Wiener's answers *to the same y*: their difference is far better known
  than either. It is negative where a network knows more of the data than the covariance.

Each sample is used with ``+eps`` and ``-eps``, and with the same eps at every level: the slope
does not see what is even in eps, the bias not what is odd, and the curves over levels are smooth.
Under a noise with a spectrum (that of :func:`specjax.effective`) eps has it, directions without
noise are known and left out, and the rest holds of whitened coefficients and effective eigenvalues.

Standard errors are those of least squares with unequal variances, a pair being one observation
(White's estimator, by clusters); they hold for each number by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array
from specjax._core.checks import UserError
from specjax._core.progress import shows_progress
from specjax._core.shown import Shown
from specjax.noise.noise_spectrum import check_noise
from specjax.sampling import conditions as told
from specjax.sampling.black_box import is_black_box
from specjax.sampling.denoisers import within
from specjax.sampling.generate import batch_size
from specjax.sampling.programs import program_of
from specjax.sampling.step import Row
from specjax.schedules.schedule import alpha_sigma
from specjax.spectra.response import Measured
from specjax.spectra.spectrum import Spectrum

Progress = Callable[[int, int], None]
"""Called with (answers of the denoiser so far, their number in all)."""

LEVELS = np.linspace(-12.0, 12.0, 33)
"""The levels of a probe by default; they pass both ends of the usual ranges of alpha_bar."""

MEASURED = ("gain", "bias", "error", "excess", "residual")
"""The fields of a :class:`Probe` that have a standard error."""

_FEWEST = 3  # pairs, of which a line takes two
_SAME_SPECTRUM = 1e-3  # of the standard deviations, in norm: what sums in float32 may differ by


@dataclass(frozen=True, eq=False, repr=False)
class Probe(Shown):
    """The measured effect of a denoiser on each eigenvalue [d] at each level [L], see the module.

    Attributes:
      spectrum: d eigenvalues, without the basis; its ``whitening`` is the noise of the probe.
      logsnr: [L], increasing.
      gain: [L, d], of ``y``.
      bias: [L, d].
      error: [L, d], the mean square of all that the answers are off by.
      excess: [L, d], of their distance to Wiener's filter.
      residual: [L, d], of what is not linear.
      standard_errors: [L, d] of each of these, by name.
      source: what was probed and how: the run and its step, data, n, seed.
    """

    spectrum: Spectrum
    logsnr: np.ndarray
    gain: np.ndarray
    bias: np.ndarray
    error: np.ndarray
    excess: np.ndarray
    residual: np.ndarray
    standard_errors: Mapping[str, np.ndarray]
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def wiener_gain(self) -> np.ndarray:
        """Wiener's gain ``lambda / (lambda + s^2)`` [L, d]."""
        lam = np.asarray(self.spectrum.eigenvalues, np.float64)
        return lam / (lam + np.exp(-self.logsnr)[:, None])

    @property
    def wiener_error(self) -> np.ndarray:
        """Wiener's error ``lambda s^2 / (lambda + s^2)`` [L, d]."""
        return self.wiener_gain * np.exp(-self.logsnr)[:, None]

    @property
    def offset(self) -> np.ndarray:
        """The offset [L, d] of the linear stand-in ``gain y + offset``."""
        return (1 - self.gain) * np.asarray(self.spectrum.mean) + self.bias

    @property
    def response(self) -> Measured:
        """The linear stand-in for the denoiser at every level."""
        lam = np.asarray(self.spectrum.eigenvalues, np.float64)
        return Measured.from_levels(lam, self.logsnr, self.gain, self.bias)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the numbers, in hexadecimal."""
        digest = hashlib.sha256(self.spectrum.fingerprint.encode())
        errors = (self.standard_errors[name] for name in MEASURED)
        for x in (self.logsnr, *(getattr(self, name) for name in MEASURED), *errors):
            digest.update(np.asarray(x, "<f8").tobytes())
        return digest.hexdigest()

    @property
    def about(self) -> dict[str, Any]:
        """The source of the denoiser, for the provenance of what is fitted to it."""
        known = {k: v for k, v in self.source.items() if k != "versions"}
        return {**known, "fingerprint": self.fingerprint}

    def on(self, spectrum: Spectrum, *, name: str = "the spectrum") -> Spectrum:
        """Return the probed spectrum in place of a given one, if the two are the same.

        Args:
          spectrum: must have the probed eigenvalues, up to rounding and a floor, which the
            returned spectrum has, too.
          name: what the error calls it.

        Returns:
          The eigenvalues in the order and precision of what was measured.

        Raises:
          UserError: if the spectrum is not the one that was probed, or under another noise.
        """
        check_noise(self.spectrum.noise, spectrum.noise, what="the probe", where=name)
        unit = 1.0 if spectrum.whitening is None else np.asarray(spectrum.whitening.variance)
        least = float((np.asarray(spectrum.eigenvalues) * unit).min())
        base = self.spectrum if least <= 0 else self.spectrum.floor(least)
        _check_same(base, spectrum, name)
        return base


def _check_same(probed: Spectrum, given: Spectrum, name: str) -> None:
    """Refuse another dimension, or standard deviations that differ by more than rounding."""
    if given.dimension != probed.dimension:
        raise UserError(
            f"the denoiser was probed in {probed.dimension:,} dimensions, {name} has "
            f"{given.dimension:,}: probe the one that this data is for"
        )
    before, now = (np.sort(np.sqrt(np.asarray(x.eigenvalues, np.float64))) for x in (probed, given))
    apart = np.linalg.norm(before - now) / np.linalg.norm(before)
    if apart > _SAME_SPECTRUM:
        raise UserError(
            f"the denoiser was probed on {(probed.source or {}).get('name', 'other data')}, whose "
            f"standard deviations differ by {100 * apart:.3g} % from those of {name}: give the "
            "data that it was trained on, or probe one that was trained on these"
        )


@shows_progress("probe", "answers")
def probe(
    denoise: Callable[..., Array],
    samples: Any,
    spectrum: Spectrum,
    *,
    levels: Any = LEVELS,
    n: int = 512,
    seed: int = 0,
    batch: int | None = None,
    labels: Any = None,
    conditions: Any = None,
    progress: Progress | Literal[False] | None = None,
    source: Mapping[str, Any] | None = None,
) -> Probe:
    """Measure what a denoiser does to each eigenvalue at each noise level, see the module.

    Args:
      denoise: ``(x, alpha, sigma) -> x0`` on batches [m, *shape] (float32), or a
        :class:`specjax.BlackBox`.
      samples: [N, *shape] in the network's units; best held out from its training.
      spectrum: with the basis in which to measure; without one samples are [N, d]. To probe under
        a noise, the spectrum of :func:`specjax.effective`.
      levels: logsnr [L], increasing; by default 33 from -12 to 12.
      n: samples drawn of the N (all of them where N is less), each used twice at each level.
      seed: of the draw and of the noise.
      batch: answers in one call; by default as many as fit.
      labels: [N], the class of each sample, which the denoiser gets as a fourth argument.
      conditions: in place of labels, a tree of arrays [N, ...], see :func:`specjax.generate`.
      progress: see :data:`Progress`; by default a line on standard error in long calls, False
        for none.
      source: where the denoiser comes from, kept with the probe.

    Raises:
      UserError: for samples of another shape than the basis, fewer than three, a spectrum
        without a basis, another number of labels or conditions, levels that do not increase, a
        denoiser that returns another shape, NaN or infinite values of the samples or the denoiser.

    Example:
      >>> spectrum = sx.Spectrum([4.0, 1.0])
      >>> x = np.random.default_rng(0).normal(size=(100, 2)) * [2, 1]
      >>> found = probe(sx.wiener(spectrum), x, spectrum)
      >>> bool(abs(found.gain - found.wiener_gain).max() < 1e-4)
      True
    """
    levels = check_options(levels, n, seed, batch)
    x = _checked_samples(samples, spectrum)
    conditions = told.checked(labels, conditions, len(x))
    n, rng = min(n, len(x)), np.random.default_rng(seed)  # a repeat would be no observation
    rows = np.sort(rng.permutation(len(x))[:n])
    x0 = np.asarray(x[rows], np.float32)
    if not np.isfinite(x0).all():
        raise UserError("samples hold NaN or infinite values: leave those samples out")
    eps = rng.standard_normal(x0.shape, np.float32)
    if spectrum.noise is not None:
        eps = np.asarray(spectrum.noise.color(eps), np.float32)
    conditions = told.at(conditions, np.tile(rows, 2))
    pairs = _Pairs(spectrum, x0, eps)
    answers = _Answers(within(denoise, spectrum.noise), x0, eps, conditions, batch)
    at_levels = []
    for k, level in enumerate(levels):
        answer = answers.at(level, progress or None, (k * 2 * n, len(levels) * 2 * n))
        if not np.isfinite(answer).all():
            raise UserError(f"the denoiser returned NaN or infinite values at logsnr = {level:g}")
        at_levels.append(pairs.measured(answer, np.exp(-level / 2)))
    values, errors = (
        {name: np.stack([one[i][name] for one in at_levels]) for name in MEASURED} for i in (0, 1)
    )
    known = {"samples": len(x), "n": n, "seed": seed, **(source or {})}
    return Probe(spectrum.without_basis, levels, **values, standard_errors=errors, source=known)


def check_options(levels: Any, n: int, seed: int = 0, batch: int | None = None) -> np.ndarray:
    """Return the levels if these are options that :func:`probe` takes, before data are read.

    Raises:
      UserError: if one is not.
    """
    found = np.asarray(levels, np.float64)
    bounded = np.isfinite(found).all() and (np.abs(found) <= 60).all()
    if found.ndim != 1 or found.size < 2 or not bounded or not (np.diff(found) > 0).all():
        raise UserError(
            f"levels has shape {found.shape}: give at least two finite numbers (logsnr), strictly "
            "increasing, from -60 to 60"
        )
    checks.whole_number("n", n, _FEWEST)
    checks.whole_number("seed", seed, 0)
    if batch is not None:
        checks.whole_number("batch", batch)
    return found


def _checked_samples(samples: Any, spectrum: Spectrum) -> Any:
    basis = spectrum.basis
    shape = (spectrum.dimension,) if basis is None else tuple(basis.shape)
    samples = samples if hasattr(samples, "shape") else np.asarray(samples)
    samples = checks.unmasked("samples", samples)
    if tuple(samples.shape[1:]) != shape or len(samples) < _FEWEST:
        which = " (it has no basis)" if basis is None else ""
        raise UserError(
            f"samples have shape {tuple(samples.shape)}: the spectrum{which} needs [N, "
            f"{', '.join(map(str, shape))}], at least three"
        )
    return samples


class _Answers:
    """The answers [2 n, *shape] of a denoiser to ``x0 + s eps`` and ``x0 - s eps``."""

    def __init__(
        self,
        denoise: Callable[..., Array],
        x0: np.ndarray,
        eps: np.ndarray,
        conditions: Any,
        batch: int | None,
    ) -> None:
        self.x0, self.eps, self.conditions = x0, eps, conditions
        self.denoise = denoise  # kept here, because the program refers to it weakly
        self.size = batch_size(2 * len(x0), x0.shape[1:], 1, batch, 1, jax.local_devices()[0])
        self.boxed = is_black_box(denoise)
        if self.boxed:
            return
        self.program, self.arrays = program_of(denoise)
        x = jax.ShapeDtypeStruct((self.size, *x0.shape[1:]), np.float32)
        level = jax.ShapeDtypeStruct((), np.float32)
        first = told.at(conditions, next(self._batches(2 * len(x0)))[1])
        answer = jax.eval_shape(told.telling(denoise, first), x, level, level)
        if answer.shape != x.shape:
            raise UserError(
                f"the denoiser returns {tuple(answer.shape)} for x of shape {x.shape}: give one "
                "that returns x0 of the same shape"
            )

    def at(self, level: float, progress: Progress | None, done: tuple[int, int]) -> np.ndarray:
        """Compute the answers at a level, by a step that keeps nothing but the answer."""
        alpha, sigma = (np.asarray(x, np.float32) for x in alpha_sigma(np.asarray(level), "vp"))
        row = Row(alpha, sigma, *(np.full(k, i, np.float32) for k, i in _ANSWER_ONLY))
        x = np.concatenate([alpha * self.x0 + sign * sigma * self.eps for sign in (1, -1)])
        answers = np.empty_like(x)
        for part, index in self._batches(len(x)):
            conditions = told.at(self.conditions, index)
            if self.boxed:
                answer = told.telling(self.denoise, conditions)(x[index], alpha, sigma)
            else:
                answer = self.program.one_row(
                    self.arrays, conditions, x[None, index], row, None, np.int32(0), None,
                    stochastic=False,
                )[0]  # fmt: skip
            answers[part] = np.asarray(answer)[: part.stop - part.start]
            if progress:
                progress(done[0] + part.stop, done[1])
        return answers

    def _batches(self, count: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Cut rows into batches of one size, the last one filled up so that nothing compiles anew.

        A batch is the slice of its answers and the indices of its rows. A black box has nothing to
        compile, and no answer to give for nothing.
        """
        for first in range(0, count, self.size):
            part = slice(first, min(first + self.size, count))
            end = part.stop if self.boxed else first + self.size
            yield part, np.minimum(np.arange(first, end), count - 1)


_ANSWER_ONLY = (((1, 1), 0), (1, 1), (1, 0))  # shape and value of keep, pull and push


class _Fit(NamedTuple):
    """A straight line per direction [d], what it leaves, and the influence of each pair [n, d]."""

    intercept: np.ndarray
    slope: np.ndarray
    rest: np.ndarray  # [2, n, d]
    on_intercept: np.ndarray
    on_slope: np.ndarray


class _Pairs:
    """Pairs of samples and noise in the eigenbasis, [n, d]."""

    def __init__(self, spectrum: Spectrum, x0: np.ndarray, eps: np.ndarray) -> None:
        self.spectrum = spectrum
        self.mean = np.asarray(spectrum.mean, np.float64)
        self.clean, self.noise = (
            np.asarray(spectrum.project(x.astype(np.float64))) for x in (x0, eps)
        )
        self.clean = self.clean - self.mean

    def measured(
        self, answers: np.ndarray, s: float
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Estimate the measured quantities [d] at a level, and their standard errors."""
        lam, n = np.asarray(self.spectrum.eigenvalues, np.float64), len(self.clean)
        wiener = lam / (lam + s**2)
        z = self.clean + s * np.stack([self.noise, -self.noise])  # [2, n, d]
        d = np.asarray(self.spectrum.project(answers.astype(np.float64)))
        over = d.reshape(z.shape) - self.mean - wiener * z  # what is not Wiener's
        fit = _line(z, over)
        ideal = wiener * z - self.clean  # the error of Wiener's answers
        error = ((over + ideal) ** 2).mean(0)
        excess = (over * (over + 2 * ideal)).mean(0)
        residual = (fit.rest**2).mean(0)
        means = {"error": error, "excess": excess, "residual": residual}
        values = {
            "gain": wiener + fit.slope,
            "bias": fit.intercept,
            **{name: x.mean(0) for name, x in means.items()},
        }
        scale = np.sqrt(n / (n - 2))
        errors = {
            "gain": scale * np.sqrt((fit.on_slope**2).sum(0)),
            "bias": scale * np.sqrt((fit.on_intercept**2).sum(0)),
            **{name: x.std(0, ddof=1) / np.sqrt(n) for name, x in means.items()},
        }
        return values, errors


def _line(z: np.ndarray, u: np.ndarray) -> _Fit:
    """Fit ``u = intercept + slope z + rest`` [2, n, d] by least squares over both signs and all n.

    The influence of a pair is what the line would change by with its rest alone; the sum of their
    squares is White's estimate of the variance, a pair being one observation.
    """
    count, first, second = z[..., 0].size, z.sum((0, 1)), (z**2).sum((0, 1))
    determinant = count * second - first**2

    def solved(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (second * a - first * b) / determinant, (count * b - first * a) / determinant

    intercept, slope = solved(u.sum((0, 1)), (z * u).sum((0, 1)))
    rest = u - intercept - slope * z
    return _Fit(intercept, slope, rest, *solved(rest.sum(0), (z * rest).sum(0)))
