"""What is run, frozen."""

from __future__ import annotations

from dataclasses import dataclass, field

ENDS = (4.0358e-5, 1.0)
SAMPLERS = ("ddim", "ddpm", "dpmpp_2m")
HEURISTICS = ("cosine", "linear", "sigmoid", "karras", "uniform_logsnr", "align_your_steps")
SPECTRAL = ("spectral W2", "spectral KL", "learned W2")
"""Schedules from the spectrum: both closed forms, and the fit for the sampler."""

PLANS = ("plan: gaussian", "plan: own")
DIMENSION, EXPONENT, SCALE = 32, 2.0, 4.0
"""All synthetic priors have the covariance ``4 k^-2``, k = 1..32, so one Gaussian describes all."""


@dataclass(frozen=True)
class Subject:
    """A prior. ``kind`` says which of the other numbers it uses.

    Attributes:
      level: the number that is varied in its family, as tables have it.
      components, share: of "mixture": K means at the corners of a simplex, which have the share r
        of the variance of the K - 1 leading directions. Whitened, each is ``sqrt(r (K - 1))`` from
        their mean and two are ``sqrt(2 r K)`` apart; the standard deviation around each is
        ``sqrt(1 - r)`` in every direction. So two are ``sqrt(2 K) * separation`` deviations apart.
      freedom: of "tails", Student's degrees of freedom.
      data, width: of "empirical": digits or patches, and the kernel's width or "likely".
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
        """Root mean square of a mean over the deviation around it, per leading direction."""
        return (self.share / (1 - self.share)) ** 0.5


def _mixture(components: int, share: float, level: str) -> Subject:
    return Subject("mixture", level, components=components, share=share)


def _tails(freedom: float) -> Subject:
    return Subject("tails", f"{freedom:g} degrees of freedom", freedom=freedom)


def _empirical(data: str, width: float | str) -> Subject:
    learned = (3, 10, 20) if width == "likely" else ()
    level = "h likeliest" if width == "likely" else f"h = {width}"
    return Subject("empirical", level, data=data, width=width, learned=learned)


GAUSSIAN = Subject("gaussian", "Gaussian")
SUBJECTS = {
    "gaussian": GAUSSIAN,
    **{
        f"mixture-4-{r}": _mixture(4, r, f"separation {(r / (1 - r)) ** 0.5:.3g}")
        for r in (0.5, 0.9, 0.99, 0.999)
    },
    **{f"mixture-{k}-0.99": _mixture(k, 0.99, f"{k} components") for k in (2, 8, 16)},
    **{f"tails-{nu:g}": _tails(nu) for nu in (10, 5, 3, 2.5)},
    **{
        f"{data}-{width}": _empirical(data, width)
        for data in ("digits", "patches")
        for width in ("likely", 0.1, 0.05, 0.02)
    },
}
FAMILIES = {
    "mixture of 4 Gaussians, separation": (
        "gaussian", "mixture-4-0.5", "mixture-4-0.9", "mixture-4-0.99", "mixture-4-0.999",
    ),
    "mixture of separation 9.95, components": (
        "gaussian", "mixture-2-0.99", "mixture-4-0.99", "mixture-8-0.99", "mixture-16-0.99",
    ),
    "heavy tails": ("gaussian", "tails-10", "tails-5", "tails-3", "tails-2.5"),
    "half of the digits, kernel width": (
        "digits-likely", "digits-0.1", "digits-0.05", "digits-0.02",
    ),
    "half of 3,000 patches 8x8, kernel width": (
        "patches-likely", "patches-0.1", "patches-0.05", "patches-0.02",
    ),
}  # fmt: skip
"""What is varied, from the most Gaussian on."""


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment; ``SMALLEST`` is the same in seconds.

    Attributes:
      steps: denoiser calls. seeds: of noise and draws, and of the halves of data.
      n: samples that judge. pairs: of them in the energy distance. draws: for the negentropy.
      fine: steps of the fine solution. noises, iterations: of the learning, None for the default.
      tolerance: of the teacher. samplers: all by default. subjects: names.
    """

    steps: tuple[int, ...] = (3, 5, 8, 10, 20)
    seeds: int = 3
    n: int = 2000
    pairs: int = 1000
    draws: int = 20_000
    fine: int = 512
    noises: int | None = None
    iterations: int = 300
    tolerance: float = 0.05
    samplers: tuple[str, ...] = SAMPLERS
    subjects: tuple[str, ...] = field(default_factory=lambda: tuple(SUBJECTS))


CONFIG = Config()
# No plan is learned for 4 calls: compiling that would take most of the time.
SMALLEST = Config(
    steps=(4,), seeds=2, n=400, pairs=50, draws=400, fine=32, noises=16, iterations=3,
    tolerance=0.9, samplers=("ddim",), subjects=("gaussian", "mixture-4-0.9"),
)  # fmt: skip
