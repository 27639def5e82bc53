import json
import os
import subprocess
import sys
from importlib.metadata import version

HEAVY = (
    "PIL", "diffusers", "flax", "jax", "matplotlib", "optax", "pandas", "pyarrow", "rich", "scipy",
    "sklearn", "torch",
)  # fmt: skip

# What is typed, the exit code, and what the answer holds.
ANSWERS = [
    ("--version", 0, version("specjax")),
    ("--help", 0, "train-features"),
    ("fit --help", 0, "--steps"),
    ("train-features --help", 0, "--held-out"),
    ("", 2, "fit"),
    ("unknown", 2, "unknown"),
    ("--unknown", 2, "--unknown"),
    ("fit digits --steps 10 --unknown 3", 2, "--unknown"),
    ("fit digits --steps ten", 2, "--steps"),
    ("fit digits", 2, "--steps"),
    ("compare", 2, "DATA"),
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
    loaded = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
    answers.append((code, said.getvalue(), loaded))
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


def test_compiled_programs_are_kept_in_the_users_cache_folder(tmp_path):
    known = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    code = """
import jax, jax.numpy as jnp, specjax as sx
print(sx.enable_cache())
jax.jit(lambda x: jnp.sin(x) + 1)(1.0).block_until_ready()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, env={**known, "XDG_CACHE_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.strip() == str(tmp_path / "specjax" / "compiled")
    assert any((tmp_path / "specjax" / "compiled").iterdir())
