"""The rivals of a learned plan: the samplers of others, each along the schedule that suits it best.

Schedules are all families, the closed form of the spectrum where there is one, and ``gits``: of
levels that were gone through on the way to a few fine solutions, those between which Euler's jumps
err least in all, by dynamic programming (2405.11326).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import numpy as np

from specjax.learning.answers import Answers
from specjax.learning.heuristics import schedule_makers
from specjax.learning.recorded_plans import cheapest_path, jump_costs
from specjax.learning.trajectories import Noises, follow
from specjax.priors.prior import Prior
from specjax.sampling.samplers import ddim, deis, dpmpp_2m, dpmpp_3m, heun, ipndm, plan, unipc
from specjax.sampling.scaled import SamplerLike
from specjax.sampling.step import SamplerPlan
from specjax.schedules.grids import LevelRange
from specjax.schedules.schedule import NoiseSchedule

RIVALS: dict[str, SamplerLike] = {
    "DDIM": ddim,
    "Heun": heun,
    "DPM-Solver++(2M)": dpmpp_2m,
    "DPM-Solver++(3M)": dpmpp_3m,
    "UniPC-2": unipc,
    "UniPC-3": unipc(order=3),
    "DEIS-3": deis,
    "iPNDM-3": ipndm(order=3),
}
"""The samplers by the names of their papers."""

Maker = Callable[[int], NoiseSchedule]
"""From S to a schedule."""


def schedules(
    prior: Prior, levels: LevelRange, fine: SamplerPlan | None, answers: Answers, noises: Noises
) -> dict[str, Maker]:
    """Return what makes each schedule of S steps, by name.

    Args:
      prior: whose spectrum, if it is known, has a closed form. levels: the ends.
      fine: a plan of many steps in scaled coordinates (VE), whose levels "gits" chooses among;
        None from pure noise, which has no scaled coordinates.
      answers: of the denoiser. noises: a few.
    """
    found = dict(schedule_makers(prior, levels, "w2"))
    return found if fine is None else {**found, "gits": gits(fine, answers, noises)}


def gits(fine: SamplerPlan, answers: Answers, noises: Noises) -> Maker:
    """Return what makes GITS' schedule of S steps, from fine trajectories of a few noises."""
    path = follow(fine, answers, noises)
    samples = [one[0] for one in path.registers]
    flat = [np.asarray(x, np.float64).reshape(len(x), -1) for x in (*samples, *path.answers)]
    vectors = np.stack(flat, 1)
    products = np.mean([one @ one.T for one in vectors], 0)[None]
    s = np.append(np.asarray(fine.sigma, np.float64), 0.0)
    costs = np.sqrt(jump_costs(products, np.ones((len(s), 1)), s, best=False))

    def make(steps: int) -> NoiseSchedule:
        return NoiseSchedule.from_sigmas(s[list(cheapest_path(costs, steps))])

    return make


def plans(
    calls: int, makers: Mapping[str, Maker], rivals: Mapping[str, SamplerLike], process: str
) -> dict[tuple[str, str], SamplerPlan]:
    """Return every rival along every schedule in so many calls, by their names.

    A rival of two calls a step has half as many steps, whose last to s = 0 needs one.
    """
    found = {}
    for (name, sampler), (schedule, make) in itertools.product(rivals.items(), makers.items()):
        steps = calls if plan(sampler, make(2), process).calls <= 2 else (calls + 1) // 2
        one = plan(sampler, make(steps), process)
        if one.calls <= calls:
            found[name, schedule] = one
    return found
