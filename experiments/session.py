"""What every experiment shares: where and with what it ran, results as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from specjax.files.codec import versions, write_atomically

WORK = Path("build")
"""For what is not committed: checkpoints, plans, solutions. Relative to where it is started."""


def say(text: str) -> None:
    """One line of progress, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def add_folders(parser: argparse.ArgumentParser, results: Path, work: Path) -> None:
    """The options that every ``run`` has: a test of it, and where all goes."""
    parser.add_argument("--smallest", action="store_true", help="a few seconds: does it run?")
    parser.add_argument("--results", type=Path, default=results)
    parser.add_argument("--work", type=Path, default=work)


def check_smallest(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse a ``--smallest`` whose results or networks would be taken for the real ones."""
    if args.smallest and any(
        getattr(args, name) == parser.get_default(name) for name in ("results", "work")
    ):
        parser.error("--smallest needs another folder for its --results and --work")


def circumstances() -> dict[str, Any]:
    """Commit, versions and machine; the load tells whether other work shared it."""
    import jax
    import scipy
    import sklearn

    more = {"scipy": scipy.__version__, "scikit_learn": sklearn.__version__}
    return {
        "commit": _commit(),
        "versions": {**versions(), **more},
        "machine": {
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 2),
            "system": f"{platform.system()} {platform.machine()}",
            "devices": [device.device_kind for device in jax.devices()],
        },
    }


def _commit() -> str:
    """Of the checkout that it runs in; "-dirty" where the code differs from it."""
    here = Path(__file__).parent.parent
    command = ["git", "describe", "--always", "--abbrev=12", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
        changed = subprocess.run(
            ["git", "diff", "--quiet", "HEAD", "--", "specjax", "experiments/*.py"], cwd=here
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip() + "-dirty" * bool(changed.returncode)


def plain_config(config: Any, *without: str) -> dict[str, Any]:
    """A frozen config as JSON returns it, without what changes no result (how many seeds)."""
    fields = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}
    return {name: x for name, x in fields.items() if name not in without}


def between(marks: tuple[str, str], lines: list[str], file: Path) -> None:
    """Write lines between two marks of a file."""
    before, rest = file.read_text().split(marks[0])
    after = rest.split(marks[1])[1]
    file.write_text(before + "\n".join([marks[0], *lines, marks[1]]) + after)


def read_json(path: Path) -> dict[str, Any]:
    """A result, or nothing where there is none yet."""
    return json.loads(path.read_text()) if path.exists() else {}


def write_json(path: Path, value: dict[str, Any]) -> None:
    """The whole file or none of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(value, indent=1) + "\n").encode())
