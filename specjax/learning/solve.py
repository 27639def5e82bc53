"""Learning by least squares: iterations with progress, a bound of calls, and a state to go on from.

After each iteration the state is remembered, and kept in the folder of the teacher's solutions:
what was interrupted (by Ctrl-C, by the denoiser, by the machine) goes on from there as the same is
asked for again, in another process, too.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from specjax import files
from specjax._core.checks import UserError
from specjax.gaussian.modes import Modes
from specjax.learning.answers import OutOfCallsError
from specjax.learning.least_squares import Iterate, Stopping, begin, iterate
from specjax.learning.objectives import Objectives
from specjax.learning.optimise import Optimised, Progress
from specjax.learning.parameters import PlanParameters
from specjax.learning.settings import LearnSettings
from specjax.learning.sums_of_squares import SumOfSquares, Terms
from specjax.learning.trajectories import RowDerivatives

_VERSION = 1
_MOST_STATES = 8


class Unfinished(NamedTuple):
    """The start and the state of a learning between iterations, and the calls that it took."""

    start: int
    state: Iterate
    calls: int


_STATES: OrderedDict[str, Unfinished] = OrderedDict()
"""The latest, by key."""

_SAMPLED, _CLOSED_FORM = Stopping(0.1, 0.01, 2), Stopping(0.0, 1e-9, 2)
_MOST_ITERATIONS = 100
_TRIED, _TRIED_PATTERNS = 2, 5  # iterations from each start, or each pattern of guided calls
_LEAST_TO_GROW = 32  # noises; fewer are learned on from the beginning
_SHARE = 4  # of the noises, one part is learned on at first
_EXPECTED, _TRIALS = 4, 4  # iterations on all noises, and plans tried in each, for the time left


def solve(
    starts: Sequence[tuple[PlanParameters, np.ndarray]], ends: np.ndarray, objectives: Objectives,
    settings: LearnSettings, progress: Progress | None = None,
) -> tuple[int, Optimised]:  # fmt: skip
    """Minimise a sum of squares, and keep the best parameters [n] by what is held out.

    Args:
      starts: parameters [n], the best first; a few iterations on the smallest sample show from
        which one goes on.
      ends: logsnr at both ends.
      progress: called with (calls done, expected, the held-out value's gain so far).

    Returns:
      The number of the start, and what was found.
    """
    problems = [_problem(one, np.asarray(x, np.float64), ends, objectives) for one, x in starts]
    stopping = _SAMPLED
    if objectives.exact:
        stopping = _CLOSED_FORM._replace(floor=_rounding(objectives))
    key = _key(problems)
    path = None if settings.cache is None else settings.cache / f"learning-{key[:16]}.npz"
    kept = _STATES.get(key) or _read(path, key)
    number, state, spent = (0, None, 0) if kept is None else kept
    most = settings.max_iterations or _MOST_ITERATIONS
    meter = _Meter(objectives, settings.max_calls, progress, spent)
    # A step that went too far has no finite objective.
    with np.errstate(all="ignore"), meter.running(), contextlib.suppress(OutOfCallsError):
        if state is None:
            meter.expect(problems[0], None)
            state = begin(problems[0], problems[0].start[problems[0].learned])
            number, state = _most_promising(problems, state, stopping, most)
        while not state.done and len(state.history) <= most:
            meter.expect(problems[number], state)
            with _noting_what_is_kept(len(state.history) > 1):
                state = iterate(problems[number], state, stopping)
            _keep(key, path, Unfinished(number, state, meter.calls))
            meter.best = state.held_out
    _forget(key, path)
    if state is None:  # not even the start could be evaluated
        return 0, Optimised(problems[0].start, np.nan, np.inf, np.zeros((0, 2)))
    best = problems[number].whole(state.best)
    return number, Optimised(best, state.training, state.held_out, state.history)


def _most_promising(
    problems: Sequence[SumOfSquares], first: Iterate, stopping: Stopping, most: int
) -> tuple[int, Iterate]:
    """Take a few iterations from each start, and return the best by what is held out."""
    patterns = {tuple(one.parameters.guided.tolist()) for one in problems}
    trials = _TRIED if len(patterns) == 1 else _TRIED_PATTERNS
    if len(problems) == 1 or most <= trials:
        return 0, first
    tried = {0: first}
    quickly = stopping._replace(grow=-np.inf, gain=-np.inf)
    with contextlib.suppress(OutOfCallsError):  # the best so far is the result
        for number, problem in enumerate(problems):
            if number:
                tried[number] = begin(problem, problem.start[problem.learned])
            for _ in range(trials):
                tried[number] = iterate(problem, tried[number], quickly)
    number = min(tried, key=lambda k: tried[k].held_out)
    return number, tried[number]


def _problem(
    parameters: PlanParameters, start: np.ndarray, ends: np.ndarray, objectives: Objectives
) -> SumOfSquares:
    """Set up the problem, without the parameters that change nothing."""
    changes = RowDerivatives.of(lambda theta: parameters.plan(theta, ends), start)
    learned = [
        j for j in parameters.learned if any(row is not None for row in changes.of_parameter(j))
    ]  # fmt: skip
    terms: Terms = objectives.training
    n = 0 if terms.taught is None else len(terms.taught.target)
    sizes = (n,) if n < _LEAST_TO_GROW else (n // _SHARE, n)
    return SumOfSquares(
        parameters, start, np.array(learned, int), ends, terms, objectives.held_out, sizes
    )  # fmt: skip


def _rounding(objectives: Objectives) -> float:
    """Return the objective of errors that are rounding's alone, of all of the transfer's loss."""
    terms: Terms = objectives.training
    modes: Modes = terms.modes
    power = modes.weights * modes.eigenvalues if terms.loss.in_data_units else modes.weights
    return float(dict(terms.weights)["transfer"] * np.log(np.finfo(float).eps * power.sum()))


class _Meter:
    """Counts calls of all denoisers of a plan that is learned, bounds them and tells of them."""

    def __init__(
        self, objectives: Objectives, most: int | None, progress: Progress | None, spent: int
    ) -> None:
        self._objectives, self._most, self._progress = objectives, most, progress
        self._before, self._expected = objectives.calls - spent, 1
        self._first = self.best = np.nan  # held out
        self._whole = 0  # iterations on all noises

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Bound and tell of the calls made inside."""
        every = set(self._objectives.answers)
        for one in every:
            one.after_batch, one.may_call = self._tell, self._may_call
        try:
            yield
        finally:
            for one in every:
                one.after_batch, one.may_call = None, None
        self._expected = 0
        self._tell()

    @property
    def calls(self) -> int:
        """The calls so far, with those before an interruption."""
        return self._objectives.calls - self._before

    def _may_call(self) -> bool:
        return self._most is None or self.calls < self._most

    def _tell(self) -> None:
        if self._progress is not None:
            done = self.calls
            self._progress(done, max(self._expected, done), float(self.best - self._first))

    def expect(self, problem: SumOfSquares, state: Iterate | None) -> None:
        """Estimate how many calls there will be, from what an iteration takes."""
        if state is not None:
            self._first, self.best = state.history[0, 1], state.held_out
        size = 0 if state is None else state.size
        n, whole = max(problem.sizes[size], 1), max(problem.sizes[-1], 1)
        calls = problem.parameters.steps + len(problem.parameters.guided)
        per_noise = calls * (_TRIALS + len(problem.learned) / 2)
        self._whole += n == whole
        iterations = max(_EXPECTED - self._whole, 0) + n / whole * (1 if n == whole else 2)
        self._expected = int(self.calls + iterations * whole * per_noise)
        if self._most is not None:
            self._expected = min(self._expected, self._most)
        self._tell()


@contextlib.contextmanager
def _noting_what_is_kept(any_kept: bool) -> Iterator[None]:
    """Say of an interruption that the same call goes on from what is kept."""
    try:
        yield
    except OutOfCallsError:
        raise
    except BaseException as error:
        if any_kept:
            error.add_note("the plan so far is kept: asked for again, learning goes on from there")
        raise


def _key(problems: Sequence[SumOfSquares]) -> str:
    """Hash what the iterations depend on; the teacher's solutions stand for the denoiser."""
    training, aside = problems[0].training, problems[0].aside
    parameters = tuple(one.parameters for one in problems)
    text = (parameters, training.weights, training.loss.name, problems[0].sizes)
    digest = hashlib.sha256(repr(text).encode())
    arrays = [problems[0].ends, *(one.start for one in problems)]
    for terms in (training, aside):
        if terms.taught is not None:
            arrays += [terms.taught.target, *jax.tree.leaves(tuple(terms.taught.noises))]
        if terms.modes is not None:
            arrays += jax.tree.leaves(terms.modes)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _keep(key: str, path: Path | None, found: Unfinished) -> None:
    """Remember a state, and write it into the folder."""
    _STATES[key] = found
    while len(_STATES) > _MOST_STATES:
        _STATES.popitem(last=False)
    if path is not None:
        fields = found.state._asdict()
        arrays = {name: fields.pop(name) for name in ("theta", "best", "history")}
        header = {"key": key, "start": found.start, "calls": found.calls, **fields}
        files.write(path, "learning", _VERSION, header, arrays)


def _forget(key: str, path: Path | None) -> None:
    _STATES.pop(key, None)
    if path is not None:
        path.unlink(missing_ok=True)


def _read(path: Path | None, key: str) -> Unfinished | None:
    """Read a state; None where there is none, or not the whole of it."""
    if path is None or not path.exists():
        return None
    try:
        kept = files.read(path, {"learning": _VERSION})
        header: dict[str, Any] = dict(kept.header)
        if header["key"] != key:
            return None
        fields = {name: header[name] for name in Iterate._fields if name in header}
        state = Iterate(**(fields | dict(kept.arrays)))
        return Unfinished(int(header["start"]), state, int(header["calls"]))
    except (UserError, KeyError, TypeError):  # damaged: it is learned anew
        return None
