"""The examples in docstrings and in the README run and print what they say."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import specjax as sx

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(sx.__path__, "specjax.")
    if not module.name.endswith("__main__")
)
NAMES = {name: getattr(sx, name) for name in sx.__all__} | {
    "sx": sx, "np": np, "jax": jax, "jnp": jnp,
}  # fmt: skip


# Examples that compile for seconds.
COMPILING = (
    "specjax.fitting.compare", "specjax.fitting.fit", "specjax.fitting.learned",
    "specjax.fitting.limits", "specjax.fitting.noise_fit", "specjax.learning.curriculum",
    "specjax.learning.learn",
    "specjax.sweep.recommend", "specjax.sweep.run",
)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [pytest.param(x, marks=[pytest.mark.thorough] * (x in COMPILING)) for x in MODULES],
)
def test_docstring_examples(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name not in ("diffusers", "torch"):
            raise
        pytest.skip(f"needs {missing.name}: pip install 'specjax[interop]'")
    finder = doctest.DocTestFinder()
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for example in finder.find(module, name, globs={**NAMES, **vars(module)}):
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize("name", sx.__all__)
def test_every_public_name_is_documented(name):
    documented = getattr(sx, name)
    if isinstance(documented, dict):
        assert all(row.summary for row in documented.values() if hasattr(row, "summary"))
        return
    assert len(documented.__doc__ or "") > 30
    if callable(documented) and not isinstance(documented, type):
        assert documented.__doc__.count("\n") > 2 or name.startswith("from_")


def readme_blocks(language):
    text = (ROOT / "README.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def pipeline():
    """What the examples need of somebody's pipeline, where diffusers is installed."""
    try:
        from diffusers import PNDMScheduler
    except ModuleNotFoundError:
        return None
    return SimpleNamespace(scheduler=PNDMScheduler(**sx.GRIDS["sd"].config))


# diffusers hands torch tensors to NumPy 2 in a way that both deprecate.
@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_readme_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sx.save("schedule.json", sx.fit(sx.Spectrum.power_law(64, 1.5), 10))
    scope = {"pipe": pipeline()}
    ran = 0
    for block in readme_blocks("python"):
        try:
            exec(compile(block, "README.md", "exec"), scope)
        except ModuleNotFoundError as missing:
            if missing.name not in ("diffusers", "torch"):
                raise
            continue
        ran += 1
    assert ran >= 2  # those that need neither diffusers nor torch


@pytest.mark.thorough
def test_the_readme_names_every_command_and_its_options(capsys):
    from specjax.cli import main

    for command in re.findall(r"^\s*specjax (\w+)", "\n".join(readme_blocks("sh")), re.MULTILINE):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        helped = capsys.readouterr().out
        for line in re.findall(rf"^\s*specjax {command}.*$", "\n".join(readme_blocks("sh")), re.M):
            for option in re.findall(r"--[\w-]+", line):
                assert option in helped, line
