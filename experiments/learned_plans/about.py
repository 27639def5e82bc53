"""What the list of experiments says of this one."""

from experiments.registry import About, Part


def _files(row: str) -> tuple[str, ...]:
    return tuple(f"{row}-{seed}.json" for seed in range(5))


ABOUT = About(
    "Plans learned through a ladder of priors beat every schedule at 5 and 8 denoiser calls",
    (
        Part("exact denoisers of digits", _files("digits"), 25, ("--rows", "digits")),
        Part("exact denoisers of patches", _files("patches"), 25, ("--rows", "patches")),
        Part("a UNet on the digits", _files("network"), 120, ("--rows", "network")),
    ),
)
