"""Plans over arrays of any library (torch among them): the equation of
:mod:`specjax.sampling.step` in Python's numbers, which keep the dtype and device of the arrays.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from specjax._core.checks import UserError
from specjax.files.kinds import load_plans, rows_of
from specjax.fitting.any_steps import PlanSet
from specjax.fitting.learned import LearnedResult, in_float64
from specjax.noise.noise_spectrum import anisotropic
from specjax.sampling.step import SamplerPlan

Rows = Mapping[str, Any]
"""The rows of a plan as lists, by the names in a file: "alpha", "sigma", "keep", "pull", "push",
and "start" and "stochastic"."""


Plans = LearnedResult | PlanSet | str | os.PathLike[str]
"""A learned result, several of other steps, or the path of a file of either."""


def as_plans(plan: Plans) -> PlanSet:
    """Return learned results, or those in a file, in float64.

    Raises:
      UserError: if it is neither.
    """
    if isinstance(plan, str | os.PathLike):
        plan = load_plans(plan)
    if isinstance(plan, LearnedResult):
        plan = PlanSet([plan])
    if not isinstance(plan, PlanSet):
        raise UserError(
            f"plan = {type(plan).__name__}: give what specjax.learn or specjax.fit returned, or "
            "the path of its file"
        )
    return PlanSet(map(in_float64, plan))


def as_result(plan: Plans, steps: int | None = None) -> LearnedResult:
    """Return the one learned result, or that of S ``steps``, as :func:`as_plans` reads it."""
    return as_plans(plan).of(steps)


def as_lists(plan: SamplerPlan) -> dict[str, Any]:
    """Return the rows of a plan as lists of Python's numbers.

    Raises:
      UserError: if a number is not finite.
    """
    rows = {name: array.tolist() for name, array in rows_of(plan).items()}
    return {**rows, "stochastic": bool(plan.stochastic)}


def check_colored(plan: LearnedResult, colored: bool, what: str) -> None:
    """Refuse white noise for a plan that was learned for another, and noise that omits directions.

    Args:
      colored: what the user says of the noise. what: which arrays must have its spectrum.

    Raises:
      UserError: for a plan under a noise without ``colored``, and the reverse; for noise that
        omits directions, in which a network's answers mean nothing.
    """
    noise = anisotropic(plan.noise)
    if noise is not None and noise.omitted:
        raise UserError(
            f"the plan was learned for {noise.name} noise, without any in {noise.omitted:,} "
            "directions, and other programs do not leave samples as they are there: sample by "
            "specjax.generate"
        )
    if noise is not None and not colored:
        raise UserError(
            f"the plan was learned for {noise.name} noise: give {what} of that spectrum, "
            "plan.noise.color(white), and colored=True (docs/plans.md)"
        )
    if noise is None and colored:
        raise UserError("colored = True: the plan was learned for white noise; leave it out")


def is_noisy(rows: Rows, k: int) -> bool:
    """Tell whether call k pushes noise."""
    return any(rows["push"][k])


def advance(r: Sequence[Any], rows: Rows, k: int, d: Any, z: Any) -> list[Any]:
    """Return the registers after call k: ``keep r + pull d + push z``.

    Args:
      r: H arrays. d: the estimate. z: unit noise, or None where the call pushes none.
    """

    def register(keep: Sequence[float], pull: float, push: float) -> Any:
        terms = [(pull, d), *zip(keep, r, strict=True), (push, z)]
        used = [c * x for c, x in terms if c != 0]
        return sum(used[1:], used[0]) if used else 0 * d

    table = zip(rows["keep"][k], rows["pull"][k], rows["push"][k], strict=True)
    return [register(*row) for row in table]
