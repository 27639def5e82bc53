"""Networks: a Flax UNet that is trained, kept and sampled.

``import specjax`` does not load this package (nor Flax); ``specjax.nn`` does when it is used::

    from specjax.nn import TrainConfig, open_run, train

    train(specjax.data.open("digits"), "runs/digits")
    denoise = open_run("runs/digits").denoiser()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from specjax.nn.config import (
        KeepingConfig,
        LossConfig,
        ModelConfig,
        NoiseConfig,
        OptimiserConfig,
        TrainConfig,
    )
    from specjax.nn.denoiser import TARGETS, NetworkDenoiser
    from specjax.nn.losses import FREQUENCY_LOSSES
    from specjax.nn.noise_levels import NOISE_LEVELS, WEIGHTINGS
    from specjax.nn.run import Run, open_run
    from specjax.nn.training import train
    from specjax.nn.unet import UNet

_PLACES = {
    "config": (
        "KeepingConfig", "LossConfig", "ModelConfig", "NoiseConfig", "OptimiserConfig",
        "TrainConfig",
    ),
    "losses": ("FREQUENCY_LOSSES",),
    "noise_levels": ("NOISE_LEVELS", "WEIGHTINGS"),
    "run": ("Run", "open_run"),
    "denoiser": ("TARGETS", "NetworkDenoiser"),
    "training": ("train",),
    "unet": ("UNet",),
}  # fmt: skip

__all__ = [
    "FREQUENCY_LOSSES",
    "NOISE_LEVELS",
    "TARGETS",
    "WEIGHTINGS",
    "KeepingConfig",
    "LossConfig",
    "ModelConfig",
    "NetworkDenoiser",
    "NoiseConfig",
    "OptimiserConfig",
    "Run",
    "TrainConfig",
    "UNet",
    "open_run",
    "train",
]


def __getattr__(name: str) -> Any:
    """Flax and orbax are loaded with the first name that needs them."""
    for module, names in _PLACES.items():
        if name in names:
            found = getattr(importlib.import_module(f"specjax.nn.{module}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
