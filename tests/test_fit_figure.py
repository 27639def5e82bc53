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
from matplotlib.figure import Figure
from matplotlib.image import imread

import specjax as sx
from specjax._core.checks import UserError
from specjax.report.figures import fit_figure, save_figure
from specjax.report.figures.fit import MOST_POINTS, shown_eigenvalues
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


CURVES = {
    name: {2: 8.0 / k, 5: 2.0 / k, 10: 0.5 / k, 40: 0.01 / k} for k, name in enumerate(NAMES, 1)
}


def drawn(given=None, **options):
    return fit_figure(spectrum(), given or schedules(), **{"learned": "learned", **options})


def losses(**options):
    """The losses of the schedules by rising value."""
    found = {name: float(sx.loss(spectrum(), x, **options)) for name, x in schedules().items()}
    return dict(sorted(found.items(), key=lambda one: one[1]))


@pytest.fixture(scope="module")
def figure():
    return drawn(over_steps=CURVES)


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


def test_levels_are_those_of_the_schedules(figure):
    for name, schedule in schedules().items():
        levels = schedule.logsnr
        x, y = lines(figure.axes[ALPHA_BAR])[name].get_data()
        np.testing.assert_array_equal(x, np.arange(STEPS + 1))
        np.testing.assert_allclose(y, 1 / (1 + np.exp(-levels)), rtol=1e-12)
        assert y[-1] == 1
        x, y = lines(figure.axes[LOGSNR])[name].get_data()
        np.testing.assert_array_equal(x, np.arange(STEPS))
        np.testing.assert_array_equal(y, levels[:-1])


def test_the_jump_to_infinity_starts_at_the_last_finite_level(figure):
    axes = figure.axes[LOGSNR]
    jumps = marked(axes, "jump")
    for jump, name in zip(jumps, lines(axes), strict=True):
        np.testing.assert_array_equal(jump.get_xdata(), [STEPS - 1, STEPS])
        assert jump.get_ydata()[0] == schedules()[name].logsnr[-2]
        assert jump.get_ydata()[1] == axes.get_ylim()[1]
    assert any("∞" in text.get_text() for text in axes.texts)


def test_a_schedule_that_ends_with_noise_is_drawn_to_its_end():
    axes = drawn({"learned": schedules(clean=8.0)["flat"]}).axes[LOGSNR]
    assert lines(axes)["learned"].get_ydata()[-1] == 8.0
    assert not marked(axes, "jump")
    assert not axes.texts


def test_ratios_of_standard_deviations_are_over_positive_eigenvalues(figure):
    axes = figure.axes[RATIO]
    lam = np.sort(spectrum(zeros=0).eigenvalues)
    for name, schedule in schedules().items():
        x, y = lines(axes)[name].get_data()
        np.testing.assert_array_equal(x, lam)
        np.testing.assert_allclose(y, [wiener_std(schedule, v) / np.sqrt(v) for v in lam], 1e-9)
    assert axes.get_xscale() == "log"
    assert [list(line.get_ydata()) for line in marked(axes, "true")] == [[1, 1]]


@pytest.mark.parametrize("zeros", [0, 1, 3])
def test_left_out_eigenvalues_are_counted(zeros):
    figure = fit_figure(spectrum(zeros), schedules(), learned="learned")
    label = figure.axes[RATIO].get_xlabel()
    assert (f"; {zeros} zero" in label) == (zeros > 0)
    assert "variance of the data in [-1, 1] units" in label


def test_ratios_far_above_one_get_a_log_axis():
    ends = {"learned": sx.NoiseSchedule([-9.0, 0.0])}  # half of its power is noise
    assert drawn(ends).axes[RATIO].get_yscale() == "log"


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


def test_losses_over_steps_and_the_fitted_point(figure):
    axes = figure.axes[LOSSES]
    for name, curve in CURVES.items():
        x, y = lines(axes)[name].get_data()
        assert dict(zip(x, y, strict=True)) == curve
    (star,) = marked(axes, "fitted")
    assert star.get_xydata() == pytest.approx(np.array([[STEPS, losses()["learned"]]]))
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_xticks().tolist() == [2, 5, 10, 20]
    assert axes.xaxis.get_major_formatter()(20, None) == "20"


def test_without_curves_the_losses_at_the_fitted_steps_are_drawn():
    found = lines(drawn().axes[LOSSES])
    for name, value in losses().items():
        assert found[name].get_xydata() == pytest.approx(np.array([[STEPS, value]]))


def test_losses_that_a_log_axis_cannot_show_are_left_out():
    curve = {"cosine": {1: 1.0, 2: 0.0, 3: np.nan, 4: 0.5}}
    axes = drawn(over_steps=curve).axes[LOSSES]
    assert lines(axes)["cosine"].get_xydata().tolist() == [[1, 1.0], [4, 0.5]]


# How it reads


def test_legend_names_every_schedule_once_with_its_loss_the_learned_one_first(figure):
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    wanted = losses()
    names = ["learned", *(name for name in wanted if name != "learned")]
    assert [label.split()[0] for label in labels] == names
    for label, name in zip(labels, names, strict=True):
        assert float(label.split("(")[1].rstrip(")")) == pytest.approx(wanted[name], rel=5e-3)
    bold = [text.get_text() for text in legend.get_texts() if text.get_weight() == "bold"]
    assert bold == labels[:1]


def test_title_states_data_steps_sampler_process_and_loss():
    options = {"process": "ve", "sampler": sx.ddim(eta=0.5)}
    title = drawn(**options).get_suptitle()
    for word in ("waves", f"{STEPS} steps", "ddim (eta = 0.5)", "ve", "w2 = "):
        assert word in title
    assert float(title.split("= ")[-1]) == pytest.approx(losses(**options)["learned"], rel=1e-3)


def test_a_loss_of_ones_own_is_named():
    mine = replace(sx.LOSSES["w2"], name="mine", summary="my distance")
    axes = drawn(loss=mine).axes[LOSSES]
    assert axes.get_ylabel() == "mine: my distance"


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


def test_colours_do_not_follow_the_ranking(figure):
    found = schedules()
    turned = drawn(found | {"flat": found["cosine"], "cosine": found["flat"]})
    first, second = (lines(one.axes[ALPHA_BAR]) for one in (figure, turned))
    assert list(first) != list(second)
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
    figure = drawn({"learned": learned, **many}, over_steps={"learned": {1: 1e9, 1000: 1e-9}})
    found = boxes(figure)
    assert len(found) > 40
    inside_and_apart(found, figure)


# Files


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_save_writes_the_format_of_the_suffix_and_nothing_else(figure, tmp_path, suffix, magic):
    path = save_figure(figure, tmp_path / f"a.{suffix}")
    assert path.read_bytes().startswith(magic)
    assert os.listdir(tmp_path) == [f"a.{suffix}"]


@pytest.mark.thorough
def test_the_learned_colour_reaches_the_pixels(figure, tmp_path):
    image = imread(save_figure(figure, str(tmp_path / "a.PNG")))
    like = np.abs(image[..., :3] - to_rgba(LEARNED)[:3]).max(-1) < 0.02
    height, width = like.shape
    for rows in (slice(0, height // 2), slice(height // 2, None)):
        for columns in (slice(0, width // 2), slice(width // 2, None)):
            assert like[rows, columns].sum() > 300


@pytest.mark.thorough
@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_equal_figures_are_equal_files(tmp_path, suffix):
    first, second = (save_figure(drawn(), tmp_path / f"{k}.{suffix}").read_bytes() for k in "ab")
    assert first == second


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.png.txt", "nowhere/a.png", "b.png"])
def test_paths_that_no_figure_can_be_written_to(figure, tmp_path, name):
    (tmp_path / "b.png").mkdir()
    with pytest.raises(UserError, match=name):
        save_figure(figure, tmp_path / name)
    assert os.listdir(tmp_path) == ["b.png"]


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_nothing_global_is_touched():
    code = (
        "import sys, specjax as sx, specjax.report.figures as figures\n"
        "assert 'matplotlib' not in sys.modules\n"
        "schedule = sx.NoiseSchedule([-9.0, 0.0, float('inf')])\n"
        "import io, matplotlib\n"
        "names = [name for name in matplotlib.rcParams if name != 'backend']\n"
        "before = [matplotlib.rcParams[name] for name in names]\n"
        "made = figures.fit_figure(sx.Spectrum([1.0, 2.0]), {'a': schedule}, learned='a')\n"
        "made.savefig(io.BytesIO())\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert [matplotlib.rcParams[name] for name in names] == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "value"), [("learned", "lerned"), ("sampler", "dim"), ("process", "vx")]
)
def test_unknown_names(name, value):
    with pytest.raises(UserError, match=f"{name} = '{value}'"):
        drawn(**{name: value})


def test_saving_a_picture_leaves_the_figure_as_it_was(tmp_path):
    figure = Figure(figsize=(2, 2), dpi=70)
    canvas = figure.canvas
    save_figure(figure, tmp_path / "one.png")
    assert figure.canvas is canvas
    assert figure.dpi == 70
