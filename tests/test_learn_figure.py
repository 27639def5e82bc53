import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from checks import by_default, inside_and_apart
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba

import specjax as sx
from specjax._core.checks import UserError
from specjax.files.samples import grid
from specjax.fitting.learned import PlanResult
from specjax.report.figures import learn_figure, save_figure
from specjax.report.figures.style import LEARNED
from specjax.sampling.corrections import Corrections

NAMES = ("ddim, cosine", "dpmpp_2m, uniform_logsnr", "euler_ancestral eta=0.5, quadratic betas")


def result(steps=5, **other):
    rng = np.random.default_rng(steps)
    value = 1.0 - 0.9 * steps
    falling = value + 2 * np.exp(-np.arange(30) / 6)
    made = PlanResult(
        schedule=sx.NoiseSchedule(np.append(np.linspace(-10, 6, steps), np.inf)),
        corrections=Corrections(rng.normal(size=steps), rng.normal(size=(steps, 2))),
        sampler="dpmpp_2m",
        process="vp",
        groups=("levels", "ratios", "weights"),
        prior="gaussian",
        objective={"transfer": 1.0},
        value=value,
        train_value=value - 0.1,
        kept="learned",
        history=np.stack([falling - 0.1, falling], 1),
        baselines={name: value + 1 + k for k, name in enumerate(NAMES)},
        source={"name": "waves"},
    )
    return replace(made, **other)


def schedules(steps=5):
    return {
        name: sx.NoiseSchedule(np.append(np.linspace(-9, k, steps), np.inf))
        for k, name in enumerate(("cosine", "karras", "sigmoid"))
    }


def panel(figure, title):
    found = [axes for axes in figure.axes if axes.get_title("left").startswith(title)]
    assert len(found) == 1, title
    return found[0]


def line(axes, label):
    (found,) = [one for one in axes.lines if one.get_label().startswith(label)]
    return found


# What is drawn


def test_levels_are_those_of_the_plan_and_the_heuristics():
    axes = panel(learn_figure([result()], schedules()), "Noise levels")
    for name, schedule in {"learned": result().schedule, **schedules()}.items():
        x, y = line(axes, name).get_data()
        np.testing.assert_array_equal(x, np.arange(5))
        np.testing.assert_array_equal(y, schedule.logsnr[:-1])
    assert any("∞" in text.get_text() for text in axes.texts)


@pytest.mark.parametrize("noise", [None, np.linspace(0, 1, 5)])
def test_corrections_are_bars_and_markers(noise):
    plan = result()
    plan = replace(plan, corrections=replace(plan.corrections, noise=noise))
    axes = panel(learn_figure([plan]), "Corrections")
    bars = [bar.get_height() for bar in axes.patches]
    np.testing.assert_allclose(bars, plan.corrections.ratio)
    for j in range(2):
        x, y = line(axes, f"w_{j + 1}").get_data()
        np.testing.assert_array_equal(x, np.arange(1, 6))
        np.testing.assert_array_equal(y, plan.corrections.weights[:, j])
    drawn = [one.get_ydata() for one in axes.lines if one.get_label().startswith("g")]
    assert len(drawn) == (noise is not None)
    assert noise is None or (drawn[0] == noise).all()


def test_a_plan_of_levels_alone_says_whose_steps_it_takes():
    axes = panel(learn_figure([result(corrections=None)]), "Corrections")
    assert "the steps are those of dpmpp_2m" in axes.texts[0].get_text()


def test_the_history_and_the_best_heuristic():
    plan = result()
    axes = panel(learn_figure([plan]), "While learning")
    for column, name in enumerate(("in learning", "held out")):
        x, y = line(axes, name).get_data()
        np.testing.assert_array_equal(x, np.arange(30))
        np.testing.assert_allclose(y, np.exp(plan.history[:, column]), rtol=1e-12)
    best = line(axes, "best heuristic: ddim, cosine").get_ydata()
    np.testing.assert_allclose(best, np.exp(plan.baselines["ddim, cosine"]), rtol=1e-12)
    assert axes.get_ylabel() == "transfer"


def test_of_several_terms_the_weighted_geometric_mean_is_drawn():
    energy, teacher = 0.3, 20.0
    value = np.log(energy) + 0.5 * np.log(teacher)
    plan = result(objective={"energy": 1.0, "teacher": 0.5}, value=value)
    axes = panel(learn_figure([plan]), "Held out, S = 5")
    drawn = line(axes, "learned").get_xdata()
    np.testing.assert_allclose(drawn, (energy**2 * teacher) ** (1 / 3), rtol=1e-12)
    assert axes.get_xlabel() == "geometric mean of energy, teacher"


def test_one_s_is_a_ranking():
    plan = result(baselines={"worse": -1.0, "better": -4.0})
    axes = panel(learn_figure([plan], limits={5: 1e-3, 7: 1e-9}), "Held out, S = 5")
    found = {one.get_label(): (*one.get_xdata(), *one.get_ydata()) for one in axes.lines}
    wanted = {"Gaussian limit": 1e-3, "better": np.exp(-4.0), "learned": np.exp(-3.5)}
    wanted["worse"] = np.exp(-1.0)
    for row, (name, value) in enumerate(sorted(wanted.items(), key=lambda one: one[1])):
        assert found[name] == pytest.approx((value, row))
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == sorted(wanted, key=wanted.get)


def test_several_s_are_lines_over_s_with_the_floor():
    plans = [result(steps) for steps in (8, 3, 5)]
    limits = {3: 1e-2, 5: 1e-4, 8: 0.0}
    figure = learn_figure(plans, limits=limits, shown=3)
    axes = panel(figure, "Held out, over S")
    learned = line(axes, "learned").get_xydata()
    np.testing.assert_allclose(learned, [(s, np.exp(1 - 0.9 * s)) for s in (3, 5, 8)])
    best = line(axes, "best heuristic").get_xydata()
    np.testing.assert_allclose(best, [(s, np.exp(2 - 0.9 * s)) for s in (3, 5, 8)])
    floor = line(axes, "Gaussian limit").get_xydata()
    np.testing.assert_allclose(floor, [(3, 1e-2), (5, 1e-4)])
    assert len(line(panel(figure, "Noise levels"), "learned").get_xdata()) == 3
    assert "S = 3 to 8" in figure.get_suptitle()


def test_samples_side_by_side():
    rng = np.random.default_rng(0)
    samples = {name: rng.uniform(-1, 1, (20, 8, 8, 3)) for name in ("learned", "fine solution")}
    figure = learn_figure([result()], samples=samples)
    for name, x in samples.items():
        np.testing.assert_array_equal(panel(figure, name).images[0].get_array(), grid(x[:16]))
    sounds = {"learned": rng.uniform(-1, 1, (2, 50)).astype(np.float32)}
    axes = panel(learn_figure([result()], samples=sounds), "learned")
    for i, one in enumerate(axes.lines):
        np.testing.assert_allclose(one.get_ydata(), sounds["learned"][i] - 2 * i)


# How it reads


def title_of(**other):
    return learn_figure([result(**other)]).get_suptitle()


@pytest.mark.thorough
def test_the_title_names_data_calls_prior_and_fall_back():
    for word in ("waves", "5 calls", "prior gaussian"):
        assert word in title_of()
    assert "fell back" not in title_of()
    assert "fell back to ddim, cosine" in title_of(kept="ddim, cosine")
    assert "1 call," in title_of(steps=1)


def test_learned_is_in_the_strong_colour_where_it_is_named():
    figure = learn_figure([result(3), result(5)], schedules())
    for title in ("Noise levels", "Held out, over S"):
        found = {one.get_label(): one.get_color() for one in panel(figure, title).lines}
        assert to_rgba(found.pop("learned")) == to_rgba(LEARNED)
        assert LEARNED not in found.values()


def boxes(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts = [figure._suptitle]
    for axes in figure.axes:
        texts += [axes._left_title, *axes.texts]
        if axes.axison:
            texts += [axes.xaxis.label, axes.yaxis.label]
            for axis, place in ((axes.xaxis, 0), (axes.yaxis, 1)):
                low, high = sorted(axis.get_view_interval())
                labels = axis.get_ticklabels()
                texts += [x for x in labels if low <= x.get_position()[place] <= high]
        legend = axes.get_legend()
        texts += legend.get_texts() if legend else []
    return [(x.get_text(), x.get_window_extent(renderer)) for x in texts if x.get_text()]


def many(steps):
    names = {f"a sampler of a long name, a schedule of a long name {k}": 0.1 * k for k in range(20)}
    noise = np.ones(steps)
    made = result(steps, baselines=names)
    return replace(made, corrections=replace(made.corrections, noise=noise))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("steps", "pictures"),
    by_default(
        [((1,), 0), ((40,), 0), ((5,), 6), (range(3, 13), 2), ((5,), 0), ((3, 4), 6)], 1, 2, 3
    ),
)
def test_no_text_overlaps_another_or_leaves_the_picture(steps, pictures):
    samples = {f"a plan of a rather long name {k}": np.zeros((4, 8, 8)) for k in range(pictures)}
    heuristics = {f"a_rather_long_name_{k}": result(steps[-1]).schedule for k in range(11)}
    figure = learn_figure([many(s) for s in steps], heuristics, dict.fromkeys(steps, 1e-7), samples)
    found = boxes(figure)
    assert len(found) > 25
    inside_and_apart(found, figure)


# Files


@pytest.mark.thorough
def test_equal_plans_are_equal_files(tmp_path):
    one, two = (
        save_figure(learn_figure([result(s) for s in (3, 5)], schedules()), tmp_path / f"{k}.svg")
        for k in "ab"
    )
    assert one.read_bytes() == two.read_bytes()


def test_without_a_history_or_baselines(tmp_path):
    plan = result(1, history=np.zeros((0, 2)), baselines={})
    assert save_figure(learn_figure([plan]), tmp_path / "a.png").exists()
    assert save_figure(learn_figure([plan, replace(result(2), baselines={})]), tmp_path / "b.png")


@pytest.mark.thorough
def test_nothing_global_is_touched():
    code = (
        "import sys, io, numpy as np, specjax as sx, specjax.report.figures as figures\n"
        "from specjax.fitting.learned import PlanResult\n"
        "assert 'matplotlib' not in sys.modules\n"
        "schedule = sx.NoiseSchedule([-9.0, 0.0, float('inf')])\n"
        "plan = PlanResult(schedule=schedule, sampler='ddim', process='vp', value=-1.0,\n"
        "                  train_value=-1.0, history=np.zeros((3, 2)))\n"
        "import matplotlib\n"
        "names = [name for name in matplotlib.rcParams if name != 'backend']\n"
        "before = [matplotlib.rcParams[name] for name in names]\n"
        "figures.learn_figure([plan]).savefig(io.BytesIO())\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert [matplotlib.rcParams[name] for name in names] == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("results", []),
        ("results", [result(5), result(5)]),
        ("shown", 4),
        ("samples", {"a": np.zeros((3, 2, 2, 5))}),
        ("samples", {"a": np.zeros((0, 8, 8))}),
        ("samples", {str(k): np.zeros((1, 8, 8)) for k in range(7)}),
    ],
)
def test_bad_input(name, value):
    with pytest.raises(UserError, match=name):
        learn_figure(**{"results": [result()], name: value})
