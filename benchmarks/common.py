"""What every benchmark shares: options, clocks, comparisons in turns, and results as JSON.

A benchmark is a module with a question as its docstring and ``main(argv)``, which returns what it
writes. Compile time is kept apart from run time, a peer is timed in the same process and in turns,
and the quality reached stands beside the time.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from specjax.files import versions

RESULTS = Path(__file__).parent / "results"


def options(
    argv: list[str] | None, question: str, *, repeat: int = 20, **defaults: Any
) -> argparse.Namespace:
    """Read the command line: an option for each default, with several values for a list."""
    made = argparse.ArgumentParser(description=question)
    made.add_argument("--repeat", type=int, default=repeat, help="timed calls, of which the median")
    made.add_argument("--folder", help="where the JSON goes (benchmarks/results)")
    for name, value in defaults.items():
        several = isinstance(value, list)
        kind = type(value[0] if several else value) if value is not None else str
        option, nargs = f"--{name.replace('_', '-')}", "+" if several else None
        made.add_argument(option, type=kind, nargs=nargs, default=value, help=f"default: {value}")
    return made.parse_args(argv)


def write(name: str, result: dict[str, Any], folder: str | None) -> dict[str, Any]:
    document = {"benchmark": name, "machine": machine(), **result}
    where = Path(folder) if folder else RESULTS
    where.mkdir(parents=True, exist_ok=True)
    (where / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return document


def machine() -> dict[str, Any]:
    import jax
    import scipy

    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "system": platform.platform(terse=True),
        "devices": [str(device) for device in jax.devices()],
        "versions": {**versions(), "scipy": scipy.__version__},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "unknown")


def clock(function: Callable[..., Any], *args: Any) -> tuple[float, Any]:
    """Give the seconds of a call, until its arrays are ready, and its value."""
    import jax

    begun = time.perf_counter()
    value = jax.block_until_ready(function(*args))
    return time.perf_counter() - begun, value


def timed(function: Callable[[], Any], repeat: int) -> tuple[float, float, Any]:
    """Give the seconds of the first call, the median of later ones, and the last value."""
    first, value = clock(function)
    seconds = []
    for _ in range(repeat):
        taken, value = clock(function)
        seconds.append(taken)
    return first, statistics.median(seconds), value


def in_turns(ways: Mapping[str, Callable[[], Any]], repeat: int) -> dict[str, list[float]]:
    """Time functions in turns, so that other load falls on all; who is first changes."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeat):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            seconds[name].append(clock(ways[name])[0])
    return seconds


def overhead(seconds: list[float], plain: list[float]) -> dict[str, Any]:
    """Compare with the plain way, turn by turn."""
    quotients = np.divide(seconds, plain)
    return {
        "pairs": len(quotients),
        "overhead_of_pairs": float(np.median(quotients)) - 1,
        "overhead_of_pairs_quartiles": (np.quantile(quotients, [0.25, 0.75]) - 1).tolist(),
        "overhead_of_the_quickest": min(seconds) / min(plain) - 1,
    }


def stated_limit(limits: Mapping[str, Any]) -> tuple[Any, str] | None:
    """Give what the maker of this card states, by parts of its name, and the name."""
    import jax

    kind = jax.devices()[0].device_kind
    return next(((limit, kind) for name, limit in limits.items() if name in kind), None)
