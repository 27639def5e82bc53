"""What a denoiser makes of noise, beside what the ideal one and its own linear part would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import specjax as sx
from experiments import bands
from experiments.ideal_denoiser.config import COSINE, ENDS, FIT, REFIT, SPECTRAL, Config
from experiments.ideal_denoiser.subjects import Subject
from specjax.evaluate.frechet import frechet_of_moments
from specjax.report.probe_bands import bands as groups

_NOISE = 30_000  # the first of the seeds of the noise


def schedules_of(
    spectrum: sx.Spectrum, probed: sx.Spectrum, sampler: str, steps: int
) -> Iterator[tuple[str, sx.NoiseSchedule, dict[str, Any]]]:
    """All schedules, those that are learned with whether they converged."""
    yield COSINE, sx.family("cosine", steps, alpha_bar_range=ENDS), {}
    yield SPECTRAL, sx.spectral(spectrum, steps, alpha_bar_range=ENDS), {}
    for name, of in ((FIT, spectrum), (REFIT, probed)):
        found = sx.fit(of, steps, sampler=sampler, loss="w2", alpha_bar_range=ENDS)
        yield name, found.schedule, {"converged": bool(found.converged)}


def judged(
    subject: Subject, probed: sx.Spectrum, schedule: sx.NoiseSchedule, sampler: str,
    seed: int, config: Config,
) -> dict[str, Any]:  # fmt: skip
    """Measured, and predicted by the ideal denoiser and by the response of this one.

    The Fréchet distances are to the moments of the data, squared; the predicted ones are of the
    Gaussian itself, without the error of n samples.
    """
    plan, spectrum = sx.plan(sampler, schedule), subject.spectrum
    shape = subject.samples.shape[1:]
    samples = sx.generate(plan, subject.denoise, config.n, shape, seed=_NOISE + seed)
    decibel = bands.measured(samples, spectrum)
    return {
        "logsnr": rounded(np.asarray(schedule.logsnr)[:-1]),
        "decibel": rounded(decibel),
        "rms": float(np.sqrt(np.mean(decibel**2))),
        "frechet": _frechet(samples, spectrum),
        "ideal": prediction(plan, spectrum),
        "probed": prediction(plan, probed),
        "standard_error": rounded(bands.standard_errors(plan, spectrum, config.n)),
    }


def rounded(x: Any) -> list[float]:
    """As it is written."""
    return [round(float(one), 5) for one in x]


def prediction(plan: sx.SamplerPlan, spectrum: sx.Spectrum) -> dict[str, Any]:
    """Bands in dB, and the squared Wasserstein distance of two Gaussians."""
    moments = sx.transfer(plan, spectrum)
    spread = np.asarray(moments.std) - np.sqrt(np.asarray(spectrum.eigenvalues))
    distance = (spread**2).sum() + (bands.shift_of(moments, spectrum) ** 2).sum()
    return {"decibel": rounded(bands.predicted(plan, spectrum)), "frechet": float(distance)}


def _frechet(samples: np.ndarray, spectrum: sx.Spectrum) -> float:
    """In the eigenbasis, where the data's covariance is diagonal."""
    flat = np.asarray(spectrum.project(samples.astype(np.float64)))
    mean, lam = np.asarray(spectrum.mean), np.asarray(spectrum.eigenvalues)
    return frechet_of_moments(flat.mean(0), np.cov(flat.T), mean, np.diag(lam))


def response_of(found: sx.Probe, config: Config) -> dict[str, Any]:
    """At each level, over the error of the ideal denoiser, summed over directions.

    With ``z`` a direction of the noisy sample, of variance ``lambda + s^2``:

    - linear: ``sum (gain - Wiener's)^2 (lambda + s^2) + bias^2``, what the linear part is wrong by;
    - chance: the same of the standard errors, what the probe's own noise makes of it;
    - rest: ``sum residual``, what is not linear in the direction itself;
    - error: that of the denoiser; below 1 it knows more than the covariance.

    And the gains, averaged over directions in groups of neighbouring ranks.
    """
    at = [int(np.abs(found.logsnr - level).argmin()) for level in config.levels]
    lam = np.asarray(found.spectrum.eigenvalues) + np.exp(-found.logsnr)[:, None]
    gap, noise = found.gain - found.wiener_gain, found.standard_errors
    ideal = found.wiener_error
    shares = {
        "linear": gap**2 * lam + found.bias**2,
        "chance": noise["gain"] ** 2 * lam + noise["bias"] ** 2,
        "rest": found.residual,
        "error": ideal + found.excess,
    }
    return {
        "logsnr": rounded(found.logsnr[at]),
        **{name: [float(x[k].sum() / ideal[k].sum()) for k in at] for name, x in shares.items()},
        "groups": [
            {
                "ranks": [one.first, one.last],
                "gain": rounded(one.gain[at]),
                "wiener": rounded(one.wiener_gain[at]),
                "standard_error": rounded(one.gain_error[at]),
            }
            for one in groups(found)
        ],
    }
