"""A plan over arrays of any library (torch among them): the equation of
:mod:`specjax.sampling.step`.

Coefficients are Python's numbers, which keep the dtype and the device of what they multiply, and
registers a list. ``rows`` is what a plan file calls "plan", see :mod:`specjax.files.plan_file`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from specjax.files.codec import load
from specjax.fitting.learned import LearnedResult
from specjax.noise.noise_spectrum import anisotropic

Rows = Mapping[str, Any]


def open_plan(plan: LearnedResult | str | os.PathLike[str]) -> LearnedResult:
    """A plan as it is, or the one in a file.

    Raises:
      ValueError: if it is neither.
    """
    if isinstance(plan, LearnedResult):
        return plan
    if not isinstance(plan, str | os.PathLike):
        raise ValueError(
            f"plan = {type(plan).__name__}: give what specjax.learn returned, or the path of a "
            "plan file"
        )
    found = load(plan)
    if not isinstance(found, LearnedResult):
        raise ValueError(
            f"{plan} is a file of specjax, but no plan: give one by 'specjax learn' (the levels of "
            "a schedule go to other programs by 'specjax export')"
        )
    return found


def check_colored(plan: LearnedResult, colored: bool, of: str) -> None:
    """Refuse white noise for a plan that was learned for another, and noise that omits directions.

    Args:
      colored: what the user says of his noise. of: what must have the spectrum of the noise.

    Raises:
      ValueError: for a plan under a noise where it was not said, and the reverse; for noise that
        omits directions, in which a network's answers mean nothing.
    """
    noise = anisotropic(plan.noise)
    if noise is not None and noise.omitted:
        raise ValueError(
            f"the plan was learned for {noise.name} noise, without any in {noise.omitted:,} "
            "directions, and other programs do not leave samples as they are there: sample by "
            "specjax.generate"
        )
    if noise is not None and not colored:
        raise ValueError(
            f"the plan was learned for {noise.name} noise: give {of} of that spectrum, "
            "plan.noise.color(white), and colored=True (docs/plans.md)"
        )
    if noise is None and colored:
        raise ValueError("colored = True: the plan was learned for white noise; leave it out")


def is_noisy(rows: Rows, k: int) -> bool:
    """Whether call k pushes noise."""
    return any(rows["push"][k])


def advance(r: Sequence[Any], rows: Rows, k: int, d: Any, z: Any) -> list[Any]:
    """The registers after call k: ``keep r + pull d + push z``, see :func:`specjax.advance`.

    Args:
      r: H arrays. d: the estimate. z: unit noise, or None where the call pushes none.
    """

    def register(keep: Sequence[float], pull: float, push: float) -> Any:
        terms = [(pull, d), *zip(keep, r, strict=True), (push, z)]
        used = [c * x for c, x in terms if c != 0]
        return sum(used[1:], used[0]) if used else 0 * d

    table = zip(rows["keep"][k], rows["pull"][k], rows["push"][k], strict=True)
    return [register(*row) for row in table]
