"""The examples of docs/networks.md run; the denoisers they make are sampled and learned through."""

import re
from pathlib import Path

import numpy as np
import pytest

import specjax as sx

PAGE = (Path(__file__).parents[1] / "docs/networks.md").read_text()
SECTIONS = {
    section.partition("\n")[0]: re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    for section in re.split("^##+ ", PAGE, flags=re.MULTILINE)
}
OF_LIBRARIES = SECTIONS.pop("Other JAX libraries")
LIBRARIES = ["NNX", "Linen", "Equinox", "a function of parameters", "Partial"]


def ran(block, scope):
    try:
        exec(compile(block, "docs/networks.md", "exec"), scope)
    except ModuleNotFoundError as missing:
        pytest.skip(f"needs {missing.name}")
    return scope


# The examples of one section go on from each other.
@pytest.mark.thorough
@pytest.mark.parametrize("title", [title for title, blocks in SECTIONS.items() if blocks])
def test_the_examples_of_the_page_run(title):
    scope = {}
    for block in SECTIONS[title]:
        ran(block, scope)


@pytest.mark.thorough
@pytest.mark.parametrize("number", range(5), ids=LIBRARIES)
def test_denoisers_of_other_libraries_are_sampled(number):
    denoise = ran(OF_LIBRARIES[number], {})["denoise"]
    plan = sx.plan("ddim", sx.family("karras", 5))
    samples = sx.generate(plan, denoise, 4, (2,))
    box = sx.BlackBox(denoise, (2,))
    np.testing.assert_allclose(samples, sx.generate(plan, box, 4, (2,)), rtol=1e-3, atol=1e-3)


@pytest.mark.thorough
@pytest.mark.parametrize("number", range(5), ids=LIBRARIES)
def test_plans_are_learned_through_denoisers_of_other_libraries(number):
    denoise = ran(OF_LIBRARIES[number], {})["denoise"]
    found = sx.learn(sx.priors.Network(denoise, (2,)), steps=2)
    assert found.finite
    samples = sx.generate(found.plan, denoise, 4, (2,))
    assert np.isfinite(samples).all()


def test_every_block_is_tried():
    assert len(OF_LIBRARIES) == len(LIBRARIES)
    assert sum(map(len, SECTIONS.values())) + len(LIBRARIES) == PAGE.count("```python")
