"""The settings of the explorer, and the link that keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode

FAMILIES = ("spectral", "cosine", "karras", "linear")
"""The families that are shown at first."""


@dataclass(frozen=True)
class Settings:
    """All that can be moved.

    Attributes:
      slope: of the power law ``k^-slope``, where no data are given.
      floor: log10 of the variance to which smaller eigenvalues are lifted.
      sampler, loss: by name.
      steps: S.
      noisy: log10 of alpha_bar at the noisy end.
      clean: -log10 of 1 - alpha_bar at the clean end; the most of its range is alpha_bar = 1.
      noise: exponent of power-law noise; 0 is isotropic.
      families: heuristic schedules that are shown.
    """

    slope: float = 2.0
    floor: float = -6.0
    sampler: str = "ddim"
    loss: str = "w2"
    steps: int = 10
    noisy: float = -4.39
    clean: float = 6.0
    noise: float = 0.0
    families: tuple[str, ...] = FAMILIES

    @property
    def alpha_bar_range(self) -> tuple[float, float]:
        """The two ends of the levels."""
        last = 1.0 if self.clean >= RANGES["clean"].most else 1 - 10**-self.clean
        return 10**self.noisy, last

    def to_query(self) -> str:
        """Write what differs from the defaults as the query of a link."""
        own = {name: x for name, x in asdict(self).items() if x != getattr(Settings, name)}
        return urlencode({k: ",".join(x) if k == "families" else x for k, x in own.items()})

    @classmethod
    def from_query(cls, query: str, choices: Mapping[str, tuple[str, ...]]) -> Settings:
        """Read a link; what it leaves out, or what is out of range, is as by default.

        Args:
          query: with or without its question mark. choices: the names that may be chosen.

        Example:
          >>> Settings.from_query("?steps=5&slope=99", {}).to_query()
          'steps=5'
        """
        found: dict[str, Any] = {}
        known = {one.name for one in fields(cls)}
        for name, (text, *_) in parse_qs(query.lstrip("?"), keep_blank_values=True).items():
            if name == "families":
                found[name] = tuple(x for x in text.split(",") if x in choices.get(name, ()))
            elif name in RANGES:
                value = RANGES[name].read(text)
                found |= {} if value is None else {name: value}
            elif name in known and text in choices.get(name, ()):
                found[name] = text
        return cls(**found)


class Range(NamedTuple):
    """A number that a slider moves."""

    label: str
    least: float
    most: float
    by: float

    def read(self, text: str) -> float | None:
        """Read a number within the range; None for anything else."""
        try:
            value = float(text)
        except ValueError:
            return None
        if not self.least <= value <= self.most:
            return None
        return int(value) if self.by == 1 else value


RANGES = {
    "slope": Range("Slope of the spectrum: eigenvalue ∝ rank^-slope", 0.5, 4.0, 0.05),
    "floor": Range("Floor of the eigenvalues, log10", -8.0, 0.0, 0.1),
    "steps": Range("Steps S", 1, 50, 1),
    "noisy": Range("Noisy end, log10 of alpha_bar", -8.0, -1.0, 0.01),
    "clean": Range("Clean end, -log10 of 1 - alpha_bar (6: noise-free)", 1.0, 6.0, 0.1),
    "noise": Range("Exponent of the noise (0: isotropic)", -0.5, 0.5, 0.01),
}
"""The numbers among the settings."""
