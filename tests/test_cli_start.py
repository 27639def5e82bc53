import json
import subprocess
import sys
import tomllib
from pathlib import Path

from specjax.cli import COMMANDS

HEAVY = (
    "PIL", "diffusers", "flax", "jax", "matplotlib", "optax", "pandas", "pyarrow", "rich", "scipy",
    "sklearn", "torch",
)  # fmt: skip
VERSION = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"][
    "version"
]

# What is typed, the exit code, and what the answer holds.
ANSWERS = [
    ("--version", 0, VERSION),
    ("--help", 0, "train-features"),
    *((f"{command} --help", 0, "usage") for command in COMMANDS),
    ("", 2, "fit"),
    ("unknown", 2, "unknown"),
    ("--unknown", 2, "--unknown"),
    ("fit digits --steps 10 --unknown 3", 2, "--unknown"),
    ("fit digits --steps ten", 2, "--steps"),
    ("fit digits", 2, "--steps"),
    ("compare --steps 10", 2, "DATA"),
    ("train digits", 2, "--out"),
    ("train digits -o runs --attention wide", 2, "--attention"),
    ("train-features digits --width wide", 2, "--width"),
    ("evaluate samples.npz", 2, "--against"),
    ("learn digits --steps 5 --n many", 2, "--n"),
    ("sweep", 2, "FILE"),
]

ANSWER_ALL = """
import contextlib, io, json, sys
from specjax.cli import main

answers = []
for typed in json.loads(sys.argv[1]):
    said, code = io.StringIO(), 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main(typed.split())
        except SystemExit as stop:
            code = stop.code
    answers.append((code, said.getvalue(), [x for x in json.loads(sys.argv[2]) if x in sys.modules]))
print(json.dumps(answers))
"""


def test_help_version_and_mistakes_are_answered_before_jax_is_imported():
    typed = json.dumps([one for one, _, _ in ANSWERS])
    done = subprocess.run(
        [sys.executable, "-c", ANSWER_ALL, typed, json.dumps(HEAVY)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    wrong = [
        f"specjax {one}: exit {given}, loaded {loaded}: {said}"
        for (one, code, word), (given, said, loaded) in zip(
            ANSWERS, json.loads(done.stdout), strict=True
        )
        if given != code or word not in said or loaded
    ]
    assert not wrong, "\n".join(wrong)
