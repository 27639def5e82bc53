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
