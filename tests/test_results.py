"""What results show of themselves: text, a table in a notebook, a figure, a data frame."""

import io
import math
import sys

import jax
import numpy as np
import pandas
import pytest

import specjax as sx
from specjax._core import progress
from specjax._core.checks import UserError
from specjax._core.shown import Results
from specjax.evaluate import Evaluation, evaluate
from specjax.evaluate.error_bars import Estimate
from specjax.learning import ScheduleDistance, Verdict
from specjax.report.results import LISTS, VIEWS

SPECTRUM = sx.Spectrum(np.geomspace(4.0, 1e-3, 12), source={"name": "<b>a test</b>"})
SCHEDULE = sx.NoiseSchedule.from_sigmas([50.0, 5.0, 1.0, 0.0])


def learned(**options):
    given = sx.FitResult.from_schedule(SCHEDULE)
    return sx.FitResult(**{**given.__dict__, "kept": "learned", "value": 0.25, **options})


def evaluation():
    rng = np.random.default_rng(0)
    return evaluate(rng.normal(size=(2, 40, 4)), rng.normal(size=(80, 4)), measures=["frechet"])


def comparison():
    from specjax.fitting.compare import ComparedSchedule

    task = sx.GaussianTask.resolve(SPECTRUM)
    fit = learned(nodes=task.nodes, value=float(task.value(SCHEDULE)), source=task.source)
    cosine = sx.family("cosine", 3)
    rows = (
        ComparedSchedule("learned", SCHEDULE, fit.value, 3),
        ComparedSchedule("cosine", cosine, float(task.value(cosine)), 5),
    )
    return sx.Comparison(fit, rows, task)


def verdict(plan, value):
    return Verdict(3, plan, "gaussian", value, {"transfer": 1.0}, {"transfer": math.exp(value)})


RESULTS = {
    "schedule": lambda: SCHEDULE,
    "plan": lambda: sx.plan("dpmpp_2m", SCHEDULE),
    "stochastic plan": lambda: sx.plan("ddpm", SCHEDULE),
    "spectrum": lambda: SPECTRUM,
    "given levels": lambda: sx.FitResult.from_schedule(SCHEDULE),
    "fit": lambda: comparison().learned,
    "comparison": comparison,
    "evaluation": evaluation,
    "sweep": lambda: sx.Sweep({"a": SPECTRUM}, [2, 3]),
    "evaluations": lambda: Results([evaluation(), evaluation()]),
    "verdicts": lambda: Results([verdict("gaussian", -3.0), verdict("ddim cosine", -1.0)]),
    "plans": lambda: Results([learned(baselines={"ddim cosine": 0.5})]),
    "no results": Results,
}
"""Results of every kind that takes no time to make."""


@pytest.mark.parametrize("name", RESULTS)
def test_it_prints_shows_html_and_gives_a_data_frame(name):
    result = RESULTS[name]()
    assert repr(result)
    assert "object at" not in repr(result)
    assert "<b>a test" not in result._repr_html_()  # names from outside are text
    assert isinstance(result.to_pandas(), pandas.DataFrame)


def test_a_plan_prints_in_five_lines():
    for steps in (1, 3, 500):
        for sampler in ("ddim", "ddpm", "dpmpp_2m"):
            plan = sx.plan(sampler, sx.family("cosine", steps))
            lines = repr(plan).splitlines()
            assert len(lines) == 5
            assert all(len(line) <= 110 for line in lines)


def test_results_print_while_jax_traces_and_batches_them():
    seen = []

    def of_levels(logsnr):
        schedule = sx.NoiseSchedule(logsnr)
        seen.extend([repr(schedule), repr(sx.plan("ddim", schedule))])
        return logsnr.sum()

    jax.jit(of_levels)(jax.numpy.asarray([-5.0, 0.0, 5.0]))
    batched = jax.vmap(sx.NoiseSchedule)(jax.numpy.asarray([[-5.0, 0.0], [-4.0, 1.0]]))
    assert all(one.startswith("<specjax.") for one in [*seen, repr(batched)])


def test_data_frames_have_the_numbers_unrounded():
    frame = SCHEDULE.to_pandas()
    np.testing.assert_array_equal(frame["sigma"], np.asarray(SCHEDULE.sigmas))
    found = comparison()
    frame = found.to_pandas().set_index("schedule")
    assert frame.loc["cosine", "value"] == found.baselines["cosine"]
    frame = RESULTS["verdicts"]().to_pandas()
    assert frame["value"].tolist() == [-3.0, -1.0]
    one = Estimate(0.123456789, 0.01, ())
    row = Evaluation("a", {"frechet": one}, {"frechet": one}, {"frechet": "F"}, None, 9, 1, 5,
                     "", "", 0)  # fmt: skip
    assert row.to_pandas()["value"].tolist() == [0.123456789]


@pytest.mark.thorough
def test_figures():
    from matplotlib.figure import Figure

    for name in ("schedule", "plan", "spectrum", "comparison", "given levels", "fit"):
        figure = RESULTS[name]().plot()
        assert isinstance(figure, Figure), name
        assert figure.axes, name
    assert figure._repr_png_().startswith(b"\x89PNG")  # for notebooks
    with pytest.raises(UserError, match="figure"):
        RESULTS["verdicts"]().plot()
    assert sx.plots.levels_figure({"a": SCHEDULE, "b": sx.family("cosine", 3)}).axes


def test_every_class_that_is_shown_has_a_view():
    from specjax._core.shown import Shown

    def below(cls):
        return {x for one in cls.__subclasses__() for x in (one, *below(one))}

    assert {x for x in below(Shown) if x.__module__.startswith("specjax.")} == {*VIEWS, Results}
    assert set(LISTS) <= {*VIEWS, Verdict, ScheduleDistance}


def test_pandas_that_is_missing_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pandas"):
        SCHEDULE.to_pandas()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def drawn_with(monkeypatch, terminal=True, after=0.0, **options):
    """Samples drawn, and what that wrote to standard error."""
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "AFTER", after)
    plan = sx.plan("ddim", SCHEDULE)
    sx.generate(plan, sx.wiener(SPECTRUM), 4, (12,), batch=2, **options)
    return stream.getvalue()


def test_long_calls_show_a_line_that_goes_at_the_end(monkeypatch):
    shown = drawn_with(monkeypatch)
    assert shown.startswith("\r")
    assert "of 4" in shown
    last, end = shown.rstrip("\r").rpartition("\r")[::2]
    assert shown.endswith("\r")
    assert last
    assert not end.strip()


def test_short_calls_logs_and_those_that_are_told_so_show_none(monkeypatch):
    assert drawn_with(monkeypatch, after=60.0) == ""
    assert drawn_with(monkeypatch, terminal=False) == ""
    assert drawn_with(monkeypatch, progress=False) == ""
    calls = []
    assert drawn_with(monkeypatch, progress=lambda *done: calls.append(done)) == ""
    assert calls[-1] == (4, 4)


def test_of_nested_calls_the_outermost_shows_the_line(monkeypatch):
    @progress.shows_progress("outer", "parts")
    def outer(*, progress=None):
        sx.generate(sx.plan("ddim", SCHEDULE), sx.wiener(SPECTRUM), 4, (12,))
        progress(1, 2)

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "AFTER", 0.0)
    outer()
    assert "outer" in sys.stderr.getvalue()
    assert "sampling" not in sys.stderr.getvalue()


def test_results_write_themselves(tmp_path):
    result = sx.fit(sx.Spectrum([4.0, 1.0]), 3)
    for one, name in ((result, "a.json"), (result.schedule, "b.json"), (SPECTRUM, "c.npz")):
        path = one.save(tmp_path / name)
        assert repr(sx.load(path)) == repr(one)
    with pytest.raises(sx.UserError, match="value"):
        sx.compare(sx.Spectrum([4.0, 1.0]), 3).save(tmp_path / "d.json")


def test_large_objects_print_in_a_line():
    digits = sx.data.open("digits")
    prior = sx.priors.prior_of("mixture", digits)
    small = sx.nn.NetworkDenoiser({"weights": np.zeros((300, 7))}, None, "eps", 0.5, (8, 8, 1))
    known = [digits, prior, sx.guided(prior, prior, 2.0), sx.priors.Network(small, (8, 8))]
    for one in known:
        assert "\n" not in repr(one)
        assert len(repr(one)) < 3000
    assert "float64[8, 64]" in repr(prior)
    assert "dict of 2,100 numbers" in repr(known[-1])
