"""What a user asks of learning: options, checked once and resolved into settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import jax
import numpy as np

from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.fitting.bfgs import BFGS, Method
from specjax.fitting.optax_method import with_optax
from specjax.gaussian.losses import LOSSES, Loss, loss_of
from specjax.learning.parameters import DETERMINISTIC, GROUPS, PlanParameters, parameters_of
from specjax.learning.terms import TAUGHT, Weights, check_weights, default_weights
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.priors.prior import Prior
from specjax.sampling import conditions
from specjax.sampling.guidance import Guided, guided_in
from specjax.sampling.samplers import sampler_of
from specjax.sampling.scaled import SamplerLike
from specjax.schedules.grids import GridLike, TrainingGrid
from specjax.schedules.level_range import LevelRange
from specjax.schedules.schedule import logsnr_of_level, sigmoid

if TYPE_CHECKING:
    import optax
    from jax.sharding import Mesh

_NOISES, _NOISES_OF_NETWORK = 512, 128
_MEMORY_OF_NETWORK = 2
_ROUNDING = 1e-6  # of logsnr, at the ends
_ARRAYS = 4  # noises and the teacher's solutions, to learn on and held out


class LearnOptions(TypedDict, total=False):
    """The keywords that :func:`learn`, :func:`learn_all` and :func:`verdicts` share.

    Attributes:
      sampler: whose plan it is in the beginning, along the best of all schedule families; None, the
        default, tries DDIM and DPM-Solver++(2M).
      groups: what is learned, of "levels", "ratios", "weights", "noise" and "guidance"; all by
        default, "guidance" (a weight for each call) of a denoiser by :func:`specjax.guided` alone,
        which is constant without it. Levels alone, which any sampler has, are what :func:`fit`
        learns.
      network_calls: of a guided denoiser, at most: S of which some calls are not guided, and need
        one call of the network instead of two. Which ones is tried. By default all are guided.
      memory: past estimates that a step leans on, up to all; None is 2 for a network, else the
        sampler's own, or 1.
      objective: weights of "transfer", "teacher", "teacher_mean" and "energy", see :data:`TERMS`.
        By default the transfer loss for a Gaussian, the distance to the teacher for others, with a
        tenth of the transfer loss for the exact ones of this package, and the energy distance for a
        sampler with noise.
      loss: of the transfer, a name in LOSSES or a :class:`Loss`; "w2" by default.
      data: [N, *shape] for "energy", and what a plan with a ``start_level`` starts from (by default
        fine solutions), in the data's own space; half of them are held out.
      noise: of the forward process, under which a spectrum of data is put. A prior, a run, or a
        spectrum by :func:`specjax.effective` has its own; another is refused.
      process: "vp" (the default), "ve" or "flow".
      alpha_bar_range: the two ends (noisy, clean), see
        :class:`specjax.gaussian.task.TaskOptions`.
      start_level: where plans start from data with so much noise instead of from noise (image to
        image, the second of two experts), in the process's own terms: alpha_bar in VP, sigma in VE,
        the time t in flow matching. The fine solution starts there, too.
      strength: in place of it, as image to image of diffusers has it: the share, in (0, 1], of the
        grid's timesteps that are left. It needs ``grid``.
      through: levels that the plan must have, in the same terms (the boundary of two experts). How
        many steps lie before each is tried.
      grid: the training grid of the network that will be called, within which all noisy levels
        stay, see :class:`specjax.gaussian.task.TaskOptions`.
      n: noises learned on, as many to choose by and to judge by; 512, or 128 for a network.
      batch: noises in one call of the denoiser; by default 128, of a network 32 on a CPU and 256
        elsewhere; all where gradients are needed.
      labels: [m], classes that the noises share, as the denoiser's fourth argument.
      conditions: in place of labels, a tree of arrays [m, ...] (embeddings, masks).
      mesh: of devices over which the noises are cut.
      optimizer: any optax transformation, with gradients through all calls. By default
        Levenberg-Marquardt where the objective is a sum of squares (no noise in the steps, no
        "energy", a quadratic loss), else BFGS.
      max_iterations: at most; by default 100 of Levenberg-Marquardt, 300 evaluations with
        gradients.
      max_calls: samples that may be denoised while a plan is learned, apart from the teacher's and
        the heuristics'; then the best plan so far is returned. No bound by default.
      teacher_tolerance: how much doubling the teacher's steps may change its solutions, as a part
        of their standard deviation; 0.01 by default.
      cache: a folder that keeps them.
      seed: of the noises; 0 by default.
    """

    sampler: str | SamplerLike | None
    groups: Sequence[str]
    network_calls: int | None
    memory: int | None
    objective: Mapping[str, float] | None
    loss: str | Loss
    data: Any
    noise: NoiseSpectrum | None
    process: str
    alpha_bar_range: tuple[float, float] | None
    start_level: float | None
    strength: float | None
    through: float | Sequence[float]
    grid: GridLike | None
    n: int | None
    batch: int | None
    labels: Any
    conditions: Any
    mesh: Mesh | None
    optimizer: optax.GradientTransformation | None
    max_iterations: int | None
    max_calls: int | None
    teacher_tolerance: float
    cache: str | Path | None
    seed: int


@dataclass(frozen=True, eq=False, kw_only=True)
class LearnSettings:
    """:class:`LearnOptions`, resolved.

    ``start_level`` and ``through`` are logsnr. ``objective`` and ``n`` are None until
    :meth:`for_prior` chooses what suits a prior; ``guided`` is the prior's guided denoiser then, if
    it has one.
    """

    sampler: SamplerLike | None = None
    groups: tuple[str, ...] = GROUPS
    network_calls: int | None = None
    memory: int | None = None
    objective: Weights | Any = (
        None  # Any: whoever has the settings for a prior knows that it is one
    )
    loss: Loss = LOSSES["w2"]
    data: np.ndarray | None = None
    noise: NoiseSpectrum | None = None
    process: str = "vp"
    alpha_bar_range: tuple[float, float] | Any = None  # Any: resolved, it is a range
    start_level: float | None = None
    strength: None = None
    through: tuple[float, ...] = ()
    grid: TrainingGrid | Any = None  # Any: resolved, it is a grid or None
    n: int | Any = None  # Any: as above
    batch: int | None = None
    labels: Any = None
    conditions: Any = None
    mesh: Mesh | None = None
    optimizer: optax.GradientTransformation | None = None
    max_iterations: int | None = None
    max_calls: int | None = None
    teacher_tolerance: float = 0.01
    cache: Path | None = None
    seed: int = 0
    guided: Guided | Any = None  # Any: whoever asks for its weights knows that there are some

    @classmethod
    def resolve(cls, **options: Unpack[LearnOptions]) -> LearnSettings:
        """Check all that can be checked without the prior.

        Raises:
          UserError: for an unknown name, a number out of bounds, names that do not fit together, a
            folder that does not exist.
        """
        given: Any = cls(**options)  # type: ignore[arg-type]
        levels = LevelRange.resolve(given.alpha_bar_range, given.grid, given.process)
        process = given.process
        settings: LearnSettings = replace(
            given,
            sampler=_unless_none(sampler_of, given.sampler),
            groups=tuple(given.groups),
            network_calls=_unless_none(
                lambda n: checks.whole_number("network_calls", n), given.network_calls
            ),
            objective=_unless_none(check_weights, given.objective),
            loss=loss_of(given.loss),
            data=_unless_none(np.asarray, given.data),
            alpha_bar_range=levels.alpha_bar_range,
            start_level=_start_level(given.start_level, given.strength, process, levels),
            strength=None,
            through=tuple(sorted(_level_list("through", given.through, process))),
            grid=levels.grid,
            n=_unless_none(lambda n: checks.whole_number("n", n, 2), given.n),
            batch=_unless_none(lambda n: checks.whole_number("batch", n), given.batch),
            labels=None,
            conditions=_conditions(given.labels, given.conditions),
            max_iterations=_unless_none(
                lambda n: checks.whole_number("max_iterations", n), given.max_iterations
            ),
            max_calls=_unless_none(lambda n: checks.whole_number("max_calls", n), given.max_calls),
            teacher_tolerance=checks.positive("teacher_tolerance", given.teacher_tolerance),
            cache=_unless_none(_writable, given.cache),
            seed=checks.seed(given.seed),
        )
        settings.parameters(steps=2)
        settings._check_through()
        return settings

    def _check_through(self) -> None:
        """Refuse levels that are not within the range, or twice the same."""
        noisy, clean = self.levels.ends[0], self.levels.ends[1]
        distinct = len(set(self.through)) == len(self.through)
        if not (distinct and all(noisy < x < clean for x in self.through)):
            raise UserError(
                f"through, as logsnr {self.through}: give different levels between the ends of the "
                f"plan, {noisy:.4g} and {clean:.4g}"
            )

    @property
    def method(self) -> Method:
        """How the objective is minimised."""
        return BFGS if self.optimizer is None else with_optax(self.optimizer)

    @property
    def levels(self) -> LevelRange:
        """The range in which the levels lie."""
        noisy, clean = self.alpha_bar_range
        if self.start_level is None:
            return LevelRange((noisy, clean), self.grid, False, self.through)
        start = float(sigmoid(np.asarray(self.start_level)))
        return LevelRange((start, clean), self.grid, True, self.through)

    def from_noise(self) -> LearnSettings:
        """Return the settings of the fine solutions that plans start from, where they do."""
        return replace(self, start_level=None, through=())

    def parameters(self, steps: int) -> dict[str, PlanParameters]:
        """Return the parameters of S steps from each sampler that can be the start.

        Where several samplers are tried, those that do not fit the other options are left out.

        Raises:
          UserError: if none fits, see :func:`specjax.learning.parameters.parameters_of`.
        """
        found, errors = {}, []
        free = self.levels.last_is_free
        for name in DETERMINISTIC if self.sampler is None else (self.sampler,):
            sampler = sampler_of(name)
            try:
                one = parameters_of(steps, sampler, self.memory, self.groups, free, self.process)
                from_data = self.start_level is not None
                found[sampler.name] = one._replace(from_data=from_data, through=self.through)
            except UserError as error:
                errors.append(error)
        if not found:
            raise errors[0]
        return found

    def for_prior(self, prior: Prior, stochastic: bool | None = None) -> LearnSettings:
        """Choose the objective and the number of noises where they are not given.

        Args:
          stochastic: whether plans have noise; by default as those of the samplers do.

        Raises:
          UserError: for a teacher beside noise, noises that cannot be cut into batches and devices,
            guidance for a denoiser that is not guided, or with several weights.
        """
        if stochastic is None:
            stochastic = any(one.stochastic for one in self.parameters(steps=2).values())
        objective = self.objective or default_weights(prior, stochastic)
        if stochastic and set(TAUGHT) & dict(objective).keys():
            raise UserError(
                "objective 'teacher' compares samples of the same noise: for a sampler with noise "
                "take 'transfer' or 'energy'"
            )
        network, guided = prior.kind == "network", guided_in(prior)
        groups = tuple(name for name in self.groups if name != "guidance" or guided is not None)
        if not groups or (self.network_calls is not None and guided is None):
            raise UserError(
                f"groups = {self.groups}, network_calls = {self.network_calls}: the denoiser is "
                "not guided; make it so by specjax.guided(conditional, unconditional, weight)"
            )
        if guided is not None and np.ndim(guided.weight):
            raise UserError(
                f"weight has {np.size(guided.weight)} numbers: plans are learned with one, that of "
                "the fine solution"
            )
        n = self.n or (_NOISES_OF_NETWORK if network else _NOISES)
        memory = self.memory
        if network and memory is None and "weights" in self.groups:
            memory = _MEMORY_OF_NETWORK
        chosen: LearnSettings = replace(
            self, objective=objective, n=n, memory=memory, groups=groups, guided=guided
        )
        if not chosen.is_sum_of_squares:
            chosen._check_batches()
        checks.fits_in_memory("n", n, _ARRAYS * 8 * n * math.prod(prior.shape))
        return chosen

    def _check_batches(self) -> None:
        """Refuse noises that cannot be cut into batches and devices."""
        if self.batch is not None and self.n % self.batch:
            raise UserError(f"n = {self.n} is no multiple of batch = {self.batch}: give one")
        ways = 1 if self.mesh is None else self.mesh.shape[self.mesh.axis_names[0]]
        if (self.batch or self.n) % ways:
            raise UserError(
                f"{self.batch or self.n} noises at once do not divide over {ways} devices: give n, "
                f"or a batch, that is a multiple of {ways}"
            )

    @property
    def has_weights(self) -> bool:
        """Tell whether plans have weights of guidance of their own."""
        limited = self.network_calls is not None
        return self.guided is not None and (limited or "guidance" in self.groups)

    @property
    def is_sum_of_squares(self) -> bool:
        """Tell whether the objective, which is known, is minimised by Levenberg-Marquardt."""
        names = dict(self.objective)
        if self.optimizer is not None or "energy" in names:
            return False
        return "transfer" not in names or self.loss.quadratic

    def conditions_of(self, prior: Prior) -> Any:
        """Share the conditions, given here or by the prior, out among the n noises."""
        rows = np.arange(self.n)
        return jax.tree.map(lambda x: np.asarray(x)[rows % len(x)], self.given_conditions(prior))

    def given_conditions(self, prior: Prior) -> Any:
        """Return the conditions given here, or by the prior; None without any."""
        return getattr(prior, "conditions", None) if self.conditions is None else self.conditions

    @property
    def is_sampled(self) -> bool:
        """Tell whether the objective, which is known, needs samples."""
        return bool({*TAUGHT, "energy"} & dict(self.objective).keys())

    def below(self) -> LearnSettings:
        """Return the settings of a prior before the last of a curriculum."""
        return replace(
            self, objective=None, data=None, n=None, batch=None, mesh=None, cache=None,
            conditions=None, max_calls=None, network_calls=None,
        )  # fmt: skip


def _start_level(
    given: float | None, strength: float | None, process: str, levels: LevelRange
) -> float | None:
    """Return logsnr of the level that plans start from, if it is not that of noise.

    Raises:
      UserError: for both ways to say it, a strength out of bounds or without a grid, and a level
        beyond the range.
    """
    if given is None and strength is None:
        return None
    if given is not None and strength is not None:
        raise UserError(f"start_level = {given} and strength = {strength}: give one of them")
    if given is not None:
        (found,) = _level_list("start_level", float(given), process)
    else:
        if levels.grid is None:
            raise UserError(f"strength = {strength}: it is of a grid; give grid, or start_level")
        share = checks.number("strength", strength, 1e-6, 1, "a number above 0, up to 1")
        found = levels.grid.logsnr_at_strength(share)
    noisy, clean = levels.ends[0], levels.ends[1]
    if not noisy - _ROUNDING <= found < clean:
        raise UserError(
            f"start_level, as logsnr {found:.4g}: give a level from {noisy:.4g} to below "
            f"{clean:.4g}, the range of the levels"
        )
    return max(found, float(noisy))


def _level_list(name: str, given: Any, process: str) -> list[float]:
    found: list[float] = np.atleast_1d(logsnr_of_level(name, given, process)).tolist()
    return found


def _conditions(labels: Any, given: Any) -> Any:
    """Check the rows that noises share: labels [m], or a tree of arrays [m, ...]."""
    if labels is not None:
        labels = np.atleast_1d(np.asarray(labels))
    leaves = jax.tree.leaves(labels if given is None else given)
    rows = np.shape(leaves[0])[0] if leaves and np.ndim(leaves[0]) else 0
    return conditions.checked(labels, given, rows)


def _unless_none(function: Callable[[Any], Any], given: Any) -> Any:
    return None if given is None else function(given)


def _writable(folder: str | Path) -> Path:
    return files.check_output(Path(folder) / "teacher.npz").parent
