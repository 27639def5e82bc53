"""What does noise with a spectrum cost in an update?

Updates under each noise and under white noise, in turns in one process, each with a state of its
own; the quotient of every turn is taken, and the median of these. A second update under white noise
stands beside them: what its quotient differs from 1 is the noise of the measurement. "omit" leaves
a band out, of which the network's answers are cleaned, too.
"""

import jax
from common import options, write
from updates import SIZES, Shape, compare_updates, median_seconds

from specjax.files.forward_noise import ForwardNoise

NOISES = {
    "white": ForwardNoise(),
    "white, again": ForwardNoise(),
    "fourier": ForwardNoise(noise="power-law", noise_exponent=-0.06),
    "cosine": ForwardNoise(noise="power-law", noise_exponent=-0.06, noise_basis="cosine"),
    "omit": ForwardNoise(noise_omit=(0.4, 0.6)),
}


def alone(name: str, shape: Shape, batch: int) -> float:
    """Give the seconds of colouring a batch of white noise, the least that an update takes more."""
    noise = NOISES[name].spectrum(shape)
    if noise is None:
        return 0.0
    white = jax.random.normal(jax.random.key(0), (batch, *shape))
    return median_seconds(jax.jit(lambda noise, white: noise.color(white)), noise, white)


def main(argv: list[str] | None = None) -> dict:
    args = options(argv, __doc__, data=list(SIZES))
    ways = {name: {"forward": forward} for name, forward in NOISES.items()}
    rows = [
        row
        for size in args.data
        for row in compare_updates(size, "noise", ways, args.repeat, alone)
    ]
    return write("noise", {"rows": rows}, args.folder)


if __name__ == "__main__":
    main()
