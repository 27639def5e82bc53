"""The config of trained networks, with the datasets and the networks that are trained on them."""

from __future__ import annotations

from dataclasses import dataclass, field

from experiments.experiment import Experiment, Part

SAMPLERS = ("ddim", "ddpm", "heun", "dpmpp_2m")
HEURISTICS = ("linear", "cosine", "sigmoid", "karras", "uniform_logsnr", "align_your_steps")
SPECTRAL = ("spectral W2", "spectral KL", "spectral probed")
"""Learned for the sampler on the spectrum of the data, or (W2) on the probed denoiser."""

RUNGS = ("gaussian", "scale_mixture", "mixture", "empirical", "probed", "network")
"""What plans are learned on, in the order of the ladder."""


def plan_name(rung: str) -> str:
    """Name the column of a rung's plan."""
    return f"plan: {rung}"


FINE, REAL = "fine solution", "real samples"
EIGHT_BITS = (2 / 255) ** 2 / 12


@dataclass(frozen=True)
class Row:
    """A dataset and the network that is trained on it.

    Attributes:
      title: of tables. data: as ``open_dataset`` takes it, with options of ``sx.data.open``.
      floor: eigenvalues below it are lifted to it for KL: the variance of rounding, in units of
        [-1, 1].
      width, multipliers, attention, updates, batch, flip: of the network and its training.
      features: updates of the classifier. label: what it tells apart.
      n: samples that judge. plans: rungs and the steps for which plans are learned on them.
      gpu: whether it needs one.
    """

    title: str
    data: str
    floor: float
    options: dict = field(default_factory=dict)
    width: int = 32
    multipliers: tuple[int, ...] = (1, 2)
    attention: tuple[int, ...] = ()
    updates: int = 2000
    batch: int = 64
    flip: bool = False
    features: int = 1500
    label: str = "class"
    n: int = 500
    plans: dict[str, tuple[int, ...]] = field(default_factory=dict)
    gpu: bool = False


_FEW, _CALLS, _SOME = (3, 5, 8, 10, 20), (3, 5, 8, 10), (5, 8)
_LEARNED = {"scale_mixture": _FEW, "empirical": _FEW, "gaussian": _FEW, "probed": _FEW}
_LARGE = {
    "plans": {**_LEARNED, "mixture": _FEW, "network": (3, 5, 8, 10)}, "n": 5000, "gpu": True,
    "multipliers": (1, 2, 2), "updates": 30_000, "batch": 128,
}  # fmt: skip
ROWS = {
    "digits": Row(
        "a UNet of 0.69 M parameters on the digits", "digits", (2 / 16) ** 2 / 12,
        plans={**_LEARNED, "mixture": _FEW, "network": _SOME}, label="digit",
    ),
    "spoken_digits": Row(
        "a 1-D UNet on spoken digits, 8 kHz, windows of 400", "spoken_digits", 1e-6,
        options={"window": 400, "label": "prefix", "limit": 12_000}, width=16,
        multipliers=(1, 2, 2), updates=1500, label="digit",
        plans={"gaussian": _CALLS, "scale_mixture": _CALLS, "probed": _CALLS, "empirical": (5,),
               "network": (5,)},
    ),
    "fashion_mnist": Row(
        "a UNet on 60,000 pieces of clothing, 28x28", "tfds:fashion_mnist", EIGHT_BITS, width=64,
        attention=(7,), flip=True, **_LARGE,
    ),
    "cifar10": Row(
        "a UNet on 50,000 photographs, 32x32x3", "tfds:cifar10", EIGHT_BITS, width=128,
        attention=(16, 8), flip=True, **{**_LARGE, "updates": 100_000},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      steps: of samplers; plans have as many denoiser calls. seeds: of the noise that judges.
      samplers, heuristics: all by default. fine: steps of the fine solution, DPM-Solver++(2M).
      probe: samples that the network is probed on. noises: of the learning, None for the default.
      iterations: of the learning.
      most: samples of the data, updates, width, n, features: instead of the row's, if given.
      rungs: on which plans are learned.
    """

    steps: tuple[int, ...] = (3, 5, 8, 10, 15, 20, 50, 100)
    seeds: int = 3
    samplers: tuple[str, ...] = SAMPLERS
    heuristics: tuple[str, ...] = HEURISTICS
    fine: int = 64
    probe: int = 500
    noises: int | None = None
    iterations: int = 300
    most: int | None = None
    updates: int | None = None
    width: int | None = None
    n: int | None = None
    features: int | None = None
    rungs: tuple[str, ...] = RUNGS


SMALLEST = Config(
    steps=(3,), seeds=2, samplers=("ddim",), heuristics=("cosine", "linear"), fine=4, probe=8,
    noises=8, iterations=2, most=200, updates=2, width=4, n=24, features=2, rungs=("gaussian",),
)  # fmt: skip

_MINUTES = {"digits": 175.0, "spoken_digits": 400.0}  # beside other work


def _part(name: str) -> Part:
    stems = [f"{name}-{steps}" for steps in ("fine", *Config.steps)]
    how = {"cases": (name,), "gpu": ROWS[name].gpu}
    return Part.of_seeds(ROWS[name].title, stems, Config.seeds, _MINUTES.get(name), **how)


EXPERIMENT = Experiment(
    "trained_networks",
    "Schedules of the spectrum and learned plans make trained networks better at equal steps",
    tuple(map(_part, ROWS)),
    Config(),
    SMALLEST,
    smallest_cases=("digits",),
    selection=("seeds", "steps"),
    options=("steps",),
)
