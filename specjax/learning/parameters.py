"""A plan as a vector of parameters, and back.

The parameters are those of the levels (:mod:`specjax.fitting.levels`) and, relative to what the
sampler itself would do along these levels (`corrections_of` in
:mod:`specjax.sampling.corrections`): what is added to c, to the weights, to the logarithm of g, and
to the weights of guidance. At zero a plan is the sampler's own.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, namespace
from specjax._core.checks import UserError
from specjax.fitting.levels import levels_of, theta_of
from specjax.sampling.corrections import (
    Corrections,
    check_learnable,
    corrected_plan,
    corrections_of,
)
from specjax.sampling.scaled import SamplerLike, level_steps, plan_of_levels
from specjax.sampling.step import SamplerPlan

DETERMINISTIC = ("ddim", "dpmpp_2m", "unipc")
"""The samplers that are tried where none is asked for."""

GROUPS = ("levels", "ratios", "weights", "noise", "guidance")
_MOST_GUIDANCE = 4.0  # of a weight less 1, times that of the start
_CORRECTION_SCALE = 0.05  # the expected inverse curvature of log(loss) in a correction


class PlanParameters(NamedTuple):
    """The numbers of a plan, and which of them are learned; hashable, so static under jit.

    ``memory`` past estimates are remembered; ``groups`` are learned, the others stay.
    ``ends_clean`` as in :func:`specjax.fitting.levels.levels_of`; the coefficients are those of
    ``process``. ``guidance`` are the weights that each call of a guided denoiser starts from: those
    that are 0 or 1, calls of one network, stay. None leaves them to the denoiser.
    """

    steps: int
    sampler: SamplerLike
    memory: int
    groups: tuple[str, ...]
    ends_clean: bool
    process: str
    stochastic: bool
    guidance: tuple[float, ...] | None = None

    @property
    def corrects(self) -> bool:
        """Tell whether coefficients are learned."""
        return bool({"ratios", "weights", "noise"} & set(self.groups))

    @property
    def guided(self) -> np.ndarray:
        """The calls whose weight of guidance is free."""
        return np.flatnonzero([w not in (0, 1) for w in self.guidance or ()])

    @property
    def sizes(self) -> dict[str, int]:
        """How many parameters each group has."""
        s = self.steps
        found = {"levels": s - 1 if self.ends_clean else s}
        if self.corrects:
            found |= {"ratios": s, "weights": s * self.memory, "noise": s * self.stochastic}
        if self.guidance is not None:
            found["guidance"] = len(self.guided)
        return found

    @property
    def learned(self) -> np.ndarray:
        """The numbers of the parameters that are learned."""
        free = [np.full(n, name in self.groups) for name, n in self.sizes.items()]
        return np.flatnonzero(np.concatenate(free))

    def by_group(self, theta: Array) -> dict[str, Array]:
        """Split parameters [n] into those of each group."""
        edges = np.cumsum(list(self.sizes.values()))[:-1]
        return dict(zip(self.sizes, namespace(theta).split(theta, edges), strict=True))

    def levels(self, theta: Array, ends: Array) -> Array:
        """Compute logsnr [S + 1]."""
        return levels_of(self.by_group(theta)["levels"], ends, ends_clean=self.ends_clean)

    def corrections(self, theta: Array, logsnr: Array) -> Corrections:
        """Compute the corrections along levels [S + 1]."""
        own, added = self.of_sampler(logsnr), self.by_group(theta)
        weights = own.weights + added["weights"].reshape(self.steps, self.memory)
        noise = None if own.noise is None else own.noise * namespace(theta).exp(added["noise"])
        return Corrections(own.ratio + added["ratios"], weights, noise)

    def of_sampler(self, logsnr: Array) -> Corrections:
        """Compute the sampler's own corrections along levels [S + 1]."""
        t = level_steps(logsnr, self.process)
        return corrections_of(self.sampler, t).remembering(self.memory)

    def weights_of_guidance(self, theta: Array) -> Array | None:
        """Compute the weights [S] of guidance; None where they are left to the denoiser.

        ``w - 1`` is that of the start times a sigmoid, 1 at zero, from 0 to :data:`_MOST_GUIDANCE`:
        where the two answers of a guided denoiser are alike, any weight would do.
        """
        if self.guidance is None:
            return None
        xp, most = namespace(theta), _MOST_GUIDANCE
        own = self.by_group(theta)["guidance"]
        times = most / (1 + (most - 1) * xp.exp(-own * most / (most - 1)))
        where = np.eye(self.steps, dtype=own.dtype)[self.guided]
        start = xp.asarray(self.guidance, own.dtype)
        return start + (start - 1) * ((times - 1) @ where)

    def guidance_from(self, weights: np.ndarray) -> np.ndarray:
        """Compute the parameters of weights [S], the nearest ones within the bounds."""
        start, most = np.array(self.guidance)[self.guided], _MOST_GUIDANCE
        times = ((weights[self.guided] - 1) / (start - 1)).clip(0.01 * most, 0.99 * most)
        return -(most - 1) / most * np.log((most / times - 1) / (most - 1))

    def plan(self, theta: Array, ends: Array) -> SamplerPlan:
        """Compute the plan of parameters [n]; traceable."""
        logsnr = self.levels(theta, ends)
        if not self.corrects:
            plan = plan_of_levels(self.sampler, logsnr, self.process)
        else:
            plan = corrected_plan(logsnr, self.corrections(theta, logsnr), self.process)
        return replace(plan, guidance=self.weights_of_guidance(theta))

    def scale(self, theta: Array) -> Array:
        """Estimate the inverse curvature of log(loss) in each parameter [n]."""
        levels, rest = self.sizes["levels"], sum(self.sizes.values()) - self.sizes["levels"]
        parts = (jnp.full(levels, self.steps / 5), jnp.full(rest, _CORRECTION_SCALE))
        return jnp.concatenate(parts).astype(theta.dtype)


def parameters_of(
    steps: int, sampler: SamplerLike, memory: int | None,
    groups: Sequence[str], ends_clean: bool, process: str,
) -> PlanParameters:  # fmt: skip
    """Check that names and numbers fit together.

    Args:
      memory: None is the sampler's own, or 1 where weights are learned; more than the estimates
        that there are before the last step is as many. groups: of :data:`GROUPS`.

    Raises:
      UserError: for an unknown group, none or some without a parameter, a sampler whose levels
        alone can be learned, a memory below the sampler's, or above it beside frozen weights.
    """
    for name in groups:
        checks.one_of("groups", name, GROUPS)
    chosen = tuple(name for name in GROUPS if name in groups)
    if not chosen:
        raise UserError(f"groups = {tuple(groups)}: give at least one of {', '.join(GROUPS)}")
    t = level_steps(np.arange(steps + 1.0), process)
    stochastic = sampler.rows(t).stochastic
    found = PlanParameters(steps, sampler, 0, chosen, ends_clean, process, stochastic)
    if not found.corrects:
        if memory is not None:
            raise UserError(f"memory = {memory} beside groups = {chosen}: these have none")
        return found
    check_learnable(sampler)
    own = corrections_of(sampler, t).memory
    memory = _memory(memory, sampler.name, own, "weights" in chosen)
    found = found._replace(memory=min(memory, max(steps - 1, own, 1)))
    if not any(found.sizes[name] for name in chosen if name in found.sizes):
        raise UserError(
            f"groups = {chosen}: {sampler.name} in {steps} steps has none of these; learn others "
            "too"
        )
    return found


def _memory(given: int | None, sampler: str, own: int, learned: bool) -> int:
    if given is None:
        return max(own, 1) if learned else own
    if checks.whole_number("memory", given, 0) < own or (given > own and not learned):
        few = f"at least {own}" if learned else f"{own} with frozen weights"
        raise UserError(f"memory = {given}: {sampler} remembers {few} past estimates")
    return given


def pack(
    parameters: PlanParameters, logsnr: Array, by: Corrections | None, ends: Array | None = None
) -> np.ndarray:
    """Compute the parameters [n] of levels [S + 1] and corrections (None: the sampler's own).

    The weights of guidance are those to start from.
    """
    logsnr = np.asarray(logsnr)
    levels = theta_of(logsnr, ends, ends_clean=parameters.ends_clean)
    guidance = np.zeros(len(parameters.guided), levels.dtype)
    if not parameters.corrects:
        return np.concatenate([levels, guidance])
    own = parameters.of_sampler(logsnr)
    by = own if by is None else by.remembering(parameters.memory)
    parts = [levels, by.ratio - own.ratio, (by.weights - own.weights).reshape(-1)]
    if own.noise is not None:
        noise = own.noise if by.noise is None else by.noise
        positive = (own.noise > 0) & (noise > 0)  # a step to s = 0 has none, and no logarithm
        ratio = np.where(positive, noise, 1) / np.where(positive, own.noise, 1)
        parts.append(np.log(ratio))
    return np.concatenate([*parts, guidance])


def unpack(
    parameters: PlanParameters, theta: Array, ends: Array
) -> tuple[Array, Corrections | None]:
    """Compute levels [S + 1] and corrections; None where coefficients are the sampler's own."""
    logsnr = parameters.levels(theta, ends)
    return logsnr, parameters.corrections(theta, logsnr) if parameters.corrects else None


def plan_of(parameters: PlanParameters, theta: Array, ends: Array) -> SamplerPlan:
    """Compute the plan of parameters [n]: at once on the host, else compiled."""
    on_host = namespace(theta, ends) is np
    return parameters.plan(theta, ends) if on_host else _compiled_plan(parameters, theta, ends)


@functools.partial(jax.jit, static_argnames="parameters")
def _compiled_plan(parameters: PlanParameters, theta: Array, ends: Array) -> SamplerPlan:
    return parameters.plan(theta, ends)
