"""The rivals of a learned plan: the samplers of others, each along the schedule that suits it best.

Schedules are those of :mod:`specjax.bench.schedules`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from specjax._core.checks import UserError
from specjax.bench.schedules import Maker
from specjax.sampling.samplers import ddim, deis, dpmpp_2m, dpmpp_3m, heun, ipndm, plan, unipc
from specjax.sampling.scaled import SamplerLike
from specjax.sampling.step import SamplerPlan

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


def plans(
    calls: int, makers: Mapping[str, Maker], rivals: Mapping[str, SamplerLike], process: str
) -> dict[tuple[str, str], SamplerPlan]:
    """Return every rival along every schedule in so many calls, by their names.

    A rival of two calls a step has half as many steps, whose last to s = 0 needs one. Schedules
    that are chosen among fewer levels than there are steps are left out.
    """
    found = {}
    for (name, sampler), (schedule, make) in itertools.product(rivals.items(), makers.items()):
        steps = calls if plan(sampler, make(2), process).calls <= 2 else (calls + 1) // 2
        try:
            one = plan(sampler, make(steps), process)
        except UserError:  # its levels do not rise
            continue
        if one.calls <= calls:
            found[name, schedule] = one
    return found
