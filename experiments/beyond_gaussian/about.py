"""What the list of experiments says of this one."""

from experiments.beyond_gaussian.config import CONFIG, FAMILIES
from experiments.registry import About, Part

_MINUTES = dict(zip(FAMILIES, (15.0, 15.0, 15.0, 25.0, 25.0), strict=True))
"""With two busy cores."""


def _part(title: str, names: tuple[str, ...]) -> Part:
    files = tuple(f"{name}-{seed}.json" for name in names for seed in range(CONFIG.seeds))
    return Part(title, files, _MINUTES[title], ("--subjects", *names))


ABOUT = About(
    "Schedules of a Gaussian help on data that are not Gaussian, up to where?",
    tuple(_part(title, names) for title, names in FAMILIES.items()),
)
