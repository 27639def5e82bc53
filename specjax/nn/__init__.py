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
    from specjax.nn.config import KeepingConfig as KeepingConfig
    from specjax.nn.config import LossConfig as LossConfig
    from specjax.nn.config import ModelConfig as ModelConfig
    from specjax.nn.config import NoiseConfig as NoiseConfig
    from specjax.nn.config import OptimiserConfig as OptimiserConfig
    from specjax.nn.config import TrainConfig as TrainConfig
    from specjax.nn.denoiser import TARGETS as TARGETS
    from specjax.nn.denoiser import NetworkDenoiser as NetworkDenoiser
    from specjax.nn.losses import FREQUENCY_LOSSES as FREQUENCY_LOSSES
    from specjax.nn.losses import WEIGHTINGS as WEIGHTINGS
    from specjax.nn.noise_levels import NOISE_LEVELS as NOISE_LEVELS
    from specjax.nn.run import Run as Run
    from specjax.nn.run import open_run as open_run
    from specjax.nn.training import train as train
    from specjax.nn.unet import UNet as UNet

_MODULES = {
    "KeepingConfig": "config",
    "LossConfig": "config",
    "ModelConfig": "config",
    "NoiseConfig": "config",
    "OptimiserConfig": "config",
    "TrainConfig": "config",
    "TARGETS": "denoiser",
    "NetworkDenoiser": "denoiser",
    "FREQUENCY_LOSSES": "losses",
    "WEIGHTINGS": "losses",
    "NOISE_LEVELS": "noise_levels",
    "Run": "run",
    "open_run": "run",
    "train": "training",
    "UNet": "unet",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    """Load Flax and orbax with the first name that needs them."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(importlib.import_module(f"specjax.nn.{_MODULES[name]}"), name)
    return globals()[name]
