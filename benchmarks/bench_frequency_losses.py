"""What do terms that see frequencies cost in an update?

Updates with each term and without any, in turns in one process, each with a state of its own; the
quotient of every turn is taken, and the median of these. A second update without terms stands
beside them: what its quotient differs from 1 is the noise of the measurement. So does the share
that a training reports of itself (the term's value and gradient alone, over the step).
"""

from common import options, write
from updates import SIZES, Shape, compare_updates

from specjax.nn.config import LossConfig
from specjax.nn.monitor import TermCost
from specjax.nn.sharding import mesh_of

LOSSES = {
    "none": LossConfig(),
    "none, again": LossConfig(),
    "amplitude": LossConfig(terms=("amplitude=0.1",)),
    "amplitude_phase": LossConfig(terms=("amplitude_phase=0.1",)),
    "wavelet, haar": LossConfig(terms=("wavelet=0.1",)),
    "wavelet, bior1.3": LossConfig(terms=("wavelet=0.1",), wavelet="bior1.3"),
}


def alone(name: str, shape: Shape, batch: int) -> float | None:
    """Give the seconds of a term as a training would report them."""
    config = LOSSES[name]
    if not config.weights:
        return None
    seen = shape if len(shape) == 3 else (*shape, 1)
    (taken,) = TermCost(config, seen, batch=batch, parts=1, mesh=mesh_of()).seconds().values()
    return taken


def main(argv: list[str] | None = None) -> dict:
    args = options(argv, __doc__, data=list(SIZES))
    ways = {name: {"loss": loss} for name, loss in LOSSES.items()}
    rows = [
        row
        for size in args.data
        for row in compare_updates(size, "terms", ways, args.repeat, alone)
    ]
    return write("frequency_losses", {"rows": rows}, args.folder)


if __name__ == "__main__":
    main()
