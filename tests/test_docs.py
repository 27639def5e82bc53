"""The examples in docstrings and on pages run, and print what they say."""

import doctest
import functools
import importlib
import pkgutil
import re
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_plan_file import learned

import specjax as sx
from specjax.cli import main

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(sx.__path__, "specjax.")
    if not module.name.endswith("__main__")
)
NAMES = {name: getattr(sx, name) for name in sx.__all__} | {
    "sx": sx, "np": np, "jax": jax, "jnp": jnp,
}  # fmt: skip


# Examples that compile for a second or more.
COMPILING = (
    "specjax.advise.advice", "specjax.bench.bench", "specjax.evaluate.classifier",
    "specjax.evaluate.evaluation", "specjax.restoration.fit", "specjax.restoration.posterior",
    "specjax.restoration.steered",
    "specjax.evaluate.feature_spaces", "specjax.evaluate.precision_recall",
    "specjax.fitting.any_steps", "specjax.fitting.compare", "specjax.fitting.fit",
    "specjax.fitting.learned", "specjax.fitting.limits", "specjax.fitting.noise_fit",
    "specjax.learning.curriculum", "specjax.learning.learn",
    "specjax.nn.losses", "specjax.nn.unet", "specjax.nn.wavelets",
    "specjax.priors.empirical", "specjax.priors.mixture", "specjax.priors.scale_mixture",
    "specjax.sampling.generate", "specjax.sampling.sample",
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
        pytest.skip(f"needs {missing.name}: pip install -e '.[interop]'")
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


COMMANDS = {
    '"trajectories.npz"': "record-spec --grid sd",
    '"rows.json"': "export plan.json --to json --out rows.json",
    '"second.npz"': "record-spec plan-5.json --force",
}
"""What a page tells to type before the example that has these words."""
OF_THEIR_OWN = ("networks", "noise")
"""Pages with tests of their own: test_networks_page.py, test_noise_files.py."""
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def pipeline():
    """What the examples need of somebody's pipeline, where diffusers is installed."""
    try:
        from diffusers import PNDMScheduler
    except ModuleNotFoundError:
        return None

    class Pipeline:
        scheduler = PNDMScheduler(**sx.GRIDS["sd"].config)

        def __call__(self, num_inference_steps):
            self.scheduler.set_timesteps(num_inference_steps)
            return SimpleNamespace(images=[])

    return Pipeline()


def of_the_readme(monkeypatch):
    """A small pipeline with prompts, and a few noises to learn on."""
    import small_pipelines

    from specjax.interop import diffusers

    few = {"n": 4, "max_calls": 100, "height": 64, "width": 64, "teacher_tolerance": 0.5}
    monkeypatch.setattr(diffusers, "learn", functools.partial(diffusers.learn, **few))
    return small_pipelines.stable_diffusion()


# diffusers hands torch tensors to NumPy 2 in a way that both deprecate.
@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(x, id=x.stem)
        for x in PAGES
        if blocks(x, "python") and x.stem not in OF_THEIR_OWN
    ],
)
def test_the_examples_of_a_page_run(page, tmp_path, monkeypatch):
    """In their order; those of diffusers and torch where these are installed."""
    monkeypatch.chdir(tmp_path)
    sx.save("schedule.json", sx.fit(sx.Spectrum.power_law(64, 1.5), 10))
    sx.save("plan.json", learned())
    scope = {"pipe": pipeline()}
    if page.stem == "README" and scope["pipe"] is not None:
        scope["pipe"] = of_the_readme(monkeypatch)
    ran = 0
    for block in blocks(page, "python"):
        for words, command in COMMANDS.items():
            if words in block:
                main(command.split())
        try:
            exec(compile(block, page.name, "exec"), scope)
        except ModuleNotFoundError as missing:
            if missing.name not in ("diffusers", "torch"):
                raise
            continue
        ran += 1
    assert ran


@pytest.mark.thorough
def test_commands_of_the_pages_have_the_options_that_are_shown(capsys):
    shown = "\n".join(page.read_text() for page in PAGES).replace("\\\n", " ")
    lines = re.findall(r"^\s*specjax ([a-z-]+) (.*)$", shown, re.MULTILINE)
    for command in {command for command, _ in lines}:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        helped = capsys.readouterr().out
        for line in (rest.partition(" #")[0] for name, rest in lines if name == command):
            for option in re.findall(r"(?<= )--[\w-]+", line):
                assert option in helped, (command, line)


def test_the_readme_is_short_and_cites_what_the_citation_file_says():
    readme = (ROOT / "README.md").read_text()
    assert len(readme.split()) <= 900
    citation = (ROOT / "CITATION.cff").read_text()
    title = re.search(r'^title: "(.*)"', citation, re.MULTILINE)[1]
    assert f"title  = {{{title}}}" in readme


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_the_repository_lead_somewhere(page):
    """The build of the site goes through the links of its own pages."""
    for target in re.findall(r"\]\(([^)#\s]+)", (ROOT / page).read_text()):
        assert target.startswith(("https://", "http://")) or (ROOT / target).exists(), target


# One program installs from where it was published; the other does not know where that is.
PUBLISHED = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "someone/copy"}


@pytest.fixture
def address(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs/_build")
    return importlib.import_module("address")


def test_addresses_are_those_of_the_publisher(address):
    known = address.Address.of(PUBLISHED)
    assert known.repository == "https://github.com/someone/copy"
    assert known.site == "https://someone.github.io/copy/"
    colab = "https://colab.research.google.com/github/someone/copy/blob/gh-pages/tutorials/a.ipynb"
    assert known.in_colab("tutorials/a.ipynb") == colab
    cell = known.install(["specjax[sweep]", "pandas"])
    assert "!pip install 'specjax[sweep] @ git+https://github.com/someone/copy' pandas" in cell


@pytest.mark.parametrize("missing", PUBLISHED)
def test_without_an_address_nothing_points_anywhere(address, missing):
    unknown = address.Address.of({name: x for name, x in PUBLISHED.items() if name != missing})
    assert unknown == ("", "")
    assert unknown.in_colab("tutorials/a.ipynb") == ""
    cell = unknown.install(["specjax[sweep]", "pandas"])
    assert "specjax[sweep]" in cell
    assert "http" not in cell
    assert all(line.startswith("# ") and "pip" not in line for line in cell.splitlines())
