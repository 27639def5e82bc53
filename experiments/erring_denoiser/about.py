"""What the list of experiments says of this one."""

from experiments.erring_denoiser.config import CONFIG, ROW
from experiments.registry import About, Part

_FILES = tuple(f"{ROW}-{s}-{seed}.json" for s in CONFIG.steps for seed in range(CONFIG.seeds))

ABOUT = About(
    "What schedules gain on a network by counting what a real denoiser errs by",
    (Part("a UNet of 0.69 M parameters on the digits", _FILES, 20.0),),
)
