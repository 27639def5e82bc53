"""How long does ``specjax fit digits --steps 10`` take, as a whole process?"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import parser, write


def run(folder: Path, cache: Path, arguments: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "from specjax.cli import main; main()", *arguments],
        cwd=folder, env={**os.environ, "XDG_CACHE_HOME": str(cache)}, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - begun


def main(argv: list[str] | None = None) -> dict:
    made = parser(__doc__)
    made.set_defaults(repeat=5)
    made.add_argument("--steps", type=int, default=10)
    args = made.parse_args(argv)
    arguments = ["fit", "digits", "--steps", str(args.steps)]
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        first = run(where, where / "cache", arguments)
        later = sorted(run(where, where / "cache", arguments) for _ in range(args.repeat))
    result = {
        "command": " ".join(["specjax", *arguments]),
        "first_run_seconds": first,
        "second_run_seconds": later[len(later) // 2],
    }
    return write("cli", result, args.folder)


if __name__ == "__main__":
    main()
