"""What a fit returns, and what a schedule file holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.spectrum import Spectrum


@dataclass(frozen=True, eq=False)
class FitResult:
    """A learned schedule with everything needed to use, judge and repeat it.

    Attributes:
      schedule: S + 1 levels, noisy to clean.
      value: the loss on the full spectrum.
      converged: whether the gradient of log(loss) vanished to the tolerance of the dtype.
      finite: whether the loss and all levels are finite.
      history: the loss on the nodes at each point visited, from the start on, [iterations + 1].
      sampler, sampler_options, loss, process, alpha_bar_range, steps: what was asked for.
      nodes: the quadrature of the spectrum that the fit ran on; with it the loss of any other
        schedule can be evaluated without the data.
      node_value: the loss on those nodes; its distance to ``value`` is the quadrature's error.
      baselines: losses of heuristic schedules on the same spectrum, by name.
      source: where the spectrum comes from, with its fingerprint.
      noise: of the forward process; None is isotropic.
      seed, seconds: of the fit (``seconds`` includes compilation).
    """

    schedule: NoiseSchedule
    value: float
    converged: bool
    finite: bool
    history: np.ndarray
    sampler: str
    loss: str
    process: str
    alpha_bar_range: tuple[float, float]
    nodes: Spectrum
    node_value: float
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    baselines: Mapping[str, float] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    noise: NoiseSpectrum | None = None
    seed: int = 0
    seconds: float = 0.0

    @property
    def steps(self) -> int:
        """S."""
        return self.schedule.steps

    @property
    def iterations(self) -> int:
        """The number of iterations that the returned start took."""
        return len(self.history) - 1
