"""Recordings: what a network answered along fine trajectories, written by another program.

A network that cannot be called from Python is called by its own program, along a plan that
:mod:`specjax.learning.record_spec` prints: a few dozen calls by DPM-Solver++(2M). It writes a file
of arrays (``.npz`` or ``.safetensors``):

- ``x`` [n, K + 1, *shape], the samples at each of the K calls and at the end, of n noises;
- ``answers`` [n, K, *shape], the estimates of the clean data; or ``eps``, or ``v``, where the
  network predicts those;
- ``alpha``, ``sigma`` [K + 1], the levels of the calls and of the end: x = alpha x0 + sigma eps;
- ``keep`` [K, H, H] and ``pull`` [K, H], the steps in between, as the specification has them;
  without them they are those of DPM-Solver++(2M).

:func:`specjax.learn` makes a plan of it by :mod:`specjax.learning.recorded_plans`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from specjax import files
from specjax._core.checks import UserError
from specjax.files.inputs import naming
from specjax.sampling.samplers import plan as plan_of
from specjax.sampling.step import Row, SamplerPlan, advance
from specjax.schedules.schedule import NoiseSchedule

FEWEST_NOISES, FEWEST_CALLS = 4, 2

_OF_CHANGE, _OF_SAMPLE = 0.02, 0.005
"""How far a recorded step may be off, as parts of the root mean square of what the step changes and
of the sample: bfloat16 rounds by 0.002 of it."""

_SAME_LEVEL = 1e-3  # of sigma / alpha
_SAME_START = 1e-2  # of the root mean square of the noise


@dataclass(frozen=True, eq=False, repr=False)
class Recording:
    """Samples and answers along fine trajectories from n noises.

    Every other noise, from the second on, is held out: by these a plan is judged.

    Args:
      x: [n, K + 1, *shape], the samples at each call and at the end.
      answers: [n, K, *shape], the estimates of the clean data.
      alpha: [K + 1], the signal scale of the calls and of the end.
      sigma: [K + 1], their noise scale; only the last may be 0.
      keep: [K, H, H], what each step keeps of the registers (:mod:`specjax.sampling.step`); None
        for DPM-Solver++(2M).
      pull: [K, H], what each step takes of the answer; given with ``keep``.
      source: provenance.

    Raises:
      UserError: for other shapes, numbers that are not finite, levels that do not fall in
        sigma / alpha, fewer than 4 noises or 2 calls, and answers that do not lead from one sample
        to the next.

    Example:
      >>> levels = sx.family("uniform_logsnr", 24, alpha_bar_range=(4e-5, 1.0))
      >>> plan, sigma = sx.plan("dpmpp_2m", levels, "ve"), levels.sigmas
      >>> x, past, answers = [sigma[0] * np.random.default_rng(0).normal(size=(64, 2))], 0, []
      >>> for k in range(24):
      ...     answers.append(x[-1] * [4, 1] / ([4, 1] + sigma[k] ** 2))  # an ideal denoiser
      ...     keep, pull = plan.keep[k, 0], plan.pull[k, 0]
      ...     x.append(keep[0] * x[-1] + keep[1] * past + pull * answers[-1])
      ...     past = answers[-1]
      >>> recording = sx.Recording(np.stack(x, 1), np.stack(answers, 1), sigma**0, sigma)
      >>> sx.learn(recording, 3).terms["teacher_mean"] < 1e-2
      True
    """

    x: np.ndarray
    answers: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray
    keep: np.ndarray | None = None
    pull: np.ndarray | None = None
    source: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Recording:
        """Read a recording from a ``.npz`` or ``.safetensors`` file, see the module.

        Args:
          path: of the file.

        Raises:
          UserError: for a file that cannot be read or lacks an array, and as the class does.
        """
        arrays = files.read_tensors(path)
        with naming(path):
            missing = [name for name in ("x", "alpha", "sigma") if name not in arrays]
            given = [name for name in _PREDICTIONS if name in arrays]
            if missing or len(given) != 1:
                raise UserError(
                    f"it has the arrays {', '.join(arrays) or 'none'}: give x, alpha, sigma and "
                    f"one of {', '.join(_PREDICTIONS)} (specjax record-spec)"
                )
            known = {name: arrays.get(name) for name in ("x", "alpha", "sigma", "keep", "pull")}
            answers = _PREDICTIONS[given[0]](arrays[given[0]], *_of_calls(arrays))
            return cls(answers=answers, source={"name": Path(path).name}, **known)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        for name in ("alpha", "sigma", "keep", "pull"):
            given = getattr(self, name)
            array = None if given is None else np.asarray(given, np.float64)
            object.__setattr__(self, name, array)
        for name in ("x", "answers"):
            object.__setattr__(self, name, np.asarray(getattr(self, name)))
        self._check_shapes()
        self._check_levels()
        self._check_finite()
        self._check_steps()

    def __repr__(self) -> str:
        """Say what it is in a line."""
        return f"Recording({self.calls} calls, {len(self.x)} noises, samples {self.shape})"

    @property
    def calls(self) -> int:
        """K, the number of recorded calls."""
        return int(self.answers.shape[1])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.x.shape[2:])

    @property
    def s(self) -> np.ndarray:
        """The noise levels sigma / alpha [K + 1]."""
        return self.sigma / self.alpha

    @property
    def logsnr(self) -> np.ndarray:
        """The levels as logsnr [K + 1], +inf where there is no noise."""
        with np.errstate(divide="ignore"):
            return -2 * np.log(self.s)

    @property
    def process(self) -> str:
        """The process that it was recorded in: "ve" where alpha is 1, "flow" where it is 1 - sigma.

        Else it is "vp".
        """
        if np.all(self.alpha == 1):
            return "ve"
        return "flow" if np.allclose(self.alpha + self.sigma, 1, rtol=0, atol=1e-5) else "vp"

    def part(self, held_out: bool) -> ScaledPart:
        """Return the noises to learn plans from, or, with ``held_out``, those kept aside."""
        chosen = slice(int(held_out), None, 2)
        return ScaledPart(self.x[chosen], self.answers[chosen], self.alpha)

    def scaled_rows(self) -> SamplerPlan:
        """Return the recorded steps as a plan in scaled coordinates, x / alpha (VE)."""
        fine = plan_of("dpmpp_2m", NoiseSchedule(self.logsnr), "ve")
        if self.keep is None or self.pull is None:
            return fine
        registers = self.pull.shape[1]
        scale = np.ones((self.calls + 1, registers))
        scale[:, 0] = self.alpha  # register 0 is the sample, the others are estimates
        keep = self.keep * scale[:-1, None, :] / scale[1:, :, None]
        pull = self.pull / scale[1:]
        return SamplerPlan(fine.alpha, fine.sigma, keep, pull, 0 * pull, fine.start, False)

    def compare(self, second: Recording) -> RecordedDistance:
        """Compare a second recording, along a learned plan, with this one, of fine trajectories.

        Args:
          second: from the same noises, in the same order (``specjax record-spec PLAN``).

        Returns:
          The squared distance between the ends of both on the held-out noises, and what is
          predicted of it from this recording alone.

        Raises:
          UserError: for recordings of other samples or noises.
        """
        from specjax.learning.recorded_plans import predicted_distances, response_of

        first, other = self.part(held_out=True), second.part(held_out=True)
        if self.x[:, 0].shape != second.x[:, 0].shape or not _close(first.y(0), other.y(0)):
            raise UserError(
                f"second: its noises ({second.x[:, 0].shape}) are not those of this recording "
                f"({self.x[:, 0].shape}): record both from the same noises, in the same order"
            )
        gaps = ((other.y(second.calls) - first.y(self.calls)) ** 2).sum(1)
        predicted = np.full(1, np.nan)
        at = [int(abs(self.s - s).argmin()) for s in second.s]
        if np.allclose(self.s[at], second.s, rtol=_SAME_LEVEL, atol=0):
            response = response_of(self.part(held_out=False), self.s)
            predicted = predicted_distances(first, response, at, second.scaled_rows())
        error = float(gaps.std(ddof=1) / np.sqrt(len(gaps)))
        middle = float(np.median(gaps)), float(np.median(predicted))
        return RecordedDistance(float(gaps.mean()), error, float(predicted.mean()), *middle)

    def _check_shapes(self) -> None:
        x, answers = self.x, self.answers
        for name, array in (("x", x), ("answers", answers)):
            if not np.issubdtype(array.dtype, np.floating):
                raise UserError(f"{name} is of dtype {array.dtype}: give floats")
        levels = answers.shape[1] + 1 if answers.ndim > 1 else 0
        if x.ndim < 3 or answers.ndim < 3 or x.shape != (len(answers), levels, *answers.shape[2:]):
            raise UserError(
                f"x has shape {x.shape}, answers {answers.shape}: give x [n, K + 1, *shape] and "
                "answers [n, K, *shape] of K calls"
            )
        if len(x) < FEWEST_NOISES or self.calls < FEWEST_CALLS:
            raise UserError(
                f"x has {len(x)} noises and {self.calls} calls: record at least {FEWEST_NOISES} "
                f"noises and {FEWEST_CALLS} calls; some 100 and some 48 are right"
            )
        for name in ("alpha", "sigma"):
            if getattr(self, name).shape != (levels,):
                raise UserError(
                    f"{name} has shape {getattr(self, name).shape}: give [{levels}], the levels of "
                    f"the {self.calls} calls and of the end"
                )
        if (self.keep is None) != (self.pull is None):
            raise UserError("keep and pull: give both, or none for DPM-Solver++(2M)")
        if self.keep is not None and self.pull is not None:
            k, registers = self.calls, self.pull.shape[-1]
            if self.pull.shape != (k, registers) or self.keep.shape != (k, registers, registers):
                raise UserError(
                    f"keep has shape {self.keep.shape}, pull {self.pull.shape}: give [{k}, H, H] "
                    f"and [{k}, H]"
                )

    def _check_levels(self) -> None:
        if not (np.all(self.alpha > 0) and np.all(np.isfinite(self.alpha))):
            raise UserError("alpha has numbers that are not above 0: give the signal scale")
        with np.errstate(invalid="ignore"):
            falls = self.s[1:] < self.s[:-1]
        if not (falls.all() and self.s[-1] >= 0 and np.isfinite(self.s[0])):
            k = int(np.argmin(falls))
            raise UserError(
                f"sigma / alpha is {self.s[k]:.6g} at level {k} and {self.s[k + 1]:.6g} at the "
                "next: give levels from noisy to clean, only the last without noise"
            )

    def _check_finite(self) -> None:
        for name, array in (("x", self.x), ("answers", self.answers)):
            bad = ~np.isfinite(array).all(tuple(range(2, array.ndim)))
            if bad.any():
                level = int(bad.any(0).argmax())
                raise UserError(
                    f"{name} of {int(bad.any(1).sum())} of {len(array)} noises are not finite, "
                    f"first at level {level}: leave those noises out, or mend the network"
                )

    def _check_steps(self) -> None:
        """Refuse answers that the recorded steps do not lead from one sample to the next by."""
        rows, part = self.scaled_rows(), ScaledPart(self.x, self.answers, self.alpha)
        now = part.y(0)
        r = np.stack([now, *[0 * now] * (rows.registers - 1)])
        for k in range(self.calls):
            r = np.asarray(advance(r, Row(*(x[k] for x in rows.rows)), part.d(k), None))
            after = part.y(k + 1)
            change = after - rows.keep[k, 0, 0] * now
            off = _rms(r[0] - after)
            if off > _OF_CHANGE * _rms(change) + _OF_SAMPLE * _rms(after):
                raise UserError(
                    f"x and answers do not fit: the step of call {k} leads {off / _rms(after):.2g} "
                    "of a standard deviation away from the next sample; make the steps of "
                    "specjax record-spec, and write answers that estimate the clean data, or eps, "
                    "or v"
                )
            r[0] = now = after


@dataclass(frozen=True, eq=False)
class ScaledPart:
    """Some noises of a recording in scaled coordinates, x / alpha, in float64.

    Attributes:
      x: [n, K + 1, *shape]. answers: [n, K, *shape]. alpha: [K + 1].
    """

    x: np.ndarray
    answers: np.ndarray
    alpha: np.ndarray

    def y(self, k: int) -> np.ndarray:
        """Return the samples at level k, [n, d]."""
        return self.x[:, k].reshape(len(self.x), -1).astype(np.float64) / self.alpha[k]

    def d(self, k: int) -> np.ndarray:
        """Return the answers of call k, [n, d]."""
        return self.answers[:, k].reshape(len(self.x), -1).astype(np.float64)

    def vectors(self, i: int) -> np.ndarray:
        """Return the samples of noise i at all levels, and its answers below, [2 K + 1, d]."""
        y = self.x[i].reshape(len(self.alpha), -1).astype(np.float64) / self.alpha[:, None]
        return np.concatenate([y, self.answers[i].reshape(len(self.alpha) - 1, -1)])


@dataclass(frozen=True)
class RecordedDistance:
    """The squared distance to fine solutions, summed over a sample, that a second recording shows.

    Attributes:
      measured: mean over the held-out noises.
      standard_error: of that mean.
      predicted: what the first recording predicts of the plan; NaN where the plan calls at levels
        that were not recorded.
      measured_median: the median over noises, which a few that end elsewhere do not carry.
      predicted_median: what is predicted of it.
    """

    measured: float
    standard_error: float
    predicted: float
    measured_median: float
    predicted_median: float

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"squared distance to the fine solution: {self.measured:.4g} +- "
            f"{self.standard_error:.2g} measured, {self.predicted:.4g} predicted; median "
            f"{self.measured_median:.4g} measured, {self.predicted_median:.4g} predicted"
        )


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x**2)))


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    return _rms(a - b) <= _SAME_START * _rms(a)


def _of_calls(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the samples at the calls, and their alpha and sigma along the second axis."""
    x = arrays["x"]
    column = (-1, *[1] * (x.ndim - 2))
    scales = (arrays[name][:-1].reshape(column).astype(x.dtype) for name in ("alpha", "sigma"))
    return x[:, :-1], *scales  # type: ignore[return-value]


def _of_eps(eps: np.ndarray, x: np.ndarray, alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    return (x - sigma * eps) / alpha


def _of_v(v: np.ndarray, x: np.ndarray, alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    scale = np.sqrt(alpha**2 + sigma**2)  # 1 in VP, where v is defined
    return (alpha * x / scale - sigma * v) / scale


_PREDICTIONS = {"answers": lambda answers, *_: answers, "eps": _of_eps, "v": _of_v}
"""What the array of a file may be called: the clean data, the noise, or v (2202.00512)."""
