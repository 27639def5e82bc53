"""The priors: exact denoisers, what they stand for, and how far from Gaussian that is.

All synthetic ones have mean 0 and one covariance, so that whatever is made from the spectrum is
the same for all of them, and only the distribution differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import specjax as sx
from experiments.data import LIKELY, digits, exact_denoiser, patches

DIMENSION, EXPONENT, SCALE = 32, 2.0, 4.0
_SCALES = 64
"""Values that the scale of a heavy-tailed prior takes, equally likely."""


@dataclass(frozen=True)
class PriorConfig:
    """A prior under test. ``kind`` says which of the other numbers it uses.

    Attributes:
      level: the number that is varied in its family, as tables have it.
      components, share: of "mixture": K means at the corners of a simplex, which have the share r
        of the variance of the K - 1 leading directions. Whitened, each is ``sqrt(r (K - 1))`` from
        their mean and two are ``sqrt(2 r K)`` apart; the standard deviation around each is
        ``sqrt(1 - r)`` in every direction. So two are ``sqrt(2 K) * separation`` deviations apart.
      freedom: of "tails", Student's degrees of freedom.
      data, width: of "empirical": digits or patches, and the kernel's width or LIKELY.
      learned: steps for which plans are learned.
    """

    kind: str
    level: str
    components: int = 1
    share: float = 0.0
    freedom: float = 0.0
    data: str = ""
    width: float | str = 0.0
    learned: tuple[int, ...] = (3, 5, 8, 10, 20)

    @property
    def separation(self) -> float:
        """The root mean square of a mean over the deviation around it, per leading direction."""
        return (self.share / (1 - self.share)) ** 0.5


def _of_data(data: str, width: float | str) -> PriorConfig:
    learned = (3, 10, 20) if width == LIKELY else ()
    level = "h likeliest" if width == LIKELY else f"h = {width}"
    return PriorConfig("empirical", level, data=data, width=width, learned=learned)


PRIORS = {
    "gaussian": PriorConfig("gaussian", "Gaussian"),
    **{
        f"mixture-4-{r}": PriorConfig("mixture", f"separation {(r / (1 - r)) ** 0.5:.3g}", 4, r)
        for r in (0.5, 0.9, 0.99, 0.999)
    },
    **{f"mixture-{k}-0.99": PriorConfig("mixture", f"{k} components", k, 0.99) for k in (2, 8, 16)},
    **{
        f"tails-{nu:g}": PriorConfig("tails", f"{nu:g} degrees of freedom", freedom=nu)
        for nu in (10, 5, 3, 2.5)
    },
    **{
        f"{data}-{width}": _of_data(data, width)
        for data in ("digits", "patches")
        for width in (LIKELY, 0.1, 0.05, 0.02)
    },
}


class Case(NamedTuple):
    """A prior that judges.

    Attributes:
      prior: the denoiser. learned_on: the prior that its own plans are learned on, which is that of
        the other half where there are halves.
      mean, covariance: of what samples should be distributed as. draw: n of them.
    """

    prior: Any
    learned_on: Any
    mean: np.ndarray
    covariance: np.ndarray
    draw: Callable[[int, np.random.Generator], np.ndarray]


def case_of(subject: PriorConfig, seed: int) -> Case:
    """Make the prior of a subject; the seed is that of the halves of data."""
    if subject.kind == "empirical":
        return _halves(subject, seed)
    prior, draw = _MADE[subject.kind](subject)
    covariance = np.diag(np.asarray(prior.spectrum.eigenvalues))
    return Case(prior, prior, np.zeros(DIMENSION), covariance, draw)


def spectrum() -> sx.Spectrum:
    """Give the spectrum of all synthetic priors."""
    return sx.Spectrum.power_law(DIMENSION, EXPONENT, SCALE)


def simplex(components: int) -> np.ndarray:
    """Give K points [K, K - 1] with mean 0 and covariance I: an isometry takes I - 1/K there."""
    centred = np.eye(components) - 1 / components
    vectors = np.linalg.svd(centred)[0][:, : components - 1]
    return np.asarray(vectors * np.sqrt(components))


def _gaussian(subject: PriorConfig) -> Any:
    prior = sx.priors.Gaussian(spectrum())
    return prior, lambda n, rng: rng.normal(size=(n, DIMENSION)) * np.sqrt(spectrum().eigenvalues)


def _mixture(subject: PriorConfig) -> Any:
    lam, k, r = np.asarray(spectrum().eigenvalues), subject.components, subject.share
    means = np.zeros((k, DIMENSION))
    means[:, : k - 1] = simplex(k) * np.sqrt(r * lam[: k - 1])
    within = np.where(np.arange(DIMENSION) < k - 1, (1 - r) * lam, lam)
    weights = np.full(k, 1 / k)
    prior = sx.priors.Mixture.from_covariances(
        weights, means, np.tile(within, (k, 1)), spectrum=spectrum()
    )

    def draw(n: int, rng: np.random.Generator) -> np.ndarray:
        return means[rng.integers(k, size=n)] + rng.normal(size=(n, DIMENSION)) * np.sqrt(within)

    return prior, draw


def scales(freedom: float) -> np.ndarray:
    """Give quantiles of Student's mixing ``nu / chi^2_nu``, of mean 1: any nu has a variance."""
    from scipy.stats import chi2

    middle = (np.arange(_SCALES) + 0.5) / _SCALES
    found = freedom / chi2.ppf(middle, freedom)
    return np.asarray(found / found.mean())


def _tails(subject: PriorConfig) -> Any:
    values = scales(subject.freedom)
    prior = sx.priors.ScaleMixture(spectrum(), values, np.full(_SCALES, 1 / _SCALES))
    lam = np.asarray(spectrum().eigenvalues)

    def draw(n: int, rng: np.random.Generator) -> np.ndarray:
        white = rng.normal(size=(n, DIMENSION))
        return np.sqrt(values[rng.integers(_SCALES, size=n)][:, None] * lam) * white

    return prior, draw


_MADE = {"gaussian": _gaussian, "mixture": _mixture, "tails": _tails}


def _halves(subject: PriorConfig, seed: int) -> Case:
    """Judge on one half's denoiser; samples should be as the other half with the kernel's noise."""
    samples = digits() if subject.data == "digits" else patches()
    other = exact_denoiser(samples, subject.width, seed)
    prior, width = other.held_out, float(other.kernel_width)
    assert prior is not None
    data = np.asarray(other.samples, np.float64).reshape(len(other.offsets), -1)
    covariance = np.cov(data.T, bias=True) + width**2 * np.eye(data.shape[1])

    def draw(n: int, rng: np.random.Generator) -> np.ndarray:
        return data[rng.integers(len(data), size=n)] + width * rng.normal(size=(n, data.shape[1]))

    return Case(prior, other, data.mean(0), covariance, draw)


def negentropy(case: Case, n: int, seed: int) -> float:
    """Estimate ``KL(p || Gaussian of the same moments)`` of a prior in nats, from n draws.

    It is half of the integral of what the linear denoiser errs more than the ideal one, over the
    ratio of signal to noise (Guo, Shamai, Verdu 2005): what a Gaussian schedule does not know.
    """
    rng = np.random.default_rng(seed)
    if hasattr(case.prior, "offsets"):
        width = float(case.prior.kernel_width)
        flat = np.asarray(case.prior.samples, np.float64).reshape(len(case.prior.offsets), -1)
        x = flat[rng.integers(len(flat), size=n)] + width * rng.normal(size=(n, flat.shape[1]))
    else:
        x = case.draw(n, rng)
    shaped = x.reshape(n, *case.prior.shape)
    density = np.concatenate([
        np.asarray(case.prior.log_density(part)) for part in np.array_split(shaped, -(-n // 1000))
    ])  # fmt: skip
    lam = np.asarray(case.prior.spectrum.eigenvalues, np.float64)
    return float(density.mean() + np.log(2 * np.pi * np.e * lam).sum() / 2)


def kurtosis(subject: PriorConfig) -> float:
    """Give the excess kurtosis of a direction of a heavy-tailed prior: ``3 (E v^2 - 1)``."""
    return float(3 * (np.mean(scales(subject.freedom) ** 2) - 1))
