"""Schedules run through a network: distances to fine solutions, and who wins."""

import json

import numpy as np
import pytest
from checks import one_line

import specjax as sx
from specjax.learning import ScheduleDistance
from specjax.report.fit import distance_blocks
from specjax.report.table import blocks_text

LAM = np.array([4.0, 1.0, 0.1])
DENOISER = """
import specjax as sx
LAM = [4.0, 1.0, 0.1]
def denoise(x, alpha, sigma):
    return sx.wiener(sx.Spectrum(LAM))(x, alpha, sigma)
"""


@pytest.fixture(scope="module")
def table():
    return sx.compare(sx.Spectrum(LAM), 4)


@pytest.fixture(scope="module")
def found(table):
    prior = sx.priors.Network(sx.wiener(sx.Spectrum(LAM)), (3,))
    return sx.compare_on(table, prior, n=50, fine=256, seed=3)


def test_distances_are_those_of_the_exact_flow(table, found):
    """Of a Gaussian both are linear in the noise: a plan's transfer, and the exact solution."""
    noise = np.random.default_rng(3).standard_normal((50, 3), np.float32).astype(np.float64)
    noisy = 4.0358e-5
    exact = np.sqrt(LAM / (noisy * LAM + 1 - noisy))
    rows = {row.name: row.schedule for row in table.rows}
    assert {one.name for one in found} == set(rows)
    for one in found:
        gain = sx.transfer(sx.plan("ddim", rows[one.name]), sx.Spectrum(LAM)).gain
        wanted = ((gain - exact) ** 2 * noise**2).sum(1)
        np.testing.assert_allclose(one.squared, wanted, rtol=0.02, atol=1e-4)
        assert one.mean == pytest.approx(wanted.mean(), rel=0.01)
        assert one.geometric_mean == pytest.approx(np.exp(np.log(wanted).mean()), rel=0.02)
    values = [one.geometric_mean for one in found]
    assert values == sorted(values)


@pytest.mark.thorough
def test_what_cannot_be_compared_is_refused(table):
    prior = sx.priors.Network(sx.wiener(sx.Spectrum(LAM)), (3,))
    noisy = sx.compare(sx.Spectrum(LAM), 2, sampler="ddpm")
    assert "ddpm" in one_line(sx.compare_on, noisy, prior)
    other = sx.priors.Network(sx.wiener(sx.Spectrum(np.ones(5))), (5,))
    assert "shape" in one_line(sx.compare_on, table, other)
    for name, wrong in (("n", 1), ("fine", 100), ("seed", -1)):
        assert name in one_line(sx.compare_on, table, prior, **{name: wrong})


@pytest.mark.parametrize(
    ("learned", "words"),
    [(1.0, "the learned schedule is nearer than cosine, by a factor of 4"),
     (16.0, "cosine is nearer than the learned schedule, by a factor of 4"),
     (4.0, "the learned schedule and cosine are alike")],
)  # fmt: skip
def test_the_winner_is_named(learned, words):
    schedule, spread = sx.family("cosine", 3), np.exp(np.linspace(-1, 1, 9))
    rows = [("learned", learned * spread), ("cosine", 4 * spread), ("karras", 9e9 * spread)]
    rows.sort(key=lambda row: row[1].mean())
    every = [ScheduleDistance(name, schedule, squared) for name, squared in rows]
    assert words in blocks_text(distance_blocks(every, "net"))


def test_the_list_prints_and_gives_a_data_frame(found):
    assert "geometric mean" in repr(found)
    assert found.to_pandas()["name"].tolist() == [one.name for one in found]


def test_fit_against_a_network(run, tmp_path):
    (tmp_path / "net.py").write_text(DENOISER)
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(200, 3)) * np.sqrt(LAM))
    arguments = ("fit", "x.npy", "--steps", 4, "--plot", "None", "--against", "net.py:denoise")
    code, out, err = run(*arguments, "--json")
    assert code == 0, err
    against = json.loads(out)["against"]
    assert (against["network"], against["noises"]) == ("net.py:denoise", 64)
    assert {row["name"] for row in against["schedules"]} == {"learned", "spectral", *sx.SCHEDULES}
    values = [row["geometric_mean"] for row in against["schedules"]]
    assert values == sorted(values)
    out = " ".join(run(*arguments, "--force")[1].split())
    assert "on net.py:denoise" in out
    code, out, err = run(*arguments[:-1], "net.py:nothing", "--force")
    assert (code, out) == (2, "")
    assert "nothing" in err
