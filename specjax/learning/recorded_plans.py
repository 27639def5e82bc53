"""Plans from a recording: levels by dynamic programming, coefficients by linear least squares.

In scaled coordinates, with the recorded samples y_i and answers d_i at levels s_i, a jump from
level i to level j goes to ``d_i + r (y_i - d_i)``. Its cost is the mean squared distance to y_j,
which is known; r is that of Euler's step, ``s_j / s_i``, as in GITS (2405.11326) and Optimal
Stepsize (2503.21774), or the best one. Levels are the cheapest way from the first to the last in S
jumps. Along them each step's r and weights of past answers are the linear least-squares fit to the
next recorded sample (as in OLSS, 2305.14677).

What an error does to later answers was not recorded. It is taken from a **linear response**: the
regression of answers on samples, over the noises, in the principal directions of the ends. An
error at level j is counted by what the flow of that response makes of it at the end; a step is
fitted from the sample that the steps before lead to; and the same gives the predicted distance of
any plan, on noises that were held out. It is a guide to the typical sample: those that end
elsewhere than the fine solution, of which a few can carry the mean, are not foreseen.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.fitting.compare import pinned_families
from specjax.fitting.learned import LearnedResult
from specjax.learning.parameters import DETERMINISTIC
from specjax.learning.recording import Recording, ScaledPart
from specjax.learning.terms import Distances
from specjax.sampling.corrections import Corrections, corrected_plan, corrections_of
from specjax.sampling.samplers import sampler_of
from specjax.sampling.scaled import level_steps
from specjax.sampling.step import Row, SamplerPlan, advance
from specjax.schedules.level_range import LevelRange
from specjax.schedules.schedule import NoiseSchedule, alpha_bar_range_of, check_process

_RANK = 64  # principal directions that have a response of their own
_MEMORY = 2
_RIDGE = 1e-9  # of the trace: past answers can be alike
_LEAST_RATIO = 1e-6


def learn_from_recording(
    recording: Recording, steps: int, *, memory: int | None = None, process: str | None = None,
    **others: Any,
) -> LearnedResult:  # fmt: skip
    """Make a plan of a recording, without one further call of the network.

    Args:
      recording: of fine trajectories.
      steps: S, fewer than the recorded calls.
      memory: past estimates that a step leans on, up to all; 2 by default.
      process: "vp", "ve" or "flow"; by default that of the recording.
      others: keywords of :func:`specjax.learn` that mean nothing here, all refused.

    Returns:
      A :class:`LearnedResult` whose ``terms["teacher_mean"]`` is the squared distance predicted
      on held-out noises, whose value is its logarithm, and whose baselines are predicted of
      heuristics on the nearest recorded levels.

    Raises:
      UserError: for as many steps as there are calls, or more, and keywords that do not apply.
    """
    began = time.perf_counter()
    for name in others:
        raise UserError(f"{name} does not apply to a recording: leave it out")
    checks.whole_number("steps", steps, most=recording.calls - 1)
    memory = _MEMORY if memory is None else checks.whole_number("memory", memory, 0)
    memory = min(memory, max(steps - 1, 1))
    process = check_process(process or recording.process)
    training, held_out = recording.part(held_out=False), recording.part(held_out=True)
    response = response_of(training, recording.s)
    found = {
        path: _fitted(training, response, recording.s, path, memory)
        for path in _paths(training, response, recording.s, steps)
    }

    def distances(part: ScaledPart, path: Sequence[int], by: Corrections) -> np.ndarray:
        plan = corrected_plan(recording.logsnr[list(path)], by, "ve")
        return predicted_distances(part, response, path, plan)

    path = min(found, key=lambda one: distances(training, one, found[one]).mean())
    plans = {"learned": (path, found[path]), **_heuristics(recording, steps)}
    judged = {name: distances(held_out, *one) for name, one in plans.items()}
    kept = min(judged, key=lambda name: judged[name].mean())
    path, by = plans[kept]
    schedule = NoiseSchedule(recording.logsnr[list(path)])
    values = {name: math.log(max(x.mean(), 1e-300)) for name, x in judged.items()}
    about = {"noises": len(recording.x), "calls": recording.calls, "shape": recording.shape}
    return LearnedResult(
        schedule=schedule, corrections=by, sampler="dpmpp_2m", process=process,
        alpha_bar_range=alpha_bar_range_of(schedule), value=values[kept],
        train_value=math.log(max(distances(training, path, by).mean(), 1e-300)),
        history=np.zeros((0, 2)), groups=("levels", "ratios", "weights"), prior="recording",
        objective={"teacher_mean": 1.0}, kept=kept, source={**recording.source, **about},
        terms={name: float(x) for name, x in Distances(judged[kept], 0.0).report.items()},
        baselines={name: x for name, x in values.items() if name != "learned"},
        seconds=time.perf_counter() - began,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class LinearResponse:
    """How answers follow samples, linearly: by directions, and all others together.

    Attributes:
      directions: [d, R], orthonormal.
      gains: [K, R + 1], of the answers of each call in each direction, and in all others.
      growth: [K + 1, R + 1], what the fine solution makes of an error at a level.
    """

    directions: np.ndarray
    gains: np.ndarray
    growth: np.ndarray

    def times(self, factors: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Multiply vectors [n, d] by factors [R + 1] of the directions and of all others."""
        along = v @ self.directions
        return factors[-1] * v + (along * (factors[:-1] - factors[-1])) @ self.directions.T


def response_of(part: ScaledPart, s: np.ndarray) -> LinearResponse:
    """Measure the linear response of the answers of some noises, at levels s [K + 1]."""
    calls = len(s) - 1
    ends = part.d(calls - 1)
    rank = min(_RANK, len(ends) - 1, ends.shape[1])
    directions = np.linalg.svd(ends - ends.mean(0), full_matrices=False)[2][:rank].T
    gains = np.zeros((calls, rank + 1))
    for k in range(calls):
        y, d = (x - x.mean(0) for x in (part.y(k), part.d(k)))
        along, answered = y @ directions, d @ directions
        products, squares = (along * answered).sum(0), (along**2).sum(0)
        rest = (y * d).sum() - products.sum(), (y * y).sum() - squares.sum()
        squares = np.append(squares, rest[1] if rank < y.shape[1] else 0.0)
        gains[k] = np.append(products, rest[0]) / np.where(squares > 0, squares, np.inf)
    gains = gains.clip(0, 1)
    ratio = (s[1:] / s[:-1])[:, None]
    steps = np.vstack([ratio + (1 - ratio) * gains, np.ones((1, rank + 1))])
    return LinearResponse(directions, gains, np.cumprod(steps[::-1], 0)[::-1])


def _paths(
    part: ScaledPart, response: LinearResponse, s: np.ndarray, steps: int
) -> list[tuple[int, ...]]:
    """Find the cheapest levels in S jumps, of Euler's jumps and of the best ones."""
    products = _inner_products(part, response)
    costs = [jump_costs(products, response.growth, s, best=best) for best in (False, True)]
    return list(dict.fromkeys(cheapest_path(one, steps) for one in costs))


def _inner_products(part: ScaledPart, response: LinearResponse) -> np.ndarray:
    """Average over noises the inner products of all samples and answers.

    Returns:
      [R + 1, 2 K + 1, 2 K + 1]: along each direction, and in all others.
    """
    calls, rank = len(response.gains), response.directions.shape[1]
    products = np.zeros((rank + 1, 2 * calls + 1, 2 * calls + 1))
    for i in range(len(part.x)):
        vectors = part.vectors(i)
        along = (vectors @ response.directions).T
        products[:-1] += along[:, :, None] * along[:, None, :]
        products[-1] += vectors @ vectors.T
    products[-1] -= products[:-1].sum(0)
    return products / len(part.x)


def jump_costs(
    products: np.ndarray, growth: np.ndarray, s: np.ndarray, *, best: bool
) -> np.ndarray:
    """Compute the mean squared error of every jump, as it counts at the end.

    Args:
      products: [R + 1, 2 K + 1, 2 K + 1], see :func:`_inner_products`.
      growth: [K + 1, R + 1], of an error at a level.
      s: [K + 1], the levels.
      best: whether a jump keeps the best part of the sample, instead of Euler's.

    Returns:
      [K + 1, K + 1] from level i to level j, inf where j <= i.
    """
    calls = len(s) - 1
    costs = np.full((calls + 1, calls + 1), np.inf)
    for j in range(1, calls + 1):
        inner = np.tensordot(growth[j] ** 2, products, 1)
        i = np.arange(j)
        d = calls + 1 + i
        answers = inner[d, d]
        noise = inner[i, i] - 2 * inner[i, d] + answers  # (y_i - d_i)^2
        wanted = inner[j, j] - 2 * inner[j, d] + answers  # (y_j - d_i)^2
        both = inner[i, j] - inner[i, d] - inner[j, d] + answers
        ratio = both / noise if best and s[j] > 0 else s[j] / s[i]
        costs[:j, j] = np.maximum(wanted - 2 * ratio * both + ratio**2 * noise, 0)
    return costs


def cheapest_path(costs: np.ndarray, steps: int, growth: float = 1.0) -> tuple[int, ...]:
    """Find the levels 0 = i_0 < ... < i_S = K with the least sum of costs [K + 1, K + 1].

    The cost of each step counts ``growth`` times as much as that of the one before.
    """
    to_end = np.full(len(costs), np.inf)
    to_end[-1] = 0.0
    choices = []
    for _ in range(steps):
        totals = costs + growth * to_end
        choices.append(totals.argmin(1))
        to_end = totals.min(1)
    path = [0]
    for choice in reversed(choices):
        path.append(int(choice[path[-1]]))
    return tuple(path)


def _fitted(
    part: ScaledPart, response: LinearResponse, s: np.ndarray, path: Sequence[int], memory: int
) -> Corrections:
    """Fit each step's coefficients to the next recorded sample, from where the steps before lead.

    With the answer a and past answers a', a'' a step goes to
    ``a + r (y - a) + b_1 (a' - a) + b_2 (a'' - a)``, linear in r and b = (1 - r) w.
    """
    count = len(path) - 1
    ratios, weights = np.zeros(count), np.zeros((count, memory))
    error, past = np.zeros_like(part.y(0)), list[np.ndarray]()
    for k, (i, j) in enumerate(itertools.pairwise(path)):
        now, after = part.y(i) + error, part.y(j)
        answer = part.d(i) + response.times(response.gains[i], error)
        last = s[j] == 0
        terms = [] if last else [now - answer]
        terms += [one - answer for one in past[::-1][:memory]]
        found = _least_squares(
            [response.times(response.growth[j], one) for one in terms],
            response.times(response.growth[j], after - answer),
        )
        ratio = 0.0 if last else _usable(found[0])
        ratios[k] = 0.0 if last else math.log(ratio * s[i] / s[j])
        by_past = found if last else found[1:]
        weights[k, : len(by_past)] = by_past / (1 - ratio)
        used = by_past if last else np.append(ratio, by_past)
        step = sum((c * one for c, one in zip(used, terms, strict=True)), np.zeros_like(answer))
        error = answer + step - after
        past.append(answer)
    return Corrections(ratios, weights)


def _least_squares(terms: Sequence[np.ndarray], wanted: np.ndarray) -> np.ndarray:
    """Return the coefficients [m] of m terms [n, d] that come closest to what is wanted."""
    if not terms:
        return np.zeros(0)
    columns = np.stack([one.ravel() for one in terms], 1)
    normal = columns.T @ columns
    damped = normal + _RIDGE * max(np.trace(normal), 1e-300) * np.eye(len(normal))
    return np.linalg.solve(damped, columns.T @ wanted.ravel())


def _usable(ratio: float) -> float:
    """Return a ratio that corrections can have: above 0, and not 1."""
    ratio = max(float(ratio), _LEAST_RATIO)
    return ratio if abs(1 - ratio) > _LEAST_RATIO else 1 - _LEAST_RATIO


def predicted_distances(
    part: ScaledPart, response: LinearResponse, path: Sequence[int], plan: SamplerPlan
) -> np.ndarray:
    """Predict the squared distance [n] of a plan to the fine solution.

    Args:
      part: the noises that it is predicted of.
      response: of answers to errors of the samples.
      path: the recorded levels of the plan's calls and of its end.
      plan: in scaled coordinates (VE).
    """
    start = part.y(path[0])
    r = np.stack([start, *[0 * start] * (plan.registers - 1)])
    for k, i in enumerate(path[:-1]):
        answer = part.d(i) + response.times(response.gains[i], r[0] - part.y(i))
        r = np.asarray(advance(r, Row(*(x[k] for x in plan.rows)), answer, None))
    distances: np.ndarray = ((r[0] - part.y(path[-1])) ** 2).sum(1)
    return distances


def _heuristics(recording: Recording, steps: int) -> dict[str, tuple[tuple[int, ...], Corrections]]:
    """Return every sampler along every family, on the nearest recorded levels."""
    logsnr, found = recording.logsnr, {}
    ends = alpha_bar_range_of(NoiseSchedule(logsnr))
    for name, make in pinned_families(LevelRange(ends)).items():
        wanted = np.asarray(make(steps).logsnr)[1:-1]
        inner = tuple(int(abs(logsnr[1:-1] - x).argmin()) + 1 for x in wanted)
        if len(set(inner)) < len(inner):
            continue  # closer levels than were recorded
        path = (0, *inner, recording.calls)
        levels = level_steps(logsnr[list(path)], "ve")
        for sampler in DETERMINISTIC:
            found[f"{sampler} {name}"] = path, corrections_of(sampler_of(sampler), levels)
    return found
