"""What the list of experiments says of this one."""

from experiments.real_spectra.ablations import WITHOUT
from experiments.real_spectra.config import CONFIG, DATASETS, SOUNDS
from experiments.registry import About, Part

_MINUTES = {
    "digits": 3.0, "patches": 20.0, "fashion_mnist": 5.0, "cifar10": 20.0,
    "spoken_digits": 6.0, "piano_notes": 6.0,
}  # fmt: skip


def _files(name: str) -> tuple[str, ...]:
    """The results of a dataset, see run.py."""
    kinds = ["estimates", "schedules", "ranks", *["units"] * (name in WITHOUT)]
    if name not in SOUNDS:
        return tuple(f"{x}-{name}.json" for x in kinds)
    others = [x for x in CONFIG.windows if x != CONFIG.window]
    windows = [f"windows-{name}.json", *(f"schedules-{name}@{x}.json" for x in others)]
    return (*(f"{x}-{name}.json" for x in kinds), *windows)


ABOUT = About(
    "Schedules learned on the spectra of real images and sound, and what they cost elsewhere",
    (
        *(
            Part(data.words, _files(name), _MINUTES[name], ("--data", name))
            for name, data in DATASETS.items()
        ),
        Part("every schedule on every dataset", ("cross.json",), 2.0, ("--cross",)),
    ),
)
