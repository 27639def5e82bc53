"""What the list of experiments says of this one."""

from experiments.high_frequencies.config import CONFIG, DATASETS, NETWORK
from experiments.registry import About, Part

_MINUTES = {"digits": 8.0, "patches": 8.0, "tfds:fashion_mnist": 8.0, "tfds:cifar10": 8.0}
"""With two busy cores, most of it compilation."""


def _part(data: str) -> Part:
    file = f"{data.removeprefix('tfds:')}.json"
    return Part(DATASETS[data], (file,), _MINUTES[data], ("--rows", data))


_NETWORK = Part(
    "a UNet on the digits",
    tuple(f"{NETWORK}-{seed}.json" for seed in range(CONFIG.seeds)),
    30.0,
    ("--rows", NETWORK),
)

ABOUT = About(
    "Losses that weigh every frequency alike make high frequencies right, and what it costs",
    (*map(_part, DATASETS), _NETWORK),
)
