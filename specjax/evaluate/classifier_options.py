"""The options of training a classifier; they import nothing that takes time."""

from __future__ import annotations

from dataclasses import dataclass

from specjax._core import checks
from specjax._core.checks import UserError


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How the classifier is trained."""

    feature_count: int = 64
    """numbers in the layer that is compared"""
    width: int = 32
    """channels of the first layer"""
    updates: int = 1500
    """parameter updates"""
    batch: int = 128
    """samples in one update"""
    learning_rate: float = 2e-3
    """the highest, after the warm-up"""
    weight_decay: float = 0.05
    """of AdamW"""
    held_out: float = 0.2
    """share of the samples that the accuracy is measured on and nothing is learned from"""
    translate: int = 0
    """move training samples by up to that many pixels (or samples of sound), edges repeated"""
    flip: bool = False
    """mirror half of the training images, left to right"""

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise a UserError for values that are not allowed with samples of a shape."""
        checks.whole_number("updates", self.updates, most=checks.MOST_OF_OTHERS)
        for name in ("feature_count", "width", "batch"):
            checks.whole_number(name, getattr(self, name))
        checks.positive("learning_rate", self.learning_rate)
        checks.not_negative("weight_decay", self.weight_decay)
        if not 0 < self.held_out < 1:
            raise UserError(f"held_out = {self.held_out!r}: give a share between 0 and 1")
        if not 1 <= len(shape) <= 3:
            raise UserError(
                f"samples of shape {tuple(shape)}: the classifier takes sound [L], or images "
                "[H, W] or [H, W, C]"
            )
        shortest = min(shape[:2])
        if checks.whole_number("translate", self.translate, 0) >= shortest:
            raise UserError(f"translate = {self.translate!r}: give less than {shortest}, a side")
        if self.flip and len(shape) == 1:
            raise UserError("flip applies to images, not to sound: leave it out")
