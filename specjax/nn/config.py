"""The configuration of a training: network, noise levels, forward noise, loss, optimiser, output.

Each group of options is a frozen dataclass, whose fields are options of ``specjax train`` and whose
``check`` refuses what can be refused without the data. JAX is imported by the checks alone, so
that the command line shows the options at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.files.forward_noise import ForwardNoise

PRECISIONS = ("float32", "bfloat16")
DECAYS = ("constant", "cosine")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network."""

    width: int = 32
    """channels at the first resolution"""
    multipliers: tuple[int, ...] = (1, 2)
    """channels at each resolution as multiples of the width; each resolution halves the sides"""
    blocks: int = 1
    """residual blocks at each resolution"""
    attention: tuple[int, ...] = ()
    """longest sides at which blocks are followed by attention, such as 16 8"""
    head: int = 64
    """channels of an attention head"""
    dropout: float = 0.0
    """dropout rate in the residual blocks"""
    target: str = "f"
    """what the network predicts: f (EDM), eps, v or flow (the velocity eps - x0)"""
    conditional: bool = False
    """learn samples of given classes, too (needs a labelled set)"""
    spatial: int | None = None
    """how many axes of a sample are sides; 1 for sound of several channels [T, C]"""

    def check(self) -> None:
        """Refuse values that are not allowed (``UserError``)."""
        from specjax.nn.denoiser import TARGETS

        for name in ("width", "blocks", "head"):
            checks.whole_number(name, getattr(self, name))
        if not self.multipliers:
            raise UserError("multipliers = (): give at least one, such as 1 2")
        for each in self.multipliers:
            checks.whole_number("multipliers", each)
        checks.one_of("target", self.target, TARGETS)
        _check_fraction("dropout", self.dropout)
        if self.width % 4:
            raise UserError(f"width = {self.width}: give a multiple of 4")


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """The noise levels that the network is trained at."""

    noise_levels: str | None = None
    """their distribution: edm (log-normal), logit_normal (of the time of flow matching), uniform
    (in logsnr), spectral (as dense as the spectral schedule of the data) or schedule (as the levels
    in a schedule file); by default edm, and logit_normal for the target flow"""
    noise_options: tuple[str, ...] = ()
    """options of the distribution, such as mean=-1.2 std=1.2, low=-12 high=12, or
    file=schedule.json; of all of them pure=0.02, the part of samples that are pure noise (for the
    targets v and flow)"""
    weighting: str | None = None
    """how much a level counts: edm, eps, v, flow, x0 or min_snr; by default edm, and flow for the
    target flow"""

    def for_target(self, target: str) -> NoiseConfig:
        """Return the configuration with what is usual for a target where nothing was asked for."""
        levels, weighting = ("logit_normal", "flow") if target == "flow" else ("edm", "edm")
        return replace(
            self,
            noise_levels=self.noise_levels or levels,
            weighting=self.weighting or weighting,
        )

    def check(self) -> None:
        """Refuse an unknown weighting (``UserError``); the distribution checks its own options."""
        from specjax.nn.losses import WEIGHTINGS

        checks.one_of("weighting", self.weighting, WEIGHTINGS)


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Loss terms beside the squared error, on frequencies of the estimate of x0."""

    terms: tuple[str, ...] = ()
    """frequency terms, each with its weight, such as amplitude=0.1 wavelet=0.05: amplitude,
    amplitude_phase (Fourier), wavelet; a weight of 0 only logs the term"""
    term_levels: str = "signal"
    """how much a noise level counts for the terms: signal (as much as the noisy sample tells of the
    data: sd^2 / (s^2 + sd^2)), edm or x0"""
    term_warmup: int = 500
    """updates in which the weights of the terms rise from 0"""
    wavelet: str = "haar"
    """the wavelet of the term wavelet: haar, bior1.3 or another discrete wavelet of PyWavelets"""
    wavelet_scales: int = 2
    """how often the term wavelet halves the sides"""

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each term by its name."""
        return {name: float(w) for name, w in checks.named_values("terms", self.terms).items()}

    def only(self, term: str) -> LossConfig:
        """Return the configuration with one ``term`` alone."""
        return replace(self, terms=(f"{term}={self.weights[term]!r}",))

    def check(self) -> None:
        """Refuse values that are not allowed (``UserError``)."""
        from specjax.nn.losses import FREQUENCY_LOSSES, TERM_LEVELS
        from specjax.nn.wavelets import check_wavelet

        given = checks.named_values("terms", self.terms)
        if len(given) < len(self.terms):
            raise UserError(f"terms = {' '.join(self.terms)}: give each term once")
        for name, weight in given.items():
            checks.one_of("terms", name, FREQUENCY_LOSSES)
            checks.not_negative(f"terms: {name}", weight)
        checks.one_of("term_levels", self.term_levels, TERM_LEVELS)
        checks.whole_number("term_warmup", self.term_warmup, 0)
        checks.whole_number("wavelet_scales", self.wavelet_scales)
        if "wavelet" in given:
            check_wavelet(self.wavelet)


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """The optimiser (AdamW), its batches and its schedule."""

    updates: int = 2000
    """parameter updates"""
    batch: int = 64
    """samples in one update, over all devices and processes"""
    accumulate: int = 1
    """parts that a batch is computed in, one after another, to save memory"""
    learning_rate: float = 2e-3
    """peak of the learning rate"""
    warmup: int = 100
    """updates before the learning rate is at its peak; it rises linearly"""
    decay: str = "cosine"
    """the learning rate after the warm-up: cosine (to 0 at the last update) or constant"""
    weight_decay: float = 0.01
    """weight decay of AdamW"""
    beta2: float = 0.99
    """decay of AdamW's second moment"""
    clip: float = 1.0
    """largest norm of the gradient; longer ones are scaled down"""
    ema: float = 0.998
    """decay of the average of the parameters that samples are drawn with, after a warm-up"""
    flip: bool = False
    """mirror half of the images left to right"""
    drop_label: float = 0.1
    """conditional: how often the label is withheld"""
    precision: str = "float32"
    """precision of the computation, float32 or bfloat16; parameters are float32"""
    validation: float = 0.05
    """fraction of the samples held out, on which the best checkpoint is chosen"""

    def check(self) -> None:
        """Refuse values that are not allowed (``UserError``)."""
        checks.whole_number("updates", self.updates, most=checks.MOST_OF_OTHERS)
        for name in ("batch", "accumulate"):
            checks.whole_number(name, getattr(self, name))
        checks.whole_number("warmup", self.warmup, 0)
        for name in ("learning_rate", "clip"):
            checks.positive(name, getattr(self, name))
        checks.one_of("decay", self.decay, DECAYS)
        checks.one_of("precision", self.precision, PRECISIONS)
        for name in ("ema", "beta2", "drop_label", "validation"):
            _check_fraction(name, getattr(self, name))
        checks.not_negative("weight_decay", self.weight_decay)
        if self.batch % self.accumulate:
            raise UserError(
                f"batch = {self.batch} does not divide into accumulate = {self.accumulate} parts: "
                "give a multiple"
            )


@dataclass(frozen=True, kw_only=True)
class KeepingConfig:
    """The files that are written during training; these options may change at a resume."""

    checkpoint_every: int = 500
    """updates between checkpoints; the last and the best are kept"""
    samples_every: int = 500
    """updates between pictures of samples from one seed; 0 for none"""
    log_every: int = 50
    """updates between lines of metrics"""
    sample_steps: int = 20
    """steps of these samples, by DDIM along the spectral schedule"""
    sample_count: int = 64
    """samples in a picture"""

    @property
    def intervals(self) -> list[int]:
        """The numbers of updates after which something is written."""
        every = (self.checkpoint_every, self.samples_every, self.log_every)
        return [each for each in every if each]

    def check(self) -> None:
        """Refuse values that are not allowed (``UserError``)."""
        for name in ("checkpoint_every", "log_every", "sample_steps", "sample_count"):
            checks.whole_number(name, getattr(self, name))
        checks.whole_number("samples_every", self.samples_every, 0)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The whole configuration of a training.

    Attributes:
      model: the network.
      noise: the levels that it learns at, and how much they count.
      forward: the spectrum of the noise, isotropic by default.
      loss: terms beside the squared error.
      optimiser: updates, batches and precision.
      keeping: files written on the way.
      seed: of the parameters, the batches and the noise.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    forward: ForwardNoise = field(default_factory=ForwardNoise)
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    keeping: KeepingConfig = field(default_factory=KeepingConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise", self.noise.for_target(self.model.target))

    def check(self) -> None:
        """Refuse what can be refused without the data.

        Raises:
          UserError: one line that names the option.
        """
        from specjax.nn.denoiser import TARGETS

        for name in _groups():
            getattr(self, name).check()
        checks.seed(self.seed)
        pure = checks.named_values("noise_options", self.noise.noise_options).get("pure")
        if pure and TARGETS[self.model.target].needs_signal:
            raise UserError(
                f"noise_options: pure = {pure!r}, but a network of target {self.model.target!r} "
                "says nothing of the data in pure noise: give the target v or flow"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return all options as plain JSON values, by group."""
        return {**asdict(self), "seed": int(self.seed)}

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> TrainConfig:
        """Rebuild a configuration from the ``options`` that :meth:`to_dict` returned.

        Raises:
          KeyError, TypeError: for the options of something else.
        """
        groups = {name: kind(**_tuples(options[name])) for name, kind in _groups().items()}
        return cls(**groups, seed=options["seed"])


def _groups() -> dict[str, Any]:
    """The class of each group of options by the name of its field."""
    return {each.name: each.default_factory for each in fields(TrainConfig) if each.name != "seed"}


def differences(before: TrainConfig, now: TrainConfig) -> list[str]:
    """List the options that make ``now`` another run, as "name = now (before in the run)"."""
    pairs = [("seed", before.seed, now.seed)]
    for group in _groups():
        if group != "keeping":
            old, new = getattr(before, group), getattr(now, group)
            pairs += [(o.name, getattr(old, o.name), getattr(new, o.name)) for o in fields(new)]
    return [f"{name} = {new!r} ({old!r} in the run)" for name, old, new in pairs if old != new]


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the lists of JSON back into tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}


def _check_fraction(name: str, given: Any) -> None:
    checks.number(name, given, 0.0, math.nextafter(1, 0), "a number from 0 to below 1")
