"""What is minimised: the loss of a schedule on a spectrum under a sampler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from specjax._core.arrays import Array, follows_the_rule
from specjax.gaussian.losses import LOSSES, check_loss, evaluate
from specjax.gaussian.transfer import transfer
from specjax.sampling.samplers import check_sampler, plan, plan_of_levels
from specjax.sampling.step import SamplerPlan, pad_to_share
from specjax.schedules.schedule import NoiseSchedule, check_process
from specjax.spectra.spectrum import Spectrum


class Objective(NamedTuple):
    """The choices that shape a loss; hashable, so that it can be static under jit."""

    sampler: str
    options: tuple[tuple[str, Any], ...]
    loss: str
    process: str

    def plan(self, schedule: NoiseSchedule) -> SamplerPlan:
        """The sampler's plan along a schedule."""
        return plan(self.sampler, schedule, self.process, **dict(self.options))

    def value(self, spectrum: Spectrum, schedule: NoiseSchedule) -> Array:
        """The loss []: traceable in the schedule and the spectrum."""
        return loss_of_plan(self.plan(schedule), spectrum, self.loss)

    def of_levels(self, spectrum: Spectrum, logsnr: Array, idle: Array | int) -> Array:
        """The loss [] of levels whose first ``idle`` steps do nothing."""
        options = dict(self.options)
        plan = plan_of_levels(self.sampler, logsnr, self.process, options, idle)
        return loss_of_plan(plan, spectrum, self.loss)


def objective(
    spectrum: Spectrum,
    sampler: str,
    options: Mapping[str, Any] | None,
    loss: str,
    process: str,
) -> Objective:
    """The objective of names that exist, on a spectrum that the loss can take."""
    named = dict(options or {})
    check_sampler(sampler, named)
    check_loss(loss, spectrum)
    return Objective(sampler, _pairs(named), loss, check_process(process))


def _pairs(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """By name, with numbers of Python's: they are keys of compilations, and go into files."""
    plain = {k: x.item() if isinstance(x, np.generic) else x for k, x in options.items()}
    return tuple(sorted(plain.items()))


def loss_of_plan(plan: SamplerPlan, spectrum: Spectrum, loss: str) -> Array:
    """The loss [] of a plan on a spectrum."""
    return _loss_of_plan(pad_to_share(plan), replace(spectrum, basis=None), loss)


@follows_the_rule
@partial(jax.jit, static_argnames="loss")
def _loss_of_plan(plan: SamplerPlan, spectrum: Spectrum, loss: str) -> Array:
    return evaluate(LOSSES[loss], transfer(plan, spectrum), spectrum)


def loss(
    spectrum: Spectrum,
    schedule: NoiseSchedule,
    sampler: str = "ddim",
    loss: str = "w2",
    process: str = "vp",
    sampler_options: Mapping[str, Any] | None = None,
) -> Array:
    """How far a sampler along a schedule ends from the data, in closed form.

    Args:
      spectrum: d eigenvalues. schedule: S + 1 levels, anybody's. sampler: a name in SAMPLERS.
      loss: a name in LOSSES ("w2" is the squared 2-Wasserstein distance).
      process: "vp" or "ve". sampler_options: such as ``{"eta": 0.5}``.

    Returns:
      The value [].

    Raises:
      ValueError: for an unknown name, or a zero eigenvalue under a loss that is infinite there.

    Example:
      >>> schedule = NoiseSchedule.from_sigmas([50.0, 1.0, 0.0])
      >>> loss(Spectrum([1.0]), schedule).round(4)
      np.float64(0.2402)
    """
    chosen = objective(spectrum, sampler, sampler_options, loss, process)
    return chosen.value(spectrum, schedule)
