from .config import (
    KeepingConfig,
    LossConfig,
    ModelConfig,
    NoiseConfig,
    OptimiserConfig,
    TrainConfig,
)
from .denoiser import (
    TARGETS,
    NetworkDenoiser,
)
from .losses import (
    FREQUENCY_LOSSES,
    WEIGHTINGS,
)
from .noise_levels import (
    NOISE_LEVELS,
)
from .run import (
    Run,
    open_run,
)
from .training import (
    train,
)
from .unet import (
    UNet,
)

__all__ = [
    "KeepingConfig",
    "LossConfig",
    "ModelConfig",
    "NoiseConfig",
    "OptimiserConfig",
    "TrainConfig",
    "TARGETS",
    "NetworkDenoiser",
    "FREQUENCY_LOSSES",
    "WEIGHTINGS",
    "NOISE_LEVELS",
    "Run",
    "open_run",
    "train",
    "UNet",
]
