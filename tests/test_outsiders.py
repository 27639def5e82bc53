"""Objects from a user's own file in place of names; no file of the package is touched.

Priors and export targets have files of their own (test_open_prior.py, test_open_export.py).
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import pytest

import specjax as sx
from specjax.gaussian.losses import LOSSES
from specjax.sampling.scaled import LevelSteps, ScaledRows

SPECTRUM = sx.Spectrum([4.0, 1.0, 0.1], mean=[0.5, 0.0, -0.2])


@dataclass(frozen=True)
class Euler:
    """DDIM, written by somebody else: ``r + (s' - s) (r - d) / s``, damped if asked for."""

    damping: float = 0.0
    name: str = "euler"

    def rows(self, steps: LevelSteps) -> ScaledRows:
        xp = steps.xp
        keep = xp.where(steps.last, 0.0, (1 - self.damping) * steps.s_next / steps.s)
        pull = 1 - keep
        return ScaledRows(
            steps.now, steps.now, steps.after, keep[:, None, None], pull[:, None],
            xp.zeros_like(pull)[:, None], (True,),
        )  # fmt: skip


def hellinger(lam, moments):
    """``1 - sqrt(2 a b / (a^2 + b^2))`` of the standard deviations."""
    a, b = jnp.sqrt(lam), moments.std
    return 1 - jnp.sqrt(2 * a * b / (a**2 + b**2))


HELLINGER = sx.Loss(
    "hellinger", hellinger, lambda lam, moments: 0 * lam, lambda lam: 0 * lam + 0.5,
    counts_mean=False, needs_positive=True,
)  # fmt: skip
STRAIGHT = sx.Family("straight", lambda t: 10 - 20 * t)


@pytest.mark.thorough
def test_a_sampler():
    mine, theirs = (sx.fit(SPECTRUM, 4, sampler=x) for x in (Euler(), "ddim"))
    assert mine.value == pytest.approx(theirs.value, rel=1e-9)
    np.testing.assert_allclose(mine.schedule.logsnr, theirs.schedule.logsnr, atol=1e-3)
    assert mine.sampler == "euler"
    assert (mine.custom_sampler, theirs.custom_sampler) == (Euler(), None)
    assert sx.fit(SPECTRUM, 4, sampler=sx.ddim(eta=0.5)).custom_sampler is None
    np.testing.assert_allclose(mine.plan.keep, theirs.plan.keep, atol=1e-3)
    moments = sx.transfer(sx.plan(Euler(), mine.schedule), SPECTRUM)
    assert sx.loss(SPECTRUM, mine.schedule, sampler=Euler()) == pytest.approx(mine.value)
    assert np.isfinite(moments.variance).all()


@pytest.mark.thorough
def test_samplers_of_other_numbers_are_other_programs():
    mine, damped = (sx.fit(SPECTRUM, 4, sampler=Euler(x)) for x in (0.0, 0.1))
    assert damped.value > mine.value
    table = sx.compare(SPECTRUM, 4, sampler=Euler(), learned=mine)
    assert table.rows[0].name == "learned"


@pytest.mark.thorough
def test_a_sampler_in_a_file_has_levels_but_no_coefficients_of_its_own(tmp_path):
    fit = sx.fit(SPECTRUM, 3, sampler=Euler())
    back = sx.load(sx.save(tmp_path / "mine.json", fit))
    assert back.sampler == "euler"
    np.testing.assert_array_equal(back.schedule.logsnr, fit.schedule.logsnr)
    with pytest.raises(sx.UserError, match="euler"):
        _ = back.plan


@pytest.mark.thorough
def test_a_loss():
    fit = sx.fit(SPECTRUM, 4, loss=HELLINGER)
    std = sx.transfer(fit.plan, SPECTRUM).std
    a = np.sqrt(SPECTRUM.eigenvalues)
    by_hand = (1 - np.sqrt(2 * a * std / (a**2 + std**2))).sum()
    assert fit.value == pytest.approx(by_hand, rel=1e-9)
    assert fit.loss == "hellinger"
    assert fit.value < sx.loss(SPECTRUM, sx.fit(SPECTRUM, 4).schedule, loss=HELLINGER)
    assert set(LOSSES) == {"w2", "kl", "kl_reverse", "l1", "relative"}  # the table is untouched
    assert sx.spectral(SPECTRUM, 4, loss=HELLINGER).steps == 4
    with pytest.raises(sx.UserError, match="zero eigenvalue"):
        sx.fit(sx.Spectrum([1.0, 0.0]), 3, loss=HELLINGER)


def test_a_schedule_family():
    np.testing.assert_allclose(sx.family(STRAIGHT, 4).logsnr[:-1], [-10, -5, 0, 5])
    pinned = sx.family(STRAIGHT, 4, alpha_bar_range=(0.5, 0.9))
    np.testing.assert_allclose(pinned.alpha_bar[[0, -1]], [0.5, 0.9])
    table = sx.compare(SPECTRUM, 3, schedules={"straight": STRAIGHT})
    (row,) = [row for row in table.rows if row.name == "straight"]
    assert row.value == pytest.approx(float(sx.loss(SPECTRUM, row.schedule)))
    assert row.steps_needed > 3


def test_what_is_none_of_these_is_refused():
    for wrong in ({"sampler": 3}, {"loss": 3}, {"sampler": "dimm"}, {"loss": "w3"}):
        with pytest.raises(sx.UserError, match=next(iter(wrong))):
            sx.fit(SPECTRUM, 3, **wrong)
