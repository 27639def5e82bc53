"""What does an update cost inside ``jax.lax.scan``, beside calls of its own?

Ten updates of the default network on digits, in a scan and as ten calls, in turns. (On a CPU XLA's
convolutions have no threads inside a loop.)
"""

import statistics

import jax
from common import in_turns, options, write
from updates import batch_of, task_for

from specjax.nn import train_step as steps
from specjax.nn.config import OptimiserConfig, TrainConfig
from specjax.nn.train_step import Batch

TOGETHER = 10


def main(argv: list[str] | None = None) -> dict:
    args = options(argv, __doc__, repeat=5)
    shape, config = (8, 8), TrainConfig(optimiser=OptimiserConfig(batch=64))
    task, state = task_for(shape, config)
    batches = batch_of(shape, 64, TOGETHER)
    one = jax.jit(lambda s, b: steps.update(task, s, b))
    loop = jax.jit(lambda s, b: jax.lax.scan(lambda s, x: steps._one_update(task, s, x), s, b))

    def calls():
        s = state
        for i in range(TOGETHER):
            s, _ = one(s, Batch(batches.samples[i : i + 1], None))
        return s

    ways = {"calls": calls, "scan": lambda: loop(state, batches)[0]}
    in_turns(ways, 1)  # compiles
    seconds = {
        name: statistics.median(taken) / TOGETHER
        for name, taken in in_turns(ways, args.repeat).items()
    }
    result = {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "seconds_per_update": seconds,
        "scan_over_calls": seconds["scan"] / seconds["calls"],
    }
    return write("scan", result, args.folder)


if __name__ == "__main__":
    main()
