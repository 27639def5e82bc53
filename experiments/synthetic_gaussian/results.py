"""The committed results, as tables, claims and pictures ask for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.common import read_json
from experiments.synthetic_gaussian.config import CONFIG, PAPER
from experiments.synthetic_gaussian.run import RESULTS, file_of, key_of
from experiments.synthetic_gaussian.spectra import MEAN, spectra
from specjax.schedules.families import SCHEDULES
from specjax.schedules.schedule import sigmoid


class Found(NamedTuple):
    """What is known of a spectrum."""

    name: str
    document: dict[str, Any]

    @property
    def steps(self) -> list[int]:
        """The S of all fits, in order."""
        return sorted(self.document["config"]["steps"])

    def group(self, sampler: str, loss: str, process: str = "vp", clean: str = PAPER) -> Any:
        """Lists over S; None where that was not fitted."""
        return self.document["fits"].get(key_of(sampler, loss, process, clean))

    def of(self, sampler: str, loss: str, schedule: str, steps: int, **where: str) -> float:
        """The loss of a schedule ("learned", "spectral", ...), or another number of that group."""
        return self.group(sampler, loss, **where)[schedule][self.steps.index(steps)]

    def best(self, sampler: str, loss: str, steps: int, **where: str) -> str:
        """The best schedule that does not look at the data."""
        return min(SCHEDULES, key=lambda x: self.of(sampler, loss, x, steps, **where))

    def alpha_bar(self, sampler: str, loss: str, steps: int) -> np.ndarray:
        """[S + 1] of a learned schedule whose levels were kept."""
        return sigmoid(np.array(self.document["levels"][f"{sampler} {loss}"][str(steps)]))


def found(results: Path = RESULTS) -> dict[str, Found]:
    """All spectra whose results are there, in the order of the config."""
    read = {name: read_json(results / file_of(name)) for name in spectra(CONFIG)}
    return {name: Found(name, document) for name, document in read.items() if document}


def centred(every: dict[str, Found]) -> list[Found]:
    """Those without a mean."""
    return [one for name, one in every.items() if not name.endswith(MEAN)]


def distance(loss: str, value: float) -> float:
    """W2 itself, of which the loss is the square; KL as it is."""
    return value**0.5 if loss == "w2" else value


def excess(one: Found, sampler: str, loss: str, schedule: str, steps: int, **where: str) -> float:
    """By how much a schedule's W2 or KL is above the learned one's, relative to it."""
    learned = distance(loss, one.of(sampler, loss, "learned", steps, **where))
    return distance(loss, one.of(sampler, loss, schedule, steps, **where)) / learned - 1
