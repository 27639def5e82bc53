"""What the list of experiments says of this one."""

from experiments.intermediate_steps.config import CONFIG, DENOISERS
from experiments.registry import About, Part

_MINUTES = {"gaussian": 1.0, "empirical": 3.0, "network": 25.0}


def _part(name: str) -> Part:
    files = tuple(f"{name}-{seed}.json" for seed in range(CONFIG.seeds))
    return Part(DENOISERS[name], files, _MINUTES[name], ("--denoisers", name))


ABOUT = About(
    "Low frequencies are formed first, as predicted, and steps are best spent where that is",
    tuple(map(_part, DENOISERS)),
)
