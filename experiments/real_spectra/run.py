"""Estimate the spectra of real data, learn schedules on them, and judge these on the others.

Spectra are kept in the working folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from experiments.data import AbsentError
from experiments.experiment import Experiment, Part
from experiments.real_spectra import schedules
from experiments.real_spectra.spectra import ESTIMATES, SpectraOf, facts_of
from experiments.session import Session, read_json, say


class Data(NamedTuple):
    """A dataset.

    Attributes:
      words: what it is. name: as ``open_dataset`` takes it. minutes: that its part takes.
      most: the most samples. recordings: the independent parts of sound, for halves.
    """

    words: str
    name: str
    minutes: float
    most: int | None = None
    recordings: int = 0


DATASETS = {
    "digits": Data("1,797 digits, 8x8", "digits", 3.0),
    "patches": Data("20,000 patches of two photographs, 32x32x3", "patches", 20.0),
    "fashion_mnist": Data("60,000 pieces of clothing, 28x28", "tfds:fashion_mnist", 5.0),
    "cifar10": Data("20,000 of 50,000 photographs, 32x32x3", "tfds:cifar10", 20.0, most=20_000),
    "spoken_digits": Data(
        "1,500 spoken digits, 8 kHz, windows of 400", "spoken_digits", 6.0, recordings=60
    ),
    "piano_notes": Data(
        "31 piano notes, 16 kHz, windows of 400", "piano_notes", 6.0, recordings=31
    ),
}
"""Spoken digits stand for SC09 and piano notes for MUSIC. 60 recordings are speaker and digit."""

CROSS = "cross"
EIGHT_BITS = (2 / 255) ** 2 / 12
"""The variance that rounding to 8 bits leaves in every direction, in units of [-1, 1]."""


class Regime(NamedTuple):
    """What a schedule is learned for."""

    sampler: str
    loss: str
    steps: int

    def __str__(self) -> str:
        return f"{self.sampler}, {self.loss}, S = {self.steps}"


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      samplers, losses, steps: every combination is learned.
      splits: into two random halves each, which tell how sure a number is.
      rank: of the low-rank estimate. ranks: of the ablation, those below the dimension.
      window: of sound. windows: of the ablation.
      floor: eigenvalues below it are lifted to it for KL, which has no value at zero.
      ablated: the steps of the ranks. most: samples of a dataset, the table's if None.
    """

    samplers: tuple[str, ...] = ("ddim", "ddpm")
    losses: tuple[str, ...] = ("w2", "kl")
    steps: tuple[int, ...] = (10, 50)
    splits: int = 5
    rank: int = 50
    ranks: tuple[int, ...] = (10, 25, 50, 100, 200, 400)
    window: int = 400
    windows: tuple[int, ...] = (100, 200, 400, 800)
    floor: float = EIGHT_BITS
    ablated: int = 10
    most: int | None = None

    @property
    def regimes(self) -> list[Regime]:
        """All combinations, DDIM and W2 first."""
        return [Regime(a, b, s) for a in self.samplers for b in self.losses for s in self.steps]


SMALLEST = Config(
    samplers=("ddim",), losses=("w2",), steps=(3,), splits=1, rank=8, ranks=(4, 8), window=64,
    windows=(64, 96), ablated=3, most=300,
)  # fmt: skip


def _part(name: str, data: Data) -> Part:
    kinds = ["estimates", "schedules", "ranks", *["units"] * (name in schedules.OTHER_UNITS)]
    files = [f"{kind}-{name}.json" for kind in kinds]
    if data.recordings:
        others = [x for x in Config.windows if x != Config.window]
        files += [f"windows-{name}.json", *(f"schedules-{name}@{x}.json" for x in others)]
    return Part(data.words, tuple(files), data.minutes, (name,))


EXPERIMENT = Experiment(
    "real_spectra",
    "Schedules learned on the spectra of real images and sound, and what they cost elsewhere",
    (
        *(_part(name, data) for name, data in DATASETS.items()),
        Part("every schedule on every dataset", ("cross.json",), 2.0, (CROSS,)),
    ),
    Config(),
    SMALLEST,
    selection=(),
)


def run(session: Session) -> None:
    """Make what is missing; a dataset that is not on this machine is skipped with the reason."""
    for name in [x for x in session.cases if x != CROSS]:
        try:
            of_dataset(session, name)
        except AbsentError as reason:
            say(f"{name} is skipped: {reason}")
    if CROSS in session.cases:
        here = [x for x in DATASETS if (session.results / f"schedules-{x}.json").exists()]
        if len(here) > 1:
            crossed(session, CROSS, [spectra_of(session, name) for name in here])


def spectra_of(session: Session, name: str, window: int | None = None) -> SpectraOf:
    """Give the spectra of a dataset, of sound in windows of a length."""
    data, config = DATASETS[name], session.config
    return SpectraOf(
        name, data.name, window or config.window, config, session.work,
        data.most if config.most is None else config.most, data.recordings,
    )  # fmt: skip


def of_dataset(session: Session, name: str) -> None:
    """Make all results of a dataset that need no other."""
    config, spectra = session.config, spectra_of(session, name)
    _make(session, f"estimates-{name}", lambda: estimates(spectra))
    learned(session, spectra, ESTIMATES)
    _make(session, f"ranks-{name}", lambda: {"ranks": schedules.ranks(spectra, config)})
    if name in schedules.OTHER_UNITS:
        _make(session, f"units-{name}", lambda: schedules.units(spectra, config))
    if DATASETS[name].recordings:
        windows = [spectra_of(session, name, window) for window in config.windows]
        crossed(session, f"windows-{name}", windows)


def estimates(spectra: SpectraOf) -> dict[str, Any]:
    """Make the three estimates of a dataset, keep them, and give their facts."""
    found, data = {}, spectra.samples()
    for method in ESTIMATES:
        spectrum, cost = spectra.estimate(method)
        spectra.kept(method, lambda made=spectrum: made)
        found[method] = {**cost, **facts_of(spectrum)}
    known = {k: v for k, v in data.source.items() if isinstance(v, int | float | str | list)}
    parts = len(set(data.part.tolist()))
    return {"source": known, "samples": len(data.x), "parts": parts, "estimates": found}


def learned(session: Session, spectra: SpectraOf, methods: Iterable[str]) -> dict[str, Any]:
    """Give the schedules that are learned on the estimates of a spectrum, in every regime."""
    config = session.config

    def make() -> dict[str, Any]:
        full = spectra.spectrum()
        regimes = {str(x): schedules.in_regime(spectra, x, config, methods) for x in config.regimes}
        samples = (full.source or {})["samples"]
        return {"samples": samples, "exponent": facts_of(full)["exponent"], "regimes": regimes}

    return _make(session, f"schedules-{spectra.title}", make)


def crossed(session: Session, stem: str, every: list[SpectraOf]) -> None:
    """Judge every schedule on every spectrum; again if there are more spectra than before."""
    found = [learned(session, x, ESTIMATES[:1]) for x in every]
    titles, path = [x.title for x in every], session.results / f"{stem}.json"
    if not set(titles) <= set(read_json(path).get("datasets", titles)):
        path.unlink()
    config = session.config

    def make() -> dict[str, Any]:
        return {"regimes": {str(x): schedules.crossed(every, found, x, config)
                            for x in config.regimes}}  # fmt: skip

    _make(session, stem, make, datasets=titles)


def _make(
    session: Session, stem: str, make: Callable[[], dict[str, Any]], **about: Any
) -> dict[str, Any]:
    """Give what is in a file, made with the seconds that it took if it is missing."""
    document = session.document(stem, **about)
    if document.missing:
        began = time.perf_counter()
        found = make()
        document.add((), {**found, "seconds": round(time.perf_counter() - began, 1)})
    return document.content
