"""What the list of experiments says of this one."""

from experiments.ideal_denoiser.config import CONFIG, REFERENCES, networks
from experiments.registry import About, Part

_MINUTES = {8: 6.0, 16: 10.0, 32: 25.0}
"""Estimates, on 2 quiet cores."""


def _files(names: list[str]) -> tuple[str, ...]:
    return tuple(f"{name}-{seed}.json" for name in names for seed in range(CONFIG.seeds))


def _part(width: int) -> Part:
    names = [size.name for size in networks(CONFIG) if size.width == width]
    title = f"UNets of width {width}, {len(names)} lengths of training"
    return Part(title, _files(names), _MINUTES[width], ("--widths", str(width)))


_REFERENCES = Part("exact denoisers, no training", _files(list(REFERENCES)), 4.0, ("--references",))

ABOUT = About(
    "How far predictions with the ideal denoiser hold for networks, and what probing one is worth",
    (_REFERENCES, *map(_part, CONFIG.widths)),
)
