"""What to use for data: everything that the spectrum says, each number with its reason."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Unpack

import numpy as np

from specjax import data as datasets
from specjax._core import checks
from specjax._core.progress import shows_progress
from specjax._core.shown import Shown
from specjax.advise import levels
from specjax.advise.by_steps import AdvisedSteps, Calls, advise_steps, calls_needed, check_steps
from specjax.advise.channels import Channels, channels_of
from specjax.advise.resampling import Replicates, replicates_of
from specjax.gaussian.task import GaussianTask, TaskOptions
from specjax.spectra import estimate
from specjax.spectra.few_samples import few_samples
from specjax.spectra.power_law import PowerLaw, power_law_fit, ranked
from specjax.spectra.spectrum import Spectrum

MOST_EXACT = 4096
"""The most dimensions whose covariance is diagonalised; beyond, the spectrum is stationary."""

QUANTILES = np.linspace(0.01, 0.99, 33)
"""Probabilities for which the training density's levels are given."""

DECIDED = (0.01, 0.1, 0.5, 0.9, 0.99)
"""Shares of the directions for which it is said where they are still noise."""

FRAMEWORKS = ("edm", "vp", "flow")
_MOST_CHANNELS = 4  # on the last axis, without a question
_WARNED = 0.1  # the share of a loss above which the mean is warned of


@dataclass(frozen=True)
class Advised:
    """A number with its reason.

    Attributes:
      name: what it is called, in the framework's own words.
      value: of it.
      error: its standard error by the bootstrap; NaN where samples are not at hand.
      equation: where it comes from.
      reason: why, in words.
      gaussian: whether it rests on the Gaussian alone, with the data's own spectrum but nothing of
        what else is in the data.
    """

    name: str
    value: float
    error: float
    equation: str
    reason: str
    gaussian: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Advice(Shown):
    """Advice of the spectrum of data on training and sampling.

    Attributes:
      spectrum: of the data.
      numbers: by name, each an :class:`Advised`: sigma_data, sigma_min, sigma_max, P_mean, P_std,
        beta_min, beta_max, exponent.
      by_steps: what is best in each number of steps.
      quantiles: sigma of the training density, below which levels are with :data:`QUANTILES`.
      quantile_errors: their standard errors.
      decided: sigma at which 1, 10, 50, 90 and 99 % of the directions are still noise.
      decided_errors: their standard errors.
      calls: the fewest :class:`Calls` by sampler and share of the variance that is lost, the mean
        left out.
      law: the power law of the spectrum over rank; None for fewer than three directions.
      departs_at: the rank from which the spectrum stays more than a factor of 2 from the law; None
        where it does not.
      channels: mean and standard deviation of each channel; None without a basis.
      remarks: what to beware of, a sentence each.
    """

    spectrum: Spectrum
    numbers: Mapping[str, Advised]
    by_steps: tuple[AdvisedSteps, ...]
    quantiles: np.ndarray
    quantile_errors: np.ndarray
    decided: np.ndarray
    decided_errors: np.ndarray
    calls: Mapping[str, Mapping[float, Calls]]
    law: PowerLaw | None
    departs_at: int | None
    channels: Channels | None
    remarks: tuple[str, ...]

    def configuration(self, framework: str) -> dict[str, Any]:
        """Return the numbers by the names that a framework's own configuration has.

        Args:
          framework: "edm" (2206.00364), "vp" (DDPM's betas and score SDE's) or "flow".

        Example:
          >>> advice = advise(Spectrum([4.0, 1.0, 0.1]), steps=[10])
          >>> sorted(advice.configuration("flow"))
          ['logit_mean', 'logit_std', 'shift']
        """
        checks.one_of("framework", framework, FRAMEWORKS)
        value = {name: one.value for name, one in self.numbers.items()}

        def best(name: str) -> dict[int, float]:
            return {one.steps: one.parameters[name][0] for one in self.by_steps}

        if framework == "edm":
            names = ("sigma_data", "sigma_min", "sigma_max", "P_mean", "P_std")
            return {**{name: value[name] for name in names}, "rho": best("rho")}
        if framework == "flow":
            return {"shift": best("shift"), "logit_mean": value["P_mean"],
                    "logit_std": value["P_std"]}  # fmt: skip
        low, high = value["beta_min"], value["beta_max"]
        return {
            "beta_min": low, "beta_max": high, "beta_start": low / 1000, "beta_end": high / 1000,
            "num_train_timesteps": 1000, "cosine_tau": best("cosine_tau"),
            "sigmoid_tau": best("sigmoid_tau"),
        }  # fmt: skip


@shows_progress("advise", "samples")
def advise(
    spectrum_or_data: Any,
    *,
    steps: Sequence[int] = (8, 20, 50),
    method: str | None = None,
    layout: str | None = None,
    samples: datasets.Dataset | None = None,
    replicates: int = 100,
    seed: int = 0,
    progress: estimate.Progress | Literal[False] | None = None,
    **task: Unpack[TaskOptions],
) -> Advice:
    """Say what the spectrum of data advises for training and sampling, and why.

    Ranges, densities and shifts are in units of the data as they are given: whoever rescales data
    rescales every sigma, and adds the logarithm of the factor to P_mean.

    Args:
      spectrum_or_data: a :class:`specjax.Spectrum`, or what :func:`specjax.data.open` takes.
      steps: the numbers of steps to advise for.
      method: of the spectrum, see :meth:`Spectrum.from_samples`; by default exact up to 4,096
        dimensions, else shift-invariant.
      layout: what the axes of samples are, such as "NCHW"; by default channels are last.
      samples: with a spectrum, the data that it was made of, for the bootstrap.
      replicates: of the bootstrap; errors need samples that can be read twice, not a spectrum
        alone.
      seed: of the bootstrap.
      progress: called with (samples read, total or None).
      task: sampler, loss, mean, ... of what is looked for step by step, see
        :class:`specjax.gaussian.task.TaskOptions`; DDIM and W2 by default.

    Returns:
      An :class:`Advice`, which prints as a page.

    Raises:
      UserError: for steps below 1; for data that :func:`specjax.data.open` or the estimator
        refuses: one sample, NaN, complex numbers, mixed sizes, another layout; for a channel that
        is the same in all samples.

    Example:
      >>> advice = advise("digits", steps=[10])
      >>> round(advice.numbers["sigma_data"].value, 2)
      0.75
    """
    steps = check_steps(steps)
    checks.whole_number("replicates", replicates, 2)
    dataset, spectrum = samples, spectrum_or_data
    if not isinstance(spectrum, Spectrum):
        dataset = spectrum if isinstance(spectrum, datasets.Dataset) else datasets.open(spectrum)
        spectrum = dataset.spectrum(
            method=method or method_for(dataset), layout=layout, progress=progress or None
        )
    channels = channels_of(spectrum)
    resampled = None
    if dataset is not None and not isinstance(dataset.samples, Iterator):
        resampled = replicates_of(spectrum, dataset, replicates, seed)
    numbers = _numbers(spectrum, resampled, channels)
    resolved = GaussianTask.resolve(spectrum, **task)
    low, high = numbers["sigma_min"].value, numbers["sigma_max"].value
    found = tuple(advise_steps(resolved, one, resampled, low) for one in steps)
    lam, w = _positive(spectrum)
    law = power_law_fit(spectrum) if lam.size >= 3 else None
    quantiles, decided = _quantiles(lam, w), _decided(lam, w)
    unknown = np.full(QUANTILES.size, np.nan), np.full(decided.size, np.nan)
    errors = resampled and (resampled.spread(_quantiles), resampled.spread(_decided))
    quantile_errors, decided_errors = errors or unknown
    advice = Advice(
        spectrum, numbers, found, quantiles, quantile_errors, decided, decided_errors,
        calls=calls_needed(spectrum, high, {**task, "mean": "ignore"}, resampled),
        law=law, departs_at=None if law is None else _departure(spectrum, law),
        channels=channels, remarks=(),
    )  # fmt: skip
    return replace(advice, remarks=tuple(_remarks(advice)))


def _quantiles(lam: np.ndarray, w: np.ndarray) -> np.ndarray:
    return levels.LevelDensity(lam, w).quantiles(QUANTILES)


def _decided(lam: np.ndarray, w: np.ndarray) -> np.ndarray:
    return levels.decided(lam, w, np.array(DECIDED))


def method_for(dataset: datasets.Dataset) -> str:
    """Choose how the spectrum of a dataset is estimated."""
    return "exact" if math.prod(dataset.source["shape"]) <= MOST_EXACT else "shift-invariant"


def _positive(spectrum: Spectrum) -> tuple[np.ndarray, np.ndarray]:
    """Return the positive eigenvalues, falling, and their counts."""
    order, _, counts = ranked(spectrum)
    return np.asarray(spectrum.eigenvalues, np.float64)[order], counts


def _numbers(
    spectrum: Spectrum, resampled: Replicates | None, channels: Channels | None
) -> dict[str, Advised]:
    lam, w = _positive(spectrum)
    whole = float(np.asarray(spectrum.weights, np.float64).sum())
    own = float(w @ lam) / whole  # directions without variance are counted
    of_places = 0.0 if channels is None else float(np.mean(channels.std**2)) - own

    def all_of(lam: np.ndarray, w: np.ndarray) -> dict[str, float]:
        low, high = levels.sigma_min(lam, w), levels.sigma_max(lam, w)
        density = levels.LevelDensity(lam, w)
        beta_min, beta_max = levels.linear_betas(low, high)
        law = {"exponent": power_law_fit(Spectrum(lam, weights=w)).exponent} if lam.size > 2 else {}
        return {
            "sigma_data": math.sqrt(float(w @ lam) / whole + of_places),
            "sigma_min": low, "sigma_max": high, "P_mean": density.mean, "P_std": density.std,
            "beta_min": beta_min, "beta_max": beta_max, **law,
        }  # fmt: skip

    values, errors = all_of(lam, w), {}
    if resampled is not None:
        rows = [all_of(one, resampled.weights) for one in resampled.eigenvalues[1:]]
        errors = {k: float(np.std([row[k] for row in rows])) for k in values if k in rows[0]}
    return {
        name: Advised(name, value, errors.get(name, math.nan), *_REASONS[name])
        for name, value in values.items()
    }


_REASONS: Mapping[str, tuple[str, str, bool]] = {
    "sigma_data": (
        "sqrt(mean lambda + variance of the mean over places)",
        "the standard deviation of a number over samples and places", False,
    ),
    "sigma_min": (
        f"mean (1 - sqrt(lambda / (lambda + sigma^2)))^2 = {levels.BLURRED_AT_END:g}",
        "a last step from here blurs no more than that, all directions alike", True,
    ),
    "sigma_max": (
        "sum lambda (1 - sigma / sqrt(lambda + sigma^2))^2 = "
        f"{levels.LOST_AT_START:g} sum lambda",
        "a start from N(0, sigma^2) costs no more of the variance", True,
    ),
    "P_mean": (
        "mean of log sigma, density ~ 1 - mmse / mmse of white data",
        "there is most to be learned; it is flow matching's logit mean, too", True,
    ),
    "P_std": (
        "standard deviation of log sigma in the same density",
        "as wide as what can be learned; flow matching's logit std, too", True,
    ),
    "beta_min": ("1000 log(1 + sigma_min^2)", "VP with linear betas starts at sigma_min", True),
    "beta_max": ("2 log(1 + sigma_max^2) - beta_min", "and ends at sigma_max", True),
    "exponent": ("lambda ~ rank^-exponent", "the slope of the spectrum, octaves alike", False),
}  # fmt: skip


def _departure(spectrum: Spectrum, law: PowerLaw) -> int | None:
    """Return the rank from which the spectrum stays a factor of 2 away from its law."""
    order, first, _ = ranked(spectrum)
    lam = np.asarray(spectrum.eigenvalues, np.float64)[order]
    near = np.flatnonzero(np.abs(np.log(lam / law.at(first))) < math.log(2))
    after = 0 if not near.size else near[-1] + 1
    return None if after >= len(first) else int(first[after])


def _remarks(advice: Advice) -> list[str]:
    """Say what to beware of."""
    spectrum = advice.spectrum
    source, remarks = spectrum.source or {}, list[str]()
    remarks += few_samples(spectrum)
    share = max(one.mean_share for one in advice.by_steps)
    power = float(np.asarray(spectrum.mean_power).sum())
    if share > _WARNED:
        variance = float(np.asarray(spectrum.weights) @ np.asarray(spectrum.eigenvalues))
        remarks.append(
            f"the mean is {power / variance:.3g} times the variance, and up to {100 * share:.0f} % "
            "of the loss is its where sampling starts at 0: subtract it from the data, start at it "
            "(mean=... of sx.sample), or fit the fluctuations alone (--mean ignore)"
        )
    shape = tuple(source.get("shape", ()))
    if "layout" not in source and len(shape) == 3 and shape[2] > _MOST_CHANNELS:
        remarks.append(
            f"samples have shape {shape}, whose last axis is taken for {shape[2]} channels: if it "
            "is not, give a layout (--layout NCHW, NTHW)"
        )
    if source.get("method") == "shift-invariant":
        remarks.append("the spectrum is stationary: the same everywhere in a sample")
    lam = np.asarray(spectrum.eigenvalues, np.float64)
    constant = float(np.asarray(spectrum.weights)[lam <= 0].sum())
    if constant and not few_samples(spectrum):
        remarks.append(f"{constant:,.0f} directions have no variance and count nowhere")
    return remarks
