"""What the list of experiments says of this one."""

from experiments.anisotropic_noise.config import CONFIG, DATASETS
from experiments.registry import About, Part

_MINUTES = {"digits": 40.0}
"""Where somebody has waited for it."""


def _part(data: str) -> Part:
    stem = data.replace("tfds:", "")
    files = tuple(f"{stem}-{seed}.json" for seed in range(CONFIG.seeds))
    return Part(DATASETS[data], files, _MINUTES.get(data), ("--data", data), gpu=data != "digits")


ABOUT = About(
    "Networks trained under noise with a spectrum are better than under white noise",
    tuple(map(_part, DATASETS)),
)
