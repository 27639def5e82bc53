"""What is fitted, compared and reported: data, noise, denoiser, sampler and loss, resolved once.

A :class:`GaussianTask` is resolved in the public function from what a user names. No function below
asks again whether a noise is white, which weights count or whether a denoiser was measured.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypedDict, Unpack

import jax
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, follows_the_rule, namespace
from specjax._core.checks import UserError
from specjax.gaussian.losses import (
    LOSSES,
    Loss,
    check_finite,
    evaluate,
    loss_of,
    residuals,
    unit_of,
)
from specjax.gaussian.modes import Modes, modes_of
from specjax.gaussian.probe import Probe
from specjax.gaussian.transfer import Transfer, transfer_modes
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.noise.whitening import effective
from specjax.sampling.samplers import options_of, plan, sampler_of
from specjax.sampling.scaled import SamplerLike, scaled_plan
from specjax.sampling.step import SamplerPlan
from specjax.schedules.grids import GridLike
from specjax.schedules.level_range import LevelRange
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.response import Measured
from specjax.spectra.spectrum import Spectrum


class TaskOptions(TypedDict, total=False):
    """The options of a task, which are keywords of :func:`fit` and its like.

    Attributes:
      sampler: a name in SAMPLERS, a sampler with options such as ``sx.ddim(eta=0.5)``, or one of
        your own; DDIM by default.
      loss: a name in LOSSES, or a :class:`Loss` of your own; "w2" by default.
      process: "vp" (the default), "ve" or "flow".
      alpha_bar_range: the two ends (noisy, clean). With ``clean = 1.0``, the default, the last
        step returns the denoised estimate and the last noisy level is learned, too. With
        ``noisy = 0.0`` the first step starts from pure noise, and the first level behind it is
        learned, too: the default in flow matching, and of a grid that ends in pure noise (zero
        terminal SNR); elsewhere it is 4.0358e-5, where DDPM's linear schedule ends.
      grid: the training grid of the network that will be called: a name in GRIDS, a
        :class:`TrainingGrid`, or ``pipe.scheduler.config``. All noisy levels stay within it, and
        both ends are cut to it. By default levels may be anywhere.
      noise: of the forward process, isotropic by default; the spectrum is then that of the data.
      denoiser: a :class:`Probe` of this spectrum, in place of the ideal denoiser.
      denoiser_error: the part of the posterior variance ``lambda s^2 / (lambda + s^2)`` by which
        the denoiser's answers are wrong, at random and independently at each call. Losses count
        what these errors add up to as an error of the mean. Samplers that extrapolate need it:
        without, they are fitted to levels where the errors of the ideal denoiser cancel and those
        of a network explode. None, the default, is 0 wherever a loss is computed, and the
        sampler's own (:class:`specjax.sampling.samplers.Sampler`) in :func:`specjax.fit` and
        :func:`specjax.compare`: 0.1 for those of the package that lean on past answers, under
        losses that count it.
      mean: "match" (the default): losses count the error of the mean that a start from N(0, I)
        leaves; "ignore": the fluctuations alone are matched, for data whose mean is subtracted or
        samples that start at it (``mean`` of :func:`specjax.sample`).
    """

    sampler: str | SamplerLike
    loss: str | Loss
    process: str
    alpha_bar_range: tuple[float, float] | None
    grid: GridLike | None
    noise: NoiseSpectrum | None
    denoiser: Probe | Measured | None
    denoiser_error: float | None
    mean: str


class Objective(NamedTuple):
    """The choices that shape a loss; hashable, so that it can be static under jit."""

    sampler: SamplerLike
    loss: Loss
    process: str

    def plan(self, schedule: NoiseSchedule) -> SamplerPlan:
        """Compute the sampler's plan along a schedule."""
        return plan(self.sampler, schedule, self.process)

    def value(self, modes: Modes, schedule: NoiseSchedule) -> Array:
        """Compute the loss [] of a schedule; traceable in the schedule and the modes."""
        return self.of_levels(modes, schedule.logsnr, 0)

    def of_levels(self, modes: Modes, logsnr: Array, idle: Array | int) -> Array:
        """Compute the loss [] of levels whose first ``idle`` steps do nothing."""
        return loss_of_plan(scaled_plan(self.sampler, logsnr, self.process, idle), modes, self.loss)


@dataclass(frozen=True, eq=False)
class GaussianTask:
    """Gaussian data under a noise, with a denoiser, a sampler and a loss; see :meth:`resolve`.

    Attributes:
      objective: sampler, loss and process.
      levels: the two ends of schedules, and the grid that they stay within.
      modes: the directions of the data in units of the noise, weighed as the loss counts them.
      noise: of the forward process; None is isotropic.
      origin: where spectrum and denoiser come from.
      spectrum: the spectrum, under the noise; None where modes were given.
    """

    objective: Objective
    levels: LevelRange
    modes: Modes
    noise: NoiseSpectrum | None
    origin: Mapping[str, Any]
    spectrum: Spectrum | None

    @classmethod
    def resolve(
        cls, spectrum: Spectrum | Modes | GaussianTask, **options: Unpack[TaskOptions]
    ) -> GaussianTask:
        """Check and resolve the options that a user names.

        Args:
          spectrum: of data, or under a noise already (:func:`specjax.effective`); modes, whose
            weights are taken as they are; a task, which is returned as it is.
          options: see :class:`TaskOptions`.

        Raises:
          UserError: for an unknown name, a range that is reversed or outside (0, 1], a noise on
            other samples, a probe of another spectrum, zero eigenvalues under a loss that is
            infinite there, a denoiser's error under one that counts none.

        Example:
          >>> task = GaussianTask.resolve(sx.Spectrum([1.0]), sampler="ddpm", loss="kl")
          >>> float(task.value(sx.family("cosine", 5)).round(4))
          0.1525
        """
        for name in options.keys() - TaskOptions.__annotations__.keys():
            raise TypeError(f"{name!r} is no keyword of a task: sampler, loss, process, ...")
        if isinstance(spectrum, GaussianTask):
            if options:
                raise UserError(f"a task is resolved: {', '.join(options)} cannot be changed")
            return spectrum
        loss = loss_of(options.get("loss", "w2"))
        process = options.get("process", "vp")
        levels = LevelRange.resolve(options.get("alpha_bar_range"), options.get("grid"), process)
        objective = Objective(sampler_of(options.get("sampler", "ddim")), loss, process)
        source: dict[str, Any] = {}
        noise = None
        denoiser = options.get("denoiser")
        if isinstance(spectrum, Spectrum):
            spectrum = effective(spectrum, options.get("noise"))
            noise, source = spectrum.noise, dict(spectrum.source or {})
        elif options.get("noise") is not None:
            raise UserError("noise: modes are in units of their noise already; leave it out")
        modes = modes_of(
            spectrum, denoiser=denoiser, denoiser_error=options.get("denoiser_error"),
            in_data_units=loss.in_data_units,
        )  # fmt: skip
        check_finite(loss, modes.eigenvalues)
        if modes.denoiser_error is not None and not loss.counts_mean:
            counting = ", ".join(name for name, one in LOSSES.items() if one.counts_mean)
            raise UserError(
                f"denoiser_error: loss {loss.name!r} does not count it: leave it out, or use one "
                f"of {counting}"
            )
        if isinstance(denoiser, Probe):
            source["denoiser"] = denoiser.about
        kept = spectrum if isinstance(spectrum, Spectrum) else None
        if checks.one_of("mean", options.get("mean", "match"), ("match", "ignore")) == "ignore":
            modes = replace(modes, mean=0 * modes.mean)
            kept = None if kept is None else replace(kept, mean=0 * kept.mean)
            source["mean"] = "ignored"
        return cls(objective, levels, modes, noise, source, kept)

    @classmethod
    def for_fit(
        cls, spectrum: Spectrum | Modes | GaussianTask, **options: Unpack[TaskOptions]
    ) -> GaussianTask:
        """Resolve as :meth:`resolve` does, with the error that fits take a denoiser to have.

        Args:
          spectrum: as there; modes and tasks have their denoiser's error already.
          options: see :class:`TaskOptions`; without ``denoiser_error`` it is the sampler's own.

        Example:
          >>> task = GaussianTask.for_fit(sx.Spectrum([1.0]), sampler="dpmpp_2m")
          >>> float(task.modes.denoiser_error)
          0.1
        """
        if isinstance(spectrum, Spectrum) and options.get("denoiser_error") is None:
            sampler = sampler_of(options.get("sampler", "ddim"))
            counted = loss_of(options.get("loss", "w2")).counts_mean
            options["denoiser_error"] = getattr(sampler, "denoiser_error", 0.0) if counted else 0.0
        return cls.resolve(spectrum, **options)

    @property
    def sampler(self) -> str:
        """The sampler's name."""
        return self.objective.sampler.name

    @property
    def sampler_options(self) -> dict[str, Any]:
        """The sampler's options."""
        return options_of(self.objective.sampler)

    @property
    def loss(self) -> Loss:
        """The loss."""
        return self.objective.loss

    @property
    def process(self) -> str:
        """The process: "vp", "ve" or "flow"."""
        return self.objective.process

    @property
    def alpha_bar_range(self) -> tuple[float, float]:
        """The two ends (noisy, clean) of schedules."""
        return self.levels.alpha_bar_range

    @functools.cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the numbers of spectrum, noise and denoiser, in hexadecimal."""
        acting = (self.modes.response, self.modes.denoiser_error)
        if self.spectrum is None or acting != (None, None):
            return self.modes.fingerprint
        return self.spectrum.fingerprint

    @property
    def source(self) -> dict[str, Any]:
        """The sources of spectrum and denoiser, with the fingerprint of their numbers."""
        return {**self.origin, "fingerprint": self.fingerprint}

    @property
    def logsnr_range(self) -> np.ndarray:
        """The ends as logsnr, see :attr:`LevelRange.ends`, in the dtype of the modes."""
        return self.levels.ends.astype(self.modes.eigenvalues.dtype)

    @functools.cached_property
    def nodes(self) -> Modes:
        """About 40 modes on which smooth losses are the same, for fits to run on."""
        return self.modes.quadrature(40)

    def plan(self, schedule: NoiseSchedule) -> SamplerPlan:
        """Compute the sampler's plan along a ``schedule``."""
        return self.objective.plan(schedule)

    @property
    def unit(self) -> float:
        """The whole that a loss is a share of: the data's variance; for a loss without unit, d."""
        return unit_of(self.loss, self.modes)

    def mean_share(self, schedule: NoiseSchedule) -> float:
        """Compute the part of the loss of a ``schedule`` that is the mean's, on the nodes."""
        nodes = self.nodes
        whole = float(self.objective.value(nodes, schedule))
        rest = float(self.objective.value(replace(nodes, mean=0 * nodes.mean), schedule))
        return (whole - rest) / whole if whole > 0 else 0.0

    def value(self, schedule: NoiseSchedule) -> Array:
        """Compute the loss [] of a ``schedule`` on all modes."""
        return self.objective.value(self.modes, schedule)


def loss_of_plan(plan: SamplerPlan, modes: Modes, loss: Loss) -> Array:
    """Compute the loss [] of a plan on modes, at once on the host or compiled."""
    if namespace(*jax.tree.leaves((plan, modes))) is np:
        return _on_host(loss, transfer_modes(plan, modes), modes)
    return _compiled_loss(plan, modes, loss)


@functools.partial(jax.jit, static_argnames="loss")
def _compiled_loss(plan: SamplerPlan, modes: Modes, loss: Loss) -> Array:
    return evaluate(loss, transfer_modes(plan, modes), modes)


def _on_host(loss: Loss, moments: Transfer, modes: Modes) -> Array:
    """Evaluate a loss in NumPy; one that is written in JAX takes and returns NumPy's arrays."""
    if loss.name in LOSSES and LOSSES[loss.name] is loss:
        with np.errstate(all="ignore"):
            return evaluate(loss, moments, modes)
    return follows_the_rule(evaluate)(loss, moments, modes)


def residuals_of_plan(plan: SamplerPlan, modes: Modes, loss: Loss) -> np.ndarray:
    """Compute numbers, smooth in a plan of NumPy's, whose squares sum to a quadratic loss."""
    moments = transfer_modes(plan, modes)
    if loss.name in LOSSES and LOSSES[loss.name] is loss:
        with np.errstate(all="ignore"):
            return residuals(loss, moments, modes)
    return np.asarray(follows_the_rule(residuals)(loss, moments, modes))


def loss(
    spectrum: Spectrum | GaussianTask, schedule: NoiseSchedule, **options: Unpack[TaskOptions]
) -> Array:
    """Compute how far a sampler along a schedule ends from the data, in closed form.

    Args:
      spectrum: d eigenvalues, or a task.
      schedule: S + 1 levels, anybody's.
      options: see :class:`TaskOptions`.

    Returns:
      The value [].

    Raises:
      UserError: for an unknown name, or a zero eigenvalue under a loss that is infinite there.

    Example:
      >>> schedule = NoiseSchedule.from_sigmas([50.0, 1.0, 0.0])
      >>> loss(Spectrum([1.0]), schedule).round(4)
      np.float64(0.2402)
    """
    return GaussianTask.resolve(spectrum, **options).value(schedule)
