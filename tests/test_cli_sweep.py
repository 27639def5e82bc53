"""The commands sweep and recommend, as a user runs them."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import specjax as sx

FILE = """
spectra = [{ power_law = [1.0, 2.0], dimension = 200 }]
steps = [2, 3]
samplers = ["ddim"]
"""


@pytest.mark.thorough
def test_sweep_and_again(run, tmp_path):
    (tmp_path / "s.toml").write_text(FILE)
    code, out, err = run("sweep", "s.toml", "-o", "results")
    assert code == 0, err
    assert "4 fits, 4 converged" in out
    table = pq.read_table(tmp_path / "results" / "table").to_pylist()
    assert [row["steps"] for row in table] == [2, 3, 2, 3]
    for row in table:
        spectrum = sx.Spectrum.power_law(200, row["exponent"])
        assert row["value"] == pytest.approx(sx.fit(spectrum, row["steps"]).value, rel=1e-6)
    assert (tmp_path / "results" / "sweep.png").read_bytes()[:4] == b"\x89PNG"
    code, out, err = run("sweep", "s.toml", "--out", "results", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["counts"]["made_now"] == 0


def test_mistakes(run, tmp_path):
    for content, name in [
        (FILE + "loses = ['w2']", "'losses'"),
        (FILE + "losses = ['w3']", "loss = 'w3'"),
        (FILE.replace("[{", "['digit', {"), "'digit'"),
        ("steps = [2", "s.toml"),
        ("steps = [2]", "spectra"),
    ]:
        (tmp_path / "s.toml").write_text(content)
        code, out, err = run("sweep", "s.toml")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert name in err
        assert [path.name for path in tmp_path.iterdir()] == ["s.toml"]
    (tmp_path / "s.toml").write_text(FILE)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x.txt").write_text("mine")
    for args, name in (
        (["none.toml"], "none.toml"),
        (["s.toml", "--out", "full"], "out = 'full'"),
        (["s.toml", "--num-processes", "2"], "num_processes = 2"),
    ):
        code, out, err = run("sweep", *args)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert name in err


@pytest.mark.thorough
def test_recommend_writes_the_schedule(run, tmp_path):
    sx.save("law.npz", sx.Spectrum.power_law(200, 2.0))
    args = ("recommend", "law.npz", "--target-loss", 0.5, "--sampler", "ddim")
    code, out, err = run(*args, "--max-steps", 3, "-o", "best.json")
    assert (code, err) == (0, "")
    assert out.startswith("ddim reaches w2 = 0.5 with 3 steps")
    best = sx.load(tmp_path / "best.json")
    assert (best.sampler, best.steps, best.value < 0.5) == ("ddim", 3, True)
    code, out, err = run(*args[:3], 1e-9, *args[4:], "--max-steps", 3, "--json")
    assert (code, err) == (0, "")
    assert not json.loads(out)["rows"][0]["reached"]
    assert run("recommend", "law.npz", "--target-loss", -1)[0] == 2


@pytest.mark.thorough
def test_the_recipe_for_several_processes(tmp_path):
    """The commands of docs/howto/many_machines.md, as they stand there but for the port."""
    text = (Path(__file__).parents[1] / "docs" / "howto" / "many_machines.md").read_text()
    recipe = re.search(r"Several processes on one machine.*?```sh\n(.*?)```", text, re.DOTALL)[1]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        recipe = recipe.replace("9911", str(free.getsockname()[1]))
    (tmp_path / "sweep.toml").write_text(FILE)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", recipe], cwd=tmp_path, env={**os.environ, "PATH": path},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert "4 fits" in done.stdout, done.stderr
    table = pq.read_table(tmp_path / "results" / "table")
    assert table.column("converged").to_pylist() == [True] * 4
