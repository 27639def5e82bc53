"""Learn one plan by whatever specjax is imported, in a process of its own, and keep it.

    python -m experiments.published_networks.peer NETWORK STEPS OPTIONS FILE

OPTIONS of ``sx.learn`` are JSON. The plan is written to FILE, and the seconds of the call,
compilation among them, are printed.
"""

from __future__ import annotations

import json
import sys
import time

import specjax as sx
from experiments.published_networks.networks import ENDS, published


def main(network: str, steps: str, options: str, path: str) -> None:
    """Learn, keep and print."""
    prior, begun = published(network), time.perf_counter()
    result = sx.learn(prior, int(steps), alpha_bar_range=ENDS, **json.loads(options))
    seconds = time.perf_counter() - begun
    sx.save(path, result)
    print(json.dumps({"seconds": seconds, "package": sx.__file__}))


if __name__ == "__main__":
    main(*sys.argv[1:])
