import numpy as np
import pytest
from checks import one_line

import specjax as sx
from specjax.fitting.compare import MOST_STEPS

SPECTRUM = sx.Spectrum(50.0 * np.arange(1, 33) ** -2.0)


@pytest.fixture(scope="module")
def comparison():
    return sx.compare(SPECTRUM, 6, schedules={"mine": sx.NoiseSchedule.from_sigmas([20, 2, 0])})


@pytest.mark.thorough
def test_every_family_and_the_given_schedule_are_there_best_first(comparison):
    names = [row.name for row in comparison.rows]
    assert set(names) == {"learned", "spectral", "mine", *sx.SCHEDULES}
    assert names[0] == "learned"
    values = [row.value for row in comparison.rows]
    assert values == sorted(values)
    assert set(comparison.baselines) == set(names) - {"learned"}


def test_families_are_pinned_to_the_ends_of_the_fit(comparison):
    for row in comparison.rows:
        if row.name != "mine":
            np.testing.assert_allclose(row.schedule.alpha_bar[[0, -1]], [4.0358e-5, 1], rtol=1e-9)


def test_values_are_losses_of_the_schedules(comparison):
    for row in comparison.rows:
        plan = sx.plan("ddim", row.schedule)
        std = sx.transfer(plan, SPECTRUM).std
        w2 = ((np.sqrt(SPECTRUM.eigenvalues) - std) ** 2).sum()
        np.testing.assert_allclose(row.value, w2, rtol=1e-10)


def test_steps_needed_is_where_a_heuristic_reaches_the_learned_loss(comparison):
    target = comparison.learned.node_value
    checked = 0
    for row in comparison.rows:
        if row.name not in sx.SCHEDULES or row.steps_needed is None:
            continue
        at, before = (
            sx.loss(SPECTRUM, sx.family(row.name, s, alpha_bar_range=(4.0358e-5, 1.0)))
            for s in (row.steps_needed, row.steps_needed - 1)
        )
        assert at <= target * (1 + 1e-6) < before, row.name
        checked += 1
    assert checked > 5


@pytest.mark.slow
def test_none_where_it_takes_too_many_steps():
    # Levels spread evenly over alpha_bar leave the small eigenvalues to the last step.
    spectrum = sx.Spectrum([1e3, 1e-2])
    rows = {row.name: row for row in sx.compare(spectrum, 30, loss="kl").rows}
    needed = rows["linear_alpha_bar"].steps_needed
    late = sx.family("linear_alpha_bar", MOST_STEPS, alpha_bar_range=(4.0358e-5, 1.0))
    assert (needed is None) == (sx.loss(spectrum, late, loss="kl") > rows["learned"].value)
    assert needed is None


def test_a_fit_can_be_reused(comparison):
    again = sx.compare(SPECTRUM, 6, learned=comparison.learned)
    assert again.learned is comparison.learned


@pytest.mark.thorough
def test_a_range_that_a_family_does_not_meet_leaves_it_out():
    rows = sx.compare(SPECTRUM, 3, alpha_bar_range=(1e-8, 1e-3)).rows
    assert "scaled_linear" not in {row.name for row in rows}
    assert "cosine" in {row.name for row in rows}


def test_a_schedule_has_a_name_of_its_own(comparison):
    for name in ("learned", "spectral", "cosine"):
        given = {name: sx.family("karras", 6)}
        said = one_line(sx.compare, SPECTRUM, 6, schedules=given, learned=comparison.learned)
        assert f"{name!r} is the name of another" in said


def test_a_fit_of_something_else_is_not_reused(comparison):
    for what, given in [
        ("steps", {"steps": 5}),
        ("sampler", {"sampler": "ddpm"}),
        ("sampler_options", {"sampler": sx.ddim(eta=0.5)}),
        ("loss", {"loss": "kl"}),
        ("process", {"process": "ve"}),
        ("alpha_bar_range", {"alpha_bar_range": (1e-4, 1.0)}),
        ("spectrum", {"spectrum": sx.Spectrum([1.0])}),
    ]:
        asked = {"spectrum": SPECTRUM, "steps": 6, "learned": comparison.learned, **given}
        assert f"learned: its {what} is" in one_line(sx.compare, **asked)


def test_a_fit_says_in_its_last_line_where_a_family_may_be_better(comparison):
    """Where errors add up, or few samples and a large mean decide; nowhere else."""
    from dataclasses import replace

    from specjax.report.fit import fit_blocks

    def last_line(learned, spectrum):
        task = sx.GaussianTask.resolve(spectrum)
        known = sx.Comparison(learned, comparison.rows, task)
        return fit_blocks(known, spectrum, ["s.json"])[0].notes[-1]

    def of(samples, mean):
        source = {"samples": samples, "method": "exact", "dimension": 32}
        return replace(SPECTRUM, mean=np.full(32, mean), source=source)

    learned = comparison.learned
    assert last_line(learned, of(400, 0.0)) == "wrote s.json"
    assert last_line(learned, of(30, 0.0)) == "wrote s.json"
    assert last_line(learned, of(400, 1e4)) == "wrote s.json"
    line = last_line(learned, of(30, 1e4))
    assert "--against" in line
    assert "30 samples of 32 numbers" in line
    wild = sx.Comparison(learned, comparison.rows, comparison.task)
    wild.__dict__["amplification"] = 3.0
    assert "--against" in fit_blocks(wild, SPECTRUM, ["s.json"])[0].notes[-1]
