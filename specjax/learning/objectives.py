"""The objectives of learning: to learn on, to choose by, and to judge by.

What was chosen by one noise is better on it than on any other, so a third one judges.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core.checks import UserError
from specjax.gaussian.modes import Modes
from specjax.gaussian.task import GaussianTask
from specjax.learning.answers import Answers
from specjax.learning.energy_distance import mean_pairwise_distance
from specjax.learning.objective import PlanObjective
from specjax.learning.settings import LearnSettings
from specjax.learning.sums_of_squares import Taught, Terms
from specjax.learning.teacher import TeacherSolutions, teacher_solutions
from specjax.learning.terms import TAUGHT
from specjax.learning.trajectories import Noises
from specjax.noise.noise_spectrum import colored
from specjax.priors.prior import Prior, as_denoiser, prior_noise

if TYPE_CHECKING:
    from jax.sharding import Mesh

TeacherProgress = Callable[[str], Callable[[int, int], None]]
"""Given what is solved, returns what is called with the teacher's calls (done, of all)."""

TRAINING, HELD_OUT, JUDGING = "training noise", "held-out noise", "judging noise"
_STREAMS = (
    TRAINING, HELD_OUT, f"other {TRAINING}", f"other {HELD_OUT}", JUDGING, f"other {JUDGING}",
    f"data of {TRAINING}", f"data of {HELD_OUT}", f"data of {JUDGING}",
)  # fmt: skip
"""What noise is drawn for; the number is part of its seed."""


class Objectives(NamedTuple):
    """The objective that a plan is learned on, the one that chooses, and the one that judges.

    All three are :class:`Terms`, or all are :class:`PlanObjective`. Both have ``report(plan)``, the
    terms by name, and ``worth(plan)``, the weighted sum of their logarithms.

    Attributes:
      training: on training noise.
      held_out: on other noise (and data), which decides which plan is kept.
      judging: on noise that has had no part in either; the one held out where all is in closed
        form. Data are those held out.
      teacher: steps and accuracy of each teacher's solutions.
      answers: of the denoisers of training and of the others, which may be one; none where all is
        in closed form.
    """

    training: Any
    held_out: Any
    judging: Any
    teacher: dict[str, Any]
    answers: tuple[Answers, ...]

    @property
    def squares(self) -> bool:
        """Tell whether the objective is a sum of squares, for Levenberg-Marquardt."""
        return isinstance(self.training, Terms)

    @property
    def exact(self) -> bool:
        """Tell whether all is in closed form, in float64."""
        return not self.answers

    @property
    def dtype(self) -> Any:
        """The dtype of parameters and levels."""
        return np.float64 if self.squares or self.exact else np.float32

    @property
    def calls(self) -> int:
        """How many samples were denoised so far, apart from gradients."""
        return sum(one.calls for one in set(self.answers))

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """Compute in float64 where all is in closed form."""
        return jax.enable_x64(True) if self.exact else contextlib.nullcontext()


def objectives_of(
    prior: Prior, settings: LearnSettings, progress: TeacherProgress | None = None
) -> Objectives:
    """Make the objectives, with the teacher's solutions where they are asked for.

    Args:
      settings: those for this prior.

    Raises:
      UserError: if a term cannot be computed, the teacher has not converged, or a black box is to
        be differentiated.
    """
    aside = prior.held_out or prior
    sampled, squares = settings.is_sampled, settings.is_sum_of_squares
    modes = [_modes(one, settings) for one in (prior, aside)]
    data = _halves(settings, prior, aside)
    answers: list[Answers | Any] = [None, None]
    if sampled:
        answers = [_answers(one, settings) for one in (prior, aside)[: 1 + (aside is not prior)]]
        answers = [answers[0], answers[-1]]
        if answers[0].is_black_box and not squares:
            raise UserError(
                "a BlackBox has no gradients: learn a plan without noise in its steps from "
                "'teacher', 'teacher_mean' or 'transfer', without an optimizer"
            )
    teacher = _Teacher(settings, progress, {}, [])
    make = _terms if squares else _objective
    made = [
        make(_Side(one, its, of, its_data, name), teacher)
        for one, its, of, its_data, name in (
            (prior, modes[0], answers[0], data[0], TRAINING),
            (aside, modes[1], answers[1], data[1], HELD_OUT),
            (aside, modes[1], answers[1], data[1], JUDGING),
        )[: 3 if sampled else 2]
    ]
    known = tuple(dict.fromkeys(answers)) if sampled else ()
    return Objectives(made[0], made[1], made[-1], teacher.about, known)


class _Side(NamedTuple):
    """The prior, its answers and its data of one objective: training, held-out or judging."""

    prior: Prior
    modes: Modes | None
    answers: Answers | Any
    data: _Half | None
    name: str


class _Teacher(NamedTuple):
    """Solves from noises, and notes with what accuracy.

    Attributes:
      about: steps and accuracy by name. solved: the solutions of each prior and start.
    """

    settings: LearnSettings
    progress: TeacherProgress | None
    about: dict[str, Any]
    solved: list[tuple[Prior, bool, TeacherSolutions]]

    def __call__(self, side: _Side, noises: Noises, name: str) -> TeacherSolutions:
        """Solve from noises; a prior that was solved before needs as many steps."""
        settings, partly = self.settings, noises.data is not None
        if settings.levels.from_data and not partly:
            settings = settings.from_noise()
        update = self.progress(f"fine solutions, {name}") if self.progress else None
        alike = next(
            (one for known, start, one in self.solved if known is side.prior and start == partly),
            None,
        )
        found = teacher_solutions(side.prior, noises, side.answers, settings, update, alike)
        self.solved.append((side.prior, partly, found))
        self.about[name] = {x: getattr(found, x) for x in ("steps", "change", "error")}
        return found


def _answers(prior: Prior, settings: LearnSettings) -> Answers:
    """Make the denoiser of a prior a function of NumPy arrays, on all devices."""
    network = prior.kind == "network"
    denoise = _on_every_device(prior, settings)
    return Answers(denoise, network=network, batch=settings.batch, mesh=settings.mesh)


def _on_every_device(prior: Prior, settings: LearnSettings) -> Any:
    """Return the denoiser of a prior with its arrays on all devices of the mesh."""
    place = _placement(settings.mesh)

    def placed(x: Any) -> Any:
        return place(x, whole=True) if isinstance(x, jax.Array | np.ndarray) else x

    # An object that is no pytree is one leaf, and has to stay the same object.
    return jax.tree.map(placed, prior if jax.tree_util.all_leaves([prior]) else as_denoiser(prior))


def _modes(prior: Prior, settings: LearnSettings) -> Modes | None:
    """Resolve the spectrum of the transfer term into the nodes that stand for it."""
    if "transfer" not in dict(settings.objective):
        return None
    if prior.spectrum is None:
        raise UserError("objective 'transfer' needs the spectrum of the data: the prior has none")
    inner = getattr(prior, "inner", prior)  # of a prior under a noise
    response = getattr(inner, "response", None)
    return GaussianTask.resolve(prior.spectrum, loss=settings.loss, denoiser=response).nodes


class _Half(NamedTuple):
    """Half of the data [m, *shape] that were given, and their numbers [m] among all."""

    samples: np.ndarray
    numbers: np.ndarray


def _halves(
    settings: LearnSettings, prior: Prior, aside: Prior
) -> tuple[_Half | None, _Half | None]:
    """Split data into those to learn on and those held out, each in its prior's coordinates."""
    used = settings.levels.from_data or "energy" in dict(settings.objective)
    if settings.data is None or not settings.is_sampled or not used:
        return None, None
    count = len(settings.data)
    if count < 4:  # two in each half
        raise UserError(f"data has {count} samples: give at least 4, half of which are held out")
    order = np.random.default_rng(settings.seed).permutation(count)
    training, held_out = order[: count // 2], order[count // 2 :]
    return (
        _Half(_projected(prior, settings.data[training]), training),
        _Half(_projected(aside, settings.data[held_out]), held_out),
    )


def _projected(prior: Prior, data: np.ndarray) -> np.ndarray:
    """Project samples [n, *shape] to a prior's coordinates."""
    try:
        own = np.asarray(prior.project(data), np.float32)
    except (TypeError, ValueError):  # of a basis, for another number of pixels
        own = None
    if own is None or own.shape[1:] != prior.shape:
        raise UserError(
            f"data has samples of shape {data.shape[1:]}, which is not what the prior is of: give "
            "samples in the data's own space"
        )
    if not np.isfinite(own).all():
        raise UserError("data has NaN or infinite values: leave these samples out")
    return own


def _terms(side: _Side, teacher: _Teacher) -> Terms:
    """Make the terms of a sum of squares."""
    settings = teacher.settings
    terms = Terms(settings.objective, settings.loss, side.answers, None, side.modes)
    if side.answers is None:
        return terms
    noises = _started(side, teacher)
    found = teacher(side, noises, side.name)
    return replace(terms, taught=Taught(noises, found.samples, found.error))


def _objective(side: _Side, teacher: _Teacher) -> PlanObjective:
    """Make an objective that gradients go through."""
    prior, settings, samples = side.prior, teacher.settings, side.answers is not None
    names, place = dict(settings.objective), _placement(settings.mesh)
    key = jax.random.key(np.uint32(_seed(settings, side.name, 1).generate_state(1)[0]))
    noise = prior_noise(prior) if samples else None
    noises = Noises(np.zeros((0, 1), np.float32))
    if samples:
        noises = _started(side, teacher)
    objective = PlanObjective(
        denoise=_on_every_device(prior, settings) if samples else None,
        noise=place(noises.start),
        keys=place(jax.random.split(key, settings.n if samples else 0)),
        target=None,
        target_error=0.0,
        data=None,
        data_spread=None,
        modes=side.modes,
        weights=settings.objective,
        loss=settings.loss,
        batch=settings.batch,
        call_by_call=samples and prior.kind == "network" and jax.default_backend() == "cpu",
        forward=None if noise is None else jax.tree.map(lambda x: place(x, whole=True), noise),
        start_data=None if noises.data is None else place(noises.data),
    )
    if set(TAUGHT) & names.keys():
        found = teacher(side, noises, side.name)
        error = np.asarray(found.error, np.float32)
        objective = replace(objective, target=place(found.samples), target_error=error)
    if "energy" in names:
        if side.data is None:
            name = f"other {side.name}"
            wanted = teacher(side, noises_of(prior, settings, name), name).samples
        else:
            wanted = side.data.samples
        data = place(wanted, whole=True)
        objective = replace(objective, data=data, data_spread=mean_pairwise_distance(data))
    return objective


def _seed(settings: LearnSettings, name: str, what: int) -> np.random.SeedSequence:
    """Make the seed of the noise to start from (0), or of that of the steps (1)."""
    return np.random.SeedSequence((settings.seed, _STREAMS.index(name), what))


def noises_of(prior: Prior, settings: LearnSettings, name: str) -> Noises:
    """Draw the noises of a stream, and share the conditions out among them."""
    shape = (settings.n, *prior.shape)
    rng = np.random.default_rng(_seed(settings, name, 0))
    white: Any = rng.standard_normal(shape, np.float32)
    start = np.asarray(colored(prior_noise(prior), white))
    return Noises(start, settings.conditions_of(prior))


def _started(side: _Side, teacher: _Teacher) -> Noises:
    """Draw the noises of a side, with the data that they are added to where plans start from data.

    These are data that were given, or else fine solutions from other noise. Data with a condition
    each keep it.
    """
    settings = teacher.settings
    noises = noises_of(side.prior, settings, side.name)
    if not settings.levels.from_data:
        return noises
    if side.data is None:
        name = f"data of {side.name}"
        return noises._replace(
            data=teacher(side, noises_of(side.prior, settings, name), name).samples
        )
    rows = np.arange(settings.n) % len(side.data.numbers)
    given, numbers = settings.given_conditions(side.prior), side.data.numbers[rows]
    count = 0 if settings.data is None else len(settings.data)
    if given is not None and len(jax.tree.leaves(given)[0]) == count:
        noises = noises._replace(conditions=jax.tree.map(lambda x: np.asarray(x)[numbers], given))
    return noises._replace(data=side.data.samples[rows])


def _placement(mesh: Mesh | None) -> Callable[..., Any]:
    """Return what puts an array on the devices, cut along its first axis or whole."""
    from jax.sharding import NamedSharding, PartitionSpec

    def place(x: Any, whole: bool = False) -> Any:
        if mesh is None:
            return jnp.asarray(x) if isinstance(x, np.ndarray) else x
        if whole and isinstance(x, jax.Array) and x.sharding.device_set == set(mesh.devices.flat):
            return x  # a network that is there already, cut as its owner likes it
        spec = PartitionSpec() if whole else PartitionSpec(mesh.axis_names[0])
        return jax.device_put(x, NamedSharding(mesh, spec))

    return place
