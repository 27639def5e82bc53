"""The weights of guidance among the parameters of a plan, and which calls have one.

A call of weight 1 needs one answer of the network, any other two. Of a number of network calls, the
calls that stay unguided are at the clean end, at the noisy end or at both: guidance matters least
there (2404.07724). What is learned from each of these patterns decides between them.
"""

from __future__ import annotations

import numpy as np

from specjax._core.checks import UserError
from specjax.fitting.learned import LearnedResult
from specjax.learning.parameters import PlanParameters
from specjax.sampling.corrections import check_learnable
from specjax.sampling.guidance import Guided
from specjax.schedules.schedule import alpha_sigma

Pattern = tuple[bool, ...]
"""Which of S calls are guided."""


def patterns(steps: int, network_calls: int | None) -> list[Pattern]:
    """Return the patterns of S calls, guided or not, that are tried for so many network calls.

    All are guided where None is given.

    Raises:
      UserError: for fewer network calls than S, fewer than 2 or more than 2 S.
    """
    most = 2 * steps
    if network_calls is None or network_calls == most:
        return [(True,) * steps]
    if not (least := max(steps, 2)) <= network_calls <= most:
        raise UserError(
            f"network_calls = {network_calls}: give {least} to {most} for {steps} steps, one for "
            "each call and one more for each guided one"
        )
    single = most - network_calls
    found = []
    for noisy in (0, single, single // 2):
        ends = np.arange(steps) < noisy, np.arange(steps) >= steps - (single - noisy)
        found.append(tuple((~(ends[0] | ends[1])).tolist()))
    return list(dict.fromkeys(found))


def with_guidance(
    parameters: PlanParameters, theta: np.ndarray, ends: np.ndarray, guided: Guided,
    pattern: Pattern, start: LearnedResult | None = None,
) -> tuple[PlanParameters, np.ndarray]:  # fmt: skip
    """Add the weights of guidance to the parameters [n] of a plan, its last group.

    Args:
      parameters: of the plan without them.
      theta: [n].
      ends: logsnr at both ends.
      guided: whose own weights at the plan's levels are the start.
      pattern: which calls are guided; the others have the weight 1.
      start: a plan learned before, whose weights are taken instead, if it has any.

    Raises:
      UserError: for a sampler of more calls than steps.
    """
    check_learnable(parameters.sampler)
    levels = np.asarray(parameters.levels(theta, ends))[:-1]
    own = np.where(pattern, guided.weights_at(*alpha_sigma(levels, parameters.process)), 1.0)
    found = parameters._replace(guidance=tuple(float(w) for w in own))
    added = np.zeros(len(found.guided))
    if start is not None and start.guidance is not None:
        before = np.asarray(start.guidance)
        at, known = ((np.arange(n) + 0.5) / n for n in (len(own), len(before)))
        added = found.guidance_from(np.interp(at, known, before))
    return found, np.concatenate([theta, added.astype(theta.dtype)])
