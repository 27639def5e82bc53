"""What every benchmark shares: the machine, medians, results as JSON."""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from specjax.files import versions

RESULTS = Path(__file__).parent / "results"


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


def timed(function: Callable[[], Any], repeat: int) -> tuple[float, float, Any]:
    """Seconds of the first call, the median of the later ones, and the last value."""
    begun = time.perf_counter()
    value = function()
    first = time.perf_counter() - begun
    seconds = []
    for _ in range(repeat):
        begun = time.perf_counter()
        value = function()
        seconds.append(time.perf_counter() - begun)
    return first, statistics.median(seconds), value


def write(name: str, result: dict[str, Any], folder: str | None) -> dict[str, Any]:
    document = {"benchmark": name, "machine": machine(), **result}
    where = Path(folder) if folder else RESULTS
    where.mkdir(parents=True, exist_ok=True)
    (where / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return document


def parser(question: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=question)
    made.add_argument("--repeat", type=int, default=20, help="timed calls, of which the median")
    made.add_argument("--folder", help="where the JSON goes (benchmarks/results)")
    return made
