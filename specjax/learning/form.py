"""A plan as a vector of parameters, and back.

The parameters are those of the levels (:mod:`specjax.fitting.levels`) and, relative to what the
sampler itself would do along these levels (`corrections_of` in
:mod:`specjax.sampling.corrections`): what is added to c, to the weights, to the logarithm of g.
At zero a plan is the sampler's own.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, follows_the_rule
from specjax.fitting.levels import levels_of, theta_of
from specjax.sampling.corrections import (
    MOST_MEMORY,
    Corrections,
    check_learnable,
    corrected_plan,
    corrections_of,
)
from specjax.sampling.samplers import sampler_of
from specjax.sampling.scaled import SamplerLike, level_steps, plan_of_levels
from specjax.sampling.step import SamplerPlan
from specjax.schedules.schedule import check_process

DETERMINISTIC = ("ddim", "dpmpp_2m")
"""The samplers that are tried where none is asked for."""

GROUPS = ("levels", "ratios", "weights", "noise")
_SCALE = 0.05  # of a correction's step: the expected inverse curvature of log(loss)


class Form(NamedTuple):
    """What is static of a plan that is learned; hashable.

    ``memory`` past estimates are leant on; ``groups`` are learned, the others stay. ``ends_clean``
    as in :func:`specjax.fitting.levels.levels_of`; the coefficients are those of ``process``.
    """

    steps: int
    sampler: SamplerLike
    memory: int
    groups: tuple[str, ...]
    ends_clean: bool
    process: str
    stochastic: bool

    @property
    def corrects(self) -> bool:
        """Whether anything but the levels is learned."""
        return self.groups != ("levels",)

    @property
    def sizes(self) -> dict[str, int]:
        """How many parameters each group has."""
        s = self.steps
        found = {"levels": s - 1 if self.ends_clean else s}
        if self.corrects:
            found |= {"ratios": s, "weights": s * self.memory, "noise": s * self.stochastic}
        return found

    @property
    def free(self) -> np.ndarray:
        """[n] which of all parameters are learned."""
        return np.concatenate([np.full(n, name in self.groups) for name, n in self.sizes.items()])

    def parts(self, parameters: Array) -> dict[str, jax.Array]:
        """The parameters [n] of each group."""
        edges = np.cumsum(list(self.sizes.values()))[:-1]
        return dict(zip(self.sizes, jnp.split(parameters, edges), strict=True))

    def levels(self, parameters: Array, ends: Array) -> Array:
        """logsnr [S + 1]."""
        gaps = self.parts(parameters)["levels"]
        return levels_of(gaps, ends, ends_clean=self.ends_clean)

    def corrections(self, parameters: Array, logsnr: Array) -> Corrections:
        """The corrections along levels [S + 1]."""
        own, by = self.of_sampler(logsnr), self.parts(parameters)
        noise = None
        if self.stochastic:
            assert own.noise is not None
            noise = own.noise * jnp.exp(by["noise"])
        weights = by["weights"].reshape(self.steps, self.memory)
        return Corrections(own.ratio + by["ratios"], own.weights + weights, noise)

    def of_sampler(self, logsnr: Array) -> Corrections:
        """The sampler's own corrections along levels [S + 1]."""
        t = level_steps(logsnr, self.process)
        return corrections_of(self.sampler, t).remembering(self.memory)

    def plan(self, parameters: Array, ends: Array) -> SamplerPlan:
        """The plan of parameters [n]; traceable."""
        logsnr = self.levels(parameters, ends)
        if not self.corrects:
            return plan_of_levels(self.sampler, logsnr, self.process)
        return corrected_plan(logsnr, self.corrections(parameters, logsnr), self.process)

    def scale(self, parameters: Array) -> Array:
        """The expected inverse curvature of log(loss) in each parameter [n]."""
        sizes = self.sizes
        levels = jnp.full(sizes.pop("levels"), self.steps / 5, parameters.dtype)
        return jnp.concatenate([levels, jnp.full(sum(sizes.values()), _SCALE, parameters.dtype)])


def forms_of(
    steps: int, sampler: str | SamplerLike | None, memory: int | None,
    groups: Sequence[str], ends_clean: bool, process: str,
) -> dict[str, Form]:  # fmt: skip
    """The form of each sampler that can be the start; of None those that take the rest.

    Raises:
      ValueError: as :func:`form_of`, for the first sampler, if there is none.
    """
    found, errors = {}, []
    for name in (sampler,) if sampler else DETERMINISTIC:
        try:
            form = form_of(steps, sampler_of(name), memory, groups, ends_clean, process)
            found[form.sampler.name] = form
        except ValueError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return found


def form_of(
    steps: int, sampler: SamplerLike, memory: int | None,
    groups: Sequence[str], ends_clean: bool, process: str,
) -> Form:  # fmt: skip
    """The form of names and numbers that fit together.

    Args:
      memory: None is the sampler's own, or 1 where weights are learned. groups: of :data:`GROUPS`.

    Raises:
      ValueError: for an unknown group, none or some without a parameter, a sampler whose levels
        alone can be learned, a memory above two, below the sampler's or beside frozen weights.
    """
    check_process(process)
    for name in groups:
        checks.one_of("groups", name, GROUPS)
    chosen = tuple(name for name in GROUPS if name in groups)
    if not chosen:
        raise ValueError(f"groups = {tuple(groups)}: give at least one of {', '.join(GROUPS)}")
    t = level_steps(np.arange(steps + 1.0), process)
    stochastic = sampler.rows(t).stochastic
    form = Form(steps, sampler, 0, chosen, ends_clean, process, stochastic)
    if not form.corrects:
        if memory is not None:
            raise ValueError(f"memory = {memory} beside groups = {chosen}: levels alone have none")
        return form
    check_learnable(sampler)
    own = corrections_of(sampler, t).memory
    form = form._replace(memory=_memory(memory, sampler.name, own, "weights" in chosen))
    if not any(form.sizes[name] for name in chosen):
        raise ValueError(
            f"groups = {chosen}: {sampler.name} in {steps} steps has none of these; learn others "
            "too"
        )
    return form


def _memory(given: int | None, sampler: str, own: int, learned: bool) -> int:
    if given is None:
        return max(own, 1) if learned else own
    most = MOST_MEMORY if learned else own
    if not own <= checks.whole_number("memory", given, 0) <= most:
        free = "" if learned else " with frozen weights"
        raise ValueError(
            f"memory = {given}: {sampler}{free} leans on {own} to {most} past estimates"
        )
    return given


@follows_the_rule
@functools.partial(jax.jit, static_argnames="form")
def pack(form: Form, logsnr: Array, by: Corrections | None) -> Array:
    """The parameters [n] of levels [S + 1] and corrections (None: the sampler's own)."""
    logsnr = jnp.asarray(logsnr)
    levels = theta_of(logsnr, ends_clean=form.ends_clean)
    if not form.corrects:
        return levels
    own = form.of_sampler(logsnr)
    by = own if by is None else by.remembering(form.memory)
    found = [levels, by.ratio - own.ratio, (by.weights - own.weights).reshape(-1)]
    if own.noise is not None and by.noise is not None:
        there = (own.noise > 0) & (by.noise > 0)
        found.append(jnp.where(there, jnp.log(by.noise / own.noise), 0))
    elif own.noise is not None:
        found.append(jnp.zeros_like(own.noise))
    return jnp.concatenate(found)


@functools.partial(jax.jit, static_argnames="form")
def unpack(form: Form, parameters: Array, ends: Array) -> tuple[Array, Corrections | None]:
    """Levels [S + 1] and corrections of parameters [n]; None where levels alone are learned."""
    logsnr = form.levels(parameters, ends)
    return logsnr, form.corrections(parameters, logsnr) if form.corrects else None
