"""Options of training a classifier, checked before any work."""

from __future__ import annotations

from dataclasses import dataclass

from specjax._core import checks
from specjax.evaluate.grid import grid


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How the classifier is trained."""

    features: int = 64
    """numbers in the layer that is compared"""
    width: int = 32
    """channels of the first layer"""
    steps: int = 1500
    """of training"""
    batch: int = 128
    """samples in a step"""
    learning_rate: float = 2e-3
    """the highest, after the warm-up"""
    weight_decay: float = 0.05
    """of AdamW"""
    held_out: float = 0.2
    """share of the samples that the accuracy is measured on and nothing is learned from"""
    shift: int = 0
    """move training samples by up to that many pixels (or samples of sound), edges repeated"""
    flip: bool = False
    """mirror half of the training images, left to right"""

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse values that are not allowed, before any work."""
        for name in ("features", "width", "steps", "batch"):
            checks.whole_number(name, getattr(self, name))
        checks.positive("learning_rate", self.learning_rate)
        if self.weight_decay != 0:
            checks.positive("weight_decay", self.weight_decay)
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out = {self.held_out!r}: give a share between 0 and 1")
        checks.whole_number("shift", self.shift, 0)
        sides, _ = grid(shape)
        if self.shift >= min(sides):
            raise ValueError(f"shift = {self.shift!r}: give less than {min(sides)}, a side")
        if self.flip and len(sides) == 1:
            raise ValueError("flip applies to images, not to sound: leave it out")
