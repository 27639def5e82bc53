"""How long does ``specjax fit digits --steps 10`` take, as a whole process?"""

import os
import subprocess
import sys
import tempfile

from common import options, timed, write


def run(folder: str, arguments: list[str]) -> None:
    """Run the command in a folder that has the compilation cache, too."""
    subprocess.run(
        [sys.executable, "-c", "from specjax.cli import main; main()", *arguments],
        cwd=folder, env={**os.environ, "XDG_CACHE_HOME": f"{folder}/cache"}, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip


def main(argv: list[str] | None = None) -> dict:
    args = options(argv, __doc__, repeat=5, steps=10)
    arguments = ["fit", "digits", "--steps", str(args.steps)]
    with tempfile.TemporaryDirectory() as folder:
        first, later, _ = timed(lambda: run(folder, [*arguments, "--force"]), args.repeat)
    command = " ".join(["specjax", *arguments])
    result = {"command": command, "first_run_seconds": first, "second_run_seconds": later}
    return write("cli", result, args.folder)


if __name__ == "__main__":
    main()
