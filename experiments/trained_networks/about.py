"""What the list of experiments says of this one."""

from experiments.registry import About, Part
from experiments.trained_networks.config import CONFIG, ROWS

_MINUTES = {"digits": 175.0, "spoken_digits": 400.0}
"""On 2 cores, from what the steps that have been run took beside other work."""


def _part(name: str) -> Part:
    seeds, steps = range(CONFIG.seeds), ("fine", *CONFIG.steps)
    files = tuple(f"{name}-{s}-{seed}.json" for s in steps for seed in seeds)
    row = ROWS[name]
    return Part(row.title, files, _MINUTES.get(name), ("--rows", name), gpu=row.gpu)


ABOUT = About(
    "Schedules of the spectrum and learned plans make trained networks better at equal steps",
    tuple(map(_part, ROWS)),
)
