"""What a training run is told: the network, the noise levels, the loss, the optimiser."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from specjax._core import checks
from specjax.files.forward_noise import ForwardNoise
from specjax.nn.denoiser import TARGETS
from specjax.nn.losses import FREQUENCY_LOSSES, TERM_LEVELS
from specjax.nn.noise_levels import WEIGHTINGS
from specjax.nn.wavelets import check_wavelet

PRECISIONS = ("float32", "bfloat16")
DECAYS = ("constant", "cosine")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network."""

    width: int = 32
    """channels at the first resolution"""
    multipliers: tuple[int, ...] = (1, 2)
    """of the width, one for each resolution; every one halves the sides"""
    blocks: int = 1
    """residual blocks at each resolution"""
    attention: tuple[int, ...] = ()
    """longest sides at which blocks are followed by attention, such as 16 8"""
    head: int = 64
    """channels of an attention head"""
    dropout: float = 0.0
    """rate of dropout in the residual blocks"""
    target: str = "f"
    """what the network predicts: f (EDM), eps or v"""
    conditional: bool = False
    """learn samples of given classes, too (needs a labelled set)"""
    spatial: int | None = None
    """how many axes of a sample are sides; 1 for sound of several channels [T, C]"""

    def check(self) -> None:
        """Refuse what is not allowed."""
        for name in ("width", "blocks", "head"):
            checks.whole_number(name, getattr(self, name))
        if not self.multipliers:
            raise ValueError("multipliers = (): give at least one, such as 1 2")
        for each in self.multipliers:
            checks.whole_number("multipliers", each)
        checks.one_of("target", self.target, TARGETS)
        _rate("dropout", self.dropout)
        if self.width % 4:
            raise ValueError(f"width = {self.width}: give a multiple of 4")


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """The noise levels that it learns."""

    noise_levels: str = "edm"
    """their distribution: edm (log-normal), uniform (in logsnr), spectral (as dense as the
    spectral schedule of the data) or schedule (as the levels in a schedule file)"""
    noise_options: tuple[str, ...] = ()
    """options of the distribution, such as mean=-1.2 std=1.2, low=-12 high=12, or
    file=schedule.json"""
    weighting: str = "edm"
    """how much a level counts: edm, eps, v, x0 or min_snr"""

    def check(self) -> None:
        """Refuse what is not allowed; the distribution checks its own."""
        checks.one_of("weighting", self.weighting, WEIGHTINGS)


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What is learned besides the squared error: frequencies of the estimate of x0."""

    terms: tuple[str, ...] = ()
    """terms that see frequencies, each with its weight, such as amplitude=0.1 wavelet=0.05:
    amplitude, amplitude_phase (Fourier), wavelet; a weight of 0 only logs the term"""
    term_levels: str = "signal"
    """how much a noise level counts for them: signal (as much as the noisy sample tells of the
    data: sd^2 / (s^2 + sd^2)), edm or x0"""
    term_warmup: int = 500
    """updates in which their weights rise from 0"""
    wavelet: str = "haar"
    """of the term wavelet: haar, bior1.3 or another discrete wavelet of PyWavelets"""
    wavelet_scales: int = 2
    """of the term wavelet: how often the sides are halved"""

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each term, by its name."""
        return {name: float(w) for name, w in checks.named_values("terms", self.terms).items()}

    def only(self, term: str) -> LossConfig:
        """The same with one of the terms."""
        return replace(self, terms=(f"{term}={self.weights[term]!r}",))

    def check(self) -> None:
        """Refuse what is not allowed; whether samples have so many scales is seen with them."""
        for item in self.terms:
            if "=" not in item:
                raise ValueError(f"terms = {item!r}: give NAME=WEIGHT, such as amplitude=0.1")
        given = checks.named_values("terms", self.terms)
        if len(given) < len(self.terms):
            raise ValueError(f"terms = {' '.join(self.terms)}: give each term once")
        for name, weight in given.items():
            checks.one_of("terms", name, FREQUENCY_LOSSES)
            _weight(name, weight)
        checks.one_of("term_levels", self.term_levels, TERM_LEVELS)
        checks.whole_number("term_warmup", self.term_warmup, 0)
        checks.whole_number("wavelet_scales", self.wavelet_scales)
        if "wavelet" in given:
            check_wavelet(self.wavelet)


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """How it learns (AdamW)."""

    steps: int = 2000
    """parameter updates"""
    batch: int = 64
    """samples in one update, over all devices and processes"""
    accumulate: int = 1
    """parts that a batch is computed in, one after another, to save memory"""
    learning_rate: float = 2e-3
    """its peak"""
    warmup: int = 100
    """updates in which it rises from 0"""
    decay: str = "cosine"
    """after the warm-up: cosine (to 0 at the last step) or constant"""
    weight_decay: float = 0.01
    """of AdamW"""
    beta2: float = 0.99
    """decay of AdamW's second moment"""
    clip: float = 1.0
    """the longest gradient, in norm"""
    ema: float = 0.998
    """decay of the average of the parameters that samples are drawn with, after a warm-up"""
    flip: bool = False
    """turn half of the images left to right"""
    drop_label: float = 0.1
    """conditional: how often a label is not told"""
    precision: str = "float32"
    """of the computation, float32 or bfloat16; parameters are float32"""
    validation: float = 0.05
    """part of the samples held out, on which the best checkpoint is chosen"""

    def check(self) -> None:
        """Refuse what is not allowed."""
        for name in ("steps", "batch", "accumulate"):
            checks.whole_number(name, getattr(self, name))
        checks.whole_number("warmup", self.warmup, 0)
        for name in ("learning_rate", "clip"):
            checks.positive(name, getattr(self, name))
        checks.one_of("decay", self.decay, DECAYS)
        checks.one_of("precision", self.precision, PRECISIONS)
        for name in ("ema", "beta2", "drop_label", "validation"):
            _rate(name, getattr(self, name))
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay = {self.weight_decay!r}: give 0 or more")
        if self.batch % self.accumulate:
            raise ValueError(
                f"batch = {self.batch} does not divide into accumulate = {self.accumulate} parts: "
                "give a multiple"
            )


@dataclass(frozen=True, kw_only=True)
class KeepingConfig:
    """What is kept on the way; not part of what a run is."""

    checkpoint_every: int = 500
    """updates between checkpoints; the last and the best are kept"""
    samples_every: int = 500
    """updates between pictures of samples from one seed; 0 for none"""
    log_every: int = 50
    """updates between lines of metrics"""
    sample_steps: int = 20
    """steps of these samples, by DDIM along the spectral schedule"""
    sample_count: int = 64
    """how many"""

    @property
    def cadences(self) -> list[int]:
        """All of the numbers of updates after which something is due."""
        every = (self.checkpoint_every, self.samples_every, self.log_every)
        return [each for each in every if each]

    def check(self) -> None:
        """Refuse what is not allowed."""
        for name in ("checkpoint_every", "log_every", "sample_steps", "sample_count"):
            checks.whole_number(name, getattr(self, name))
        checks.whole_number("samples_every", self.samples_every, 0)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A whole run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    forward: ForwardNoise = field(default_factory=ForwardNoise)
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    keeping: KeepingConfig = field(default_factory=KeepingConfig)
    seed: int = 0

    def check(self) -> None:
        """Refuse what is not allowed.

        Raises:
          ValueError: one line that names it.
        """
        groups = (
            self.model, self.noise, self.forward, self.loss, self.optimiser, self.keeping,
        )  # fmt: skip
        for group in groups:
            group.check()
        checks.seed(self.seed)

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**asdict(self), **{"seed": int(self.seed)}}

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> TrainConfig:
        """What :meth:`document` made; a group that was not known then is as by default.

        Raises:
          KeyError, TypeError: for the document of something else.
        """
        parts: dict[str, Any] = {
            "model": ModelConfig,
            "noise": NoiseConfig,
            "forward": ForwardNoise,
            "loss": LossConfig,
            "optimiser": OptimiserConfig,
            "keeping": KeepingConfig,
        }
        given = {"loss": {}, "forward": {}, **document}
        made = {name: kind(**_tuples(given[name])) for name, kind in parts.items()}
        return cls(**made, seed=document["seed"])


def differences(before: TrainConfig, now: TrainConfig) -> list[str]:
    """Options that make another run, as "name = now (before in the run)"."""
    found = [] if before.seed == now.seed else [f"seed = {now.seed} ({before.seed} in the run)"]
    for group in ("model", "noise", "forward", "loss", "optimiser"):
        was, new = getattr(before, group), getattr(now, group)
        for one in fields(new):
            if getattr(was, one.name) != getattr(new, one.name):
                old = getattr(was, one.name)
                found.append(f"{one.name} = {getattr(new, one.name)!r} ({old!r} in the run)")
    return found


def _tuples(given: Mapping[str, Any]) -> dict[str, Any]:
    """Lists of JSON as the tuples that they were."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}


def _rate(name: str, given: Any) -> None:
    if not (isinstance(given, int | float) and 0 <= given < 1):
        raise ValueError(f"{name} = {given!r}: give a number from 0 to below 1")


def _weight(term: str, given: Any) -> None:
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if not (number and 0 <= given < math.inf):
        raise ValueError(f"terms: {term} = {given!r}: give a finite weight of 0 or more")
