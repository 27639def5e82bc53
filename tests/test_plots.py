import errno
import itertools
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from checks import inside_and_apart
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.image import imread

import specjax as sx
from specjax.report.figures import (
    Drawn,
    FitPicture,
    LossCurve,
    fit_figure,
    fit_picture,
    save_figure,
)
from specjax.report.figures.figure import MOST_POINTS, shown_eigenvalues
from specjax.report.figures.style import DASHES, LEARNED, MUTED, muted_style

ALPHA_BAR, LOGSNR, RATIO, LOSSES = range(4)
NAMES = ("learned", "cosine", "flat")
STEPS = 6


def spectrum(zeros=1):
    eigenvalues = np.concatenate([10.0 ** np.linspace(2, -4, 30), np.zeros(zeros)])
    return sx.Spectrum(eigenvalues, source={"name": "waves", "data_range": [0, 255]})


def schedules(steps=STEPS, clean=np.inf):
    middle = np.linspace(-9, 6, steps)
    return {
        "flat": sx.NoiseSchedule(np.append(middle, clean)),
        "cosine": sx.NoiseSchedule(np.append(middle**3 / 50, clean)),
        "learned": sx.spectral(spectrum(), steps),
    }


CURVES = tuple(
    LossCurve(name, [2, 5, 10, 40], [8.0 / k, 2.0 / k, 0.5 / k, 0.01 / k])
    for k, name in enumerate(NAMES, 1)
)


@pytest.fixture(scope="module")
def picture():
    return fit_picture(spectrum(), schedules(), learned="learned", over_steps=CURVES)


@pytest.fixture(scope="module")
def figure(picture):
    return fit_figure(picture)


def lines(axes):
    """The labelled lines of a panel, by label."""
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def marked(axes, gid):
    return [line for line in axes.lines if line.get_gid() == gid]


def wiener_std(schedule, lam):
    """DDIM on one Gaussian, step by step, with plain numbers."""
    alpha_bar = 1 / (1 + np.exp(-schedule.logsnr))
    gain = 1.0
    for a, b in itertools.pairwise(alpha_bar):
        estimate = np.sqrt(a) * lam / (a * lam + 1 - a)
        ratio = np.sqrt((1 - b) / (1 - a))
        gain *= ratio + (np.sqrt(b) - np.sqrt(a) * ratio) * estimate
    return gain


# What is drawn


def test_picture_holds_each_schedule_with_its_error_and_loss(picture):
    lam = spectrum().eigenvalues
    for one in picture.schedules:
        schedule = schedules()[one.name]
        std = np.array([wiener_std(schedule, x) for x in lam])
        np.testing.assert_allclose(one.std_ratio[:-1], std[:-1] / np.sqrt(lam[:-1]), rtol=1e-9)
        assert one.loss == pytest.approx(((np.sqrt(lam) - std) ** 2).sum(), rel=1e-9)
    losses = [one.loss for one in picture.schedules]
    assert picture.schedules[0].name == "learned"
    assert losses[1:] == sorted(losses[1:])


def test_levels_are_those_of_the_schedules(figure, picture):
    for one in picture.schedules:
        levels = schedules()[one.name].logsnr
        x, y = lines(figure.axes[ALPHA_BAR])[one.name].get_data()
        np.testing.assert_array_equal(x, np.arange(STEPS + 1))
        np.testing.assert_allclose(y, 1 / (1 + np.exp(-levels)), rtol=1e-12)
        assert y[-1] == 1
        x, y = lines(figure.axes[LOGSNR])[one.name].get_data()
        np.testing.assert_array_equal(x, np.arange(STEPS))
        np.testing.assert_array_equal(y, levels[:-1])


def test_the_jump_to_infinity_starts_at_the_last_finite_level(figure, picture):
    axes = figure.axes[LOGSNR]
    jumps = marked(axes, "jump")
    assert len(jumps) == len(picture.schedules)
    for jump, one in zip(jumps, picture.schedules, strict=True):
        np.testing.assert_array_equal(jump.get_xdata(), [STEPS - 1, STEPS])
        assert jump.get_ydata()[0] == one.logsnr[-2]
        assert jump.get_ydata()[1] == axes.get_ylim()[1]
    assert any("∞" in text.get_text() for text in axes.texts)


def test_a_schedule_that_ends_with_noise_is_drawn_to_its_end():
    noisy_end = {"learned": schedules(clean=8.0)["flat"]}
    axes = fit_figure(fit_picture(spectrum(), noisy_end, learned="learned")).axes[LOGSNR]
    assert lines(axes)["learned"].get_ydata()[-1] == 8.0
    assert not marked(axes, "jump")
    assert not axes.texts


def test_ratios_are_over_positive_eigenvalues(figure, picture):
    axes = figure.axes[RATIO]
    for one in picture.schedules:
        x, y = lines(axes)[one.name].get_data()
        np.testing.assert_array_equal(x, np.sort(spectrum(zeros=0).eigenvalues))
        np.testing.assert_array_equal(y, one.std_ratio[:-1][::-1])
    assert axes.get_xscale() == "log"
    assert [list(line.get_ydata()) for line in marked(axes, "true")] == [[1, 1]]


@pytest.mark.parametrize(
    ("zeros", "said"), [(0, "units)"), (1, "; 1 zero left out)"), (3, "; 3 zeros left out)")]
)
def test_left_out_eigenvalues_are_counted(zeros, said):
    picture = fit_picture(spectrum(zeros), schedules(), learned="learned")
    label = fit_figure(picture).axes[RATIO].get_xlabel()
    assert label.endswith(said)
    assert "variance of the data in [-1, 1] units" in label


def test_ratios_far_above_one_get_a_log_axis(picture):
    above = [Drawn("learned", np.array([-9.0, 1.0]), np.full(31, 30.0), 1.0)]
    high = FitPicture(picture.eigenvalues, above, "learned", "waves", "ddim", "vp", "w2")
    assert fit_figure(high).axes[RATIO].get_yscale() == "log"


def test_large_spectra_are_thinned_evenly_in_rank_and_logarithm():
    lam = 1e3 * np.arange(1, 4001.0) ** -2
    shown = shown_eigenvalues(np.random.default_rng(0).permutation(lam))
    assert MOST_POINTS / 2 < shown.size <= MOST_POINTS
    shown = shown_eigenvalues(lam)
    drawn = lam[shown]
    assert (np.diff(drawn) > 0).all()
    assert (drawn[0], drawn[-1]) == (lam[-1], lam[0])
    # No gap is wider than twice an even spacing, unless it has no eigenvalue inside.
    gaps = np.flatnonzero(np.diff(np.log(drawn)) > 2 * np.ptp(np.log(lam)) / (MOST_POINTS // 2))
    assert all(shown[k] - shown[k + 1] == 1 for k in gaps)
    assert np.abs(np.diff(shown)).max() <= lam.size / (MOST_POINTS // 2 - 1) + 1


def test_losses_over_steps_and_the_fitted_point(figure, picture):
    axes = figure.axes[LOSSES]
    for curve in CURVES:
        x, y = lines(axes)[curve.name].get_data()
        assert (list(x), list(y)) == (list(curve.steps), list(curve.loss))
    (star,) = marked(axes, "fitted")
    assert star.get_xydata().tolist() == [[STEPS, picture.schedules[0].loss]]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_xticks().tolist() == [2, 5, 10, 20]
    assert axes.xaxis.get_major_formatter()(20, None) == "20"


def test_without_curves_the_losses_at_the_fitted_steps_are_drawn():
    picture = fit_picture(spectrum(), schedules(), learned="learned")
    found = lines(fit_figure(picture).axes[LOSSES])
    for one in picture.schedules:
        assert found[one.name].get_xydata().tolist() == [[STEPS, one.loss]]


def test_losses_that_a_log_axis_cannot_show_are_left_out(picture):
    curve = LossCurve("cosine", [1, 2, 3, 4], [1.0, 0.0, np.nan, 0.5])
    axes = fit_figure(fit_picture(spectrum(), schedules(), learned="learned", over_steps=[curve]))
    assert lines(axes.axes[LOSSES])["cosine"].get_xydata().tolist() == [[1, 1.0], [4, 0.5]]


# How it reads


def test_legend_names_every_schedule_once_with_its_loss(figure, picture):
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert [label.split()[0] for label in labels] == [one.name for one in picture.schedules]
    for label, one in zip(labels, picture.schedules, strict=True):
        assert float(label.split("(")[1].rstrip(")")) == pytest.approx(one.loss, rel=5e-3)
    assert [text.get_text() for text in legend.get_texts() if text.get_weight() == "bold"] == [
        labels[0]
    ]


def test_title_states_data_steps_sampler_process_and_loss():
    lam = spectrum()
    picture = fit_picture(
        lam, schedules(), learned="learned", process="ve", sampler_options={"eta": 0.5}
    )
    title = fit_figure(picture).get_suptitle()
    for word in ("waves", f"{STEPS} steps", "ddim, eta = 0.5", "(ve)", "w2 = "):
        assert word in title
    value = float(sx.loss(lam, schedules()["learned"], process="ve", sampler_options={"eta": 0.5}))
    assert float(title.split("= ")[-1]) == pytest.approx(value, rel=1e-3)


def test_axes_have_labels(figure):
    for axes in figure.axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert axes.get_title(loc="left")
    assert "squared 2-Wasserstein distance" in figure.axes[LOSSES].get_ylabel()


def test_learned_is_the_only_bold_line_in_the_strong_colour(figure):
    for axes in figure.axes:
        found = lines(axes)
        learned = found.pop("learned")
        assert to_rgba(learned.get_color()) == to_rgba(LEARNED)
        for other in found.values():
            assert to_rgba(other.get_color()) != to_rgba(LEARNED)
            assert other.get_linewidth() < learned.get_linewidth() / 2
            assert other.get_zorder() < learned.get_zorder()


def test_styles_of_heuristics_differ():
    styles = [muted_style(k) for k in range(len(MUTED) * len(DASHES))]
    assert len({(style["color"], str(style["linestyle"])) for style in styles}) == len(styles)


def test_colours_do_not_follow_the_ranking(figure, picture):
    turned = fit_figure(replace(picture, schedules=picture.schedules[::-1]))
    first, second = (lines(one.axes[ALPHA_BAR]) for one in (figure, turned))
    assert list(first) == list(second)[::-1]
    for name in NAMES:
        assert first[name].get_color() == second[name].get_color()
        assert first[name].get_linestyle() == second[name].get_linestyle()


def tick_labels(axis, place):
    """The labels that are drawn: those of ticks inside the panel."""
    low, high = sorted(axis.get_view_interval())
    return [label for label in axis.get_ticklabels() if low <= label.get_position()[place] <= high]


def boxes(figure):
    """Boxes in pixels of all texts outside of and around the panels, by their words."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [figure._suptitle]
    for axes in figure.axes:
        texts += [axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        texts += [*tick_labels(axes.xaxis, 0), *tick_labels(axes.yaxis, 1)]
    renderer = canvas.get_renderer()
    named = [(text.get_text(), text.get_window_extent(renderer)) for text in texts]
    named.append(("legend", figure.legends[0].get_window_extent(renderer)))
    return [(text, box) for text, box in named if text]


@pytest.mark.thorough
@pytest.mark.parametrize("steps", [1, 2, 10, 1000])
def test_no_text_overlaps_another_or_leaves_the_picture(steps):
    learned = sx.spectral(spectrum(), steps)
    many = {f"a_rather_long_name_{k}": learned for k in range(11)}
    curves = [LossCurve("learned", [1, 1000], [1e9, 1e-9])]
    figure = fit_figure(
        fit_picture(spectrum(), {"learned": learned, **many}, learned="learned", over_steps=curves)
    )
    found = boxes(figure)
    assert len(found) > 40
    inside_and_apart(found, figure)


# Files


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_save_writes_the_format_of_the_suffix_and_nothing_else(figure, tmp_path, suffix, magic):
    path = save_figure(figure, tmp_path / f"a.{suffix}")
    assert path.read_bytes().startswith(magic)
    assert os.listdir(tmp_path) == [f"a.{suffix}"]


def test_the_learned_colour_reaches_the_pixels(figure, tmp_path):
    image = imread(save_figure(figure, str(tmp_path / "a.PNG")))
    like = np.abs(image[..., :3] - to_rgba(LEARNED)[:3]).max(-1) < 0.02
    height, width = like.shape
    for rows in (slice(0, height // 2), slice(height // 2, None)):
        for columns in (slice(0, width // 2), slice(width // 2, None)):
            assert like[rows, columns].sum() > 300


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_equal_pictures_are_equal_files(picture, tmp_path, suffix):
    first, second = (
        save_figure(fit_figure(picture), tmp_path / f"{k}.{suffix}").read_bytes() for k in "ab"
    )
    assert first == second


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.png.txt"])
def test_unknown_suffixes(figure, tmp_path, name):
    with pytest.raises(ValueError, match=r"\.png, \.pdf, \.svg"):
        save_figure(figure, tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_does_not_exist_or_is_in_the_place(figure, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere.* does not exist"):
        save_figure(figure, tmp_path / "nowhere" / "a.png")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        save_figure(figure, tmp_path / "b.png")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_old_picture_and_no_part(
    figure, tmp_path, monkeypatch, failing, failure
):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def refuse(*_):
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, refuse)
        with pytest.raises((ValueError, OSError, KeyboardInterrupt)):
            save_figure(figure, path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_nothing_global_is_touched():
    code = (
        "import sys, specjax as sx, specjax.plots as plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "schedule = sx.NoiseSchedule([-9.0, 0.0, float('inf')])\n"
        "picture = plots.fit_picture(sx.Spectrum([1.0, 2.0]), {'a': schedule}, learned='a')\n"
        "import io, matplotlib\n"
        "names = [name for name in matplotlib.rcParams if name != 'backend']\n"
        "before = [matplotlib.rcParams[name] for name in names]\n"
        "plots.fit_figure(picture).savefig(io.BytesIO())\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert [matplotlib.rcParams[name] for name in names] == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"learned": "lerned"}, "did you mean 'learned'"),
        ({"sampler": "dim"}, "sampler = 'dim'"),
        ({"loss": "kl"}, "zero eigenvalue"),
        ({"process": "vx"}, "process = 'vx'"),
    ],
)
def test_bad_input(given, said):
    with pytest.raises(ValueError, match=said):
        fit_picture(spectrum(), schedules(), **{"learned": "learned", **given})
