"""Learning by least squares: iterations with progress, a bound of calls, and a state to go on from.

After each iteration the state is remembered, and kept in the folder of the teacher's solutions:
what was interrupted (by Ctrl-C, by the denoiser, by the machine) goes on from there as the same is
asked for again, in another process, too.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Iterator
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
    """What is kept of learning between iterations: the state, and the calls that it took."""

    state: Iterate
    calls: int


_STATES: OrderedDict[str, Unfinished] = OrderedDict()
"""The latest, by key."""

_SAMPLED, _CLOSED_FORM = Stopping(0.1, 0.01, 1), Stopping(0.0, 1e-9, 2)
_MOST_ITERATIONS = 100
_LEAST_TO_GROW = 32  # noises; fewer are learned on from the beginning
_SHARE = 4  # of the noises, one part is learned on at first
_EXPECTED, _TRIALS = 4, 4  # iterations on all noises, and plans tried in each, for the time left


def solve(
    parameters: PlanParameters, start: np.ndarray, ends: np.ndarray, objectives: Objectives,
    settings: LearnSettings, progress: Progress | None = None,
) -> Optimised:  # fmt: skip
    """Minimise a sum of squares from parameters [n], and keep the best by what is held out.

    Args:
      ends: logsnr at both ends.
      progress: called with (calls done, expected, the held-out value's gain so far).
    """
    problem = _problem(parameters, np.asarray(start, np.float64), ends, objectives)
    stopping = _SAMPLED
    if objectives.exact:
        stopping = _CLOSED_FORM._replace(floor=_rounding(objectives))
    key = _key(problem)
    path = None if settings.cache is None else settings.cache / f"learning-{key[:16]}.npz"
    kept = _STATES.get(key) or _read(path, key)
    state, spent = (None, 0) if kept is None else kept
    most = settings.max_iterations or _MOST_ITERATIONS
    meter = _Meter(objectives, settings.max_calls, progress, spent)
    # A step that went too far has no finite objective.
    with np.errstate(all="ignore"), meter.running(), contextlib.suppress(OutOfCallsError):
        if state is None:
            state = begin(problem, problem.start[problem.learned])
        while not state.done and len(state.history) <= most:
            meter.expect(problem, state)
            with _noting_what_is_kept(len(state.history) > 1):
                state = iterate(problem, state, stopping)
            _keep(key, path, Unfinished(state, meter.calls))
            meter.best = state.held_out
    _forget(key, path)
    if state is None:  # not even the start could be evaluated
        return Optimised(problem.start, np.nan, np.inf, np.zeros((0, 2)))
    best = problem.whole(state.best)
    return Optimised(best, state.training, state.held_out, state.history)


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

    def expect(self, problem: SumOfSquares, state: Iterate) -> None:
        """Estimate how many calls there will be, from what the last iteration took."""
        self._first, self.best = state.history[0, 1], state.held_out
        n, whole = max(problem.sizes[state.size], 1), max(problem.sizes[-1], 1)
        per_noise = problem.parameters.steps * (_TRIALS + len(problem.learned) / 2)
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


def _key(problem: SumOfSquares) -> str:
    """Hash what the iterations depend on; the teacher's solutions stand for the denoiser."""
    training, aside = problem.training, problem.aside
    text = (
        problem.parameters, training.weights, training.loss.name, problem.sizes
    )  # fmt: skip
    digest = hashlib.sha256(repr(text).encode())
    arrays = [problem.start, problem.ends]
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
        header = {"key": key, "calls": found.calls, **fields}
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
        return Unfinished(Iterate(**(fields | dict(kept.arrays))), int(header["calls"]))
    except (UserError, KeyError, TypeError):  # damaged: it is learned anew
        return None
