"""Guidance of a network on the command line, and remarks on plans that were learned otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from specjax._core.checks import UserError
from specjax.cli.console import remark

if TYPE_CHECKING:
    from specjax.cli.python_denoiser import PythonDenoiser
    from specjax.fitting.learned import LearnedResult
    from specjax.nn.run import Run

    Network = TypeVar("Network", bound=Run | PythonDenoiser)


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """The guidance of a network."""

    guidance: tuple[float, ...] = ()
    """of a conditional network, the weight w of d_u + w (d_c - d_u), or one for each call: of a run
    by 'specjax train --conditional', or a denoiser in Python by specjax.guided; none by default,
    or what a plan file says"""
    guidance_interval: tuple[float, float] | None = None
    """sigma / alpha between which the weight applies (LOW HIGH; HIGH may be inf), 1 outside"""

    def guided(self, run: Network, results: Sequence[LearnedResult] = ()) -> Network:
        """Return a run with a guided denoiser, if that is asked for or a plan has weights."""
        asked = self.guidance or any(one.guidance is not None for one in results)
        if not asked and self.guidance_interval is None:
            return run
        if not self.guidance and self.guidance_interval is not None:
            raise UserError("guidance_interval: give a weight by --guidance, too")
        weights = self.guidance or (1.0,)
        weight: Any = weights[0] if len(weights) == 1 else weights
        return run.guided(weight, self.guidance_interval)  # type: ignore[return-value]


def remark_on_guidance(
    results: Sequence[LearnedResult], run: Run | PythonDenoiser, labels: Any
) -> None:
    """Say where plans were learned through a network with other guidance or labels.

    Args:
      results: plans and schedules.
      run: with the denoiser that they are used with.
      labels: of the samples [n], or None.
    """
    from specjax.sampling.guidance import guided_in

    found = guided_in(run.denoiser())
    now = "no guidance" if found is None else _named(found.weight, found.interval)
    for one in results:
        if one.prior != "network" or one.kept == "given":
            continue
        about = one.source.get("guidance")
        then = "no guidance" if about is None else _named(about["weight"], about["interval"])
        if one.guidance is None and then != now:
            remark(f"the plan was learned with {then}, and is used with {now}")
        told, known = set(np.unique(labels) if labels is not None else ()), one.source.get("labels")
        if known is not None and not told <= set(known):
            names = ", ".join(map(str, known))
            remark(f"the plan was learned for labels {names}, and is used for others, too")


def _named(weight: Any, interval: Any) -> str:
    text = "guidance " + ", ".join(f"{w:g}" for w in np.ravel(weight))
    if interval is not None:
        text += " for sigma {:g} to {:g}".format(*interval)
    return text
