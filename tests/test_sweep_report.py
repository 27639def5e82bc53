import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from checks import by_default, inside_and_apart
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.text import Text

import specjax as sx
from specjax._core.checks import UserError
from specjax.report.figures import save_figure, sweep_figure
from specjax.report.figures.style import GUIDE, STRONG
from specjax.report.recommend import print_recommendations, recommendations_json
from specjax.report.sweep import print_sweep, sweep_json
from specjax.report.sweep_rows import pareto_front
from specjax.sweep import Recommendation, Sweep, SweepResult

ENDS = (0.01, 1.0)
EXPONENTS = {"steep": 2.0, "flat": 0.5, "middle": 1.25}
STEPS = (2, 4, 8)
HEURISTICS = {"heuristic_cosine": 3.0, "heuristic_linear": 2.0, "heuristic_spectral": 1.01}


def row(spectrum="flat", steps=4, sampler="ddim", value=None, **more):
    """A fit whose loss is 16 / S^2 (heun 64 / S^4) and whose linear schedule has twice that."""
    if value is None:
        value = 16.0 / steps**2 if sampler == "ddim" else 64.0 / steps**4
    clean = more.get("alpha_bar_clean", ENDS[1])
    levels = [*np.linspace(-9.0, 4.0, steps), np.inf if clean == 1 else 5.0]
    return {
        "spectrum": spectrum,
        "exponent": EXPONENTS.get(spectrum, np.nan),
        "steps": steps,
        "sampler": sampler,
        "sampler_options": "{}",
        "loss": "w2",
        "process": "vp",
        "alpha_bar_noisy": ENDS[0],
        "alpha_bar_clean": clean,
        "seed": 0,
        "calls": 2 * steps - (clean == 1) if sampler == "heun" else steps,
        "value": value,
        "finite": bool(np.isfinite(value)),
        "converged": bool(np.isfinite(value)),
        **{name: times * value for name, times in HEURISTICS.items()},
        "error": None,
        "logsnr": levels,
        **more,
    }


def failed(error="no memory [bold]", **more):
    return row(value=np.nan, error=error, **more) | {"logsnr": None}


def made(rows):
    schema = pa.Table.from_pylist(rows).schema
    at = schema.get_field_index("error")
    return pa.Table.from_pylist(rows, schema.set(at, pa.field("error", pa.string())))


def product(spectra=("flat",), steps=STEPS, samplers=("ddim", "heun"), **axes):
    names = list(axes)
    for spectrum, sampler, s, *values in itertools.product(
        spectra, samplers, steps, *axes.values()
    ):
        yield row(spectrum, s, sampler, **dict(zip(names, values, strict=True)))


def lines(axes, prefix=""):
    return {line.get_label(): line for line in axes.lines if line.get_label().startswith(prefix)}


def points(line):
    return line.get_xydata().tolist()


def notes(figure):
    """What is said below the panels of what was chosen and left out."""
    return figure.get_supxlabel()


def legends(figure):
    parts = [figure, *figure.subfigs]
    return [legend for one in parts for legend in one.legends]


# The figure


def test_losses_are_over_the_calls_of_the_denoiser():
    (axes,) = sweep_figure(made(list(product()))).axes
    found = lines(axes)
    assert points(found["ddim"]) == [[2, 4.0], [4, 1.0], [8, 0.25]]
    # Heun's last step, to no noise, is one call.
    assert points(found["heun"]) == [[3, 4.0], [7, 0.25], [15, 0.015625]]
    assert points(found["_best heuristic, ddim"]) == [[2, 8.0], [4, 2.0], [8, 0.5]]
    assert axes.get_xlabel() == "denoiser calls (heun: two a step)"
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert "squared 2-Wasserstein distance" in axes.get_ylabel()
    noisy_end = sweep_figure(made(list(product(alpha_bar_clean=[0.9])))).axes[0]
    assert points(lines(noisy_end)["heun"])[0] == [4, 4.0]


def test_one_call_a_step_is_over_steps():
    (axes,) = sweep_figure(made(list(product(samplers=["ddim"])))).axes
    assert axes.get_xlabel() == "number of steps S"
    assert not [line for line in axes.lines if line.get_gid() == "front"]


def test_losses_of_one_number_of_steps_have_numbers_beside_them():
    for value in (1.17, 1.61, 0.0307):
        rows = [row(steps=5, value=value)]  # the heuristic is 1 % above
        (axes,) = sweep_figure(made(rows)).axes
        low, high = axes.get_ylim()
        assert sum(low <= y <= high for y in axes.get_yticks()) > 1
        assert "" not in [axes.yaxis.get_major_formatter()(y, 0) for y in axes.get_yticks()]


def test_a_colour_for_each_sampler_and_thin_dashes_for_its_heuristic():
    rows = product(sampler_options=["{}", '{"eta": 0.5}'], samplers=["ddim"])
    figure = sweep_figure(made(list(rows)))
    found = lines(figure.axes[0])
    for label, colour in zip(["ddim", "ddim (eta = 0.5)"], STRONG, strict=False):
        learned, heuristic = found[label], found[f"_best heuristic, {label}"]
        assert to_rgba(learned.get_color()) == to_rgba(heuristic.get_color()) == to_rgba(colour)
        assert learned.get_linestyle() == "-"
        assert heuristic.get_linestyle() == "--"
        assert heuristic.get_linewidth() < learned.get_linewidth() / 2
        assert heuristic.get_zorder() < learned.get_zorder()
    (legend,) = legends(figure)
    said = [text.get_text() for text in legend.get_texts()]
    assert said == ["ddim", "ddim (eta = 0.5)", "best heuristic", "on the Pareto front"]


def test_the_front_has_the_points_that_none_is_as_cheap_and_better_than():
    (axes,) = sweep_figure(made(list(product()))).axes
    (halo,) = [line for line in axes.lines if line.get_gid() == "front"]
    # (3, 4.0) is no better than (2, 4.0); (8, 0.25) no better than (7, 0.25).
    assert points(halo) == [[2, 4.0], [4, 1.0], [7, 0.25], [15, 0.015625]]


def test_front_is_what_comparing_all_pairs_gives():
    rng = np.random.default_rng(0)
    cost, value = rng.integers(1, 9, 40), rng.integers(1, 30, 40)
    pairs = list(zip(cost.tolist(), value.tolist(), strict=True))
    undominated = {
        (c, v)
        for c, v in pairs
        if not any(a <= c and b <= v and (a, b) != (c, v) for a, b in pairs)
    }
    best = pareto_front(cost, value)
    assert list(zip(cost[best], value[best], strict=True)) == sorted(undominated)
    assert pareto_front(cost[:0], value[:0]).size == 0


def test_failed_fits_are_left_out_and_counted():
    rows = [*product(samplers=["ddim"]), failed(steps=16), row(steps=32, value=np.inf)]
    figure = sweep_figure(made(rows))
    assert points(lines(figure.axes[0])["ddim"]) == [[2, 4.0], [4, 1.0], [8, 0.25]]
    assert notes(figure) == "2 fits failed or not finite: left out"
    assert notes(sweep_figure(made(rows[:3]))) == ""


def test_zero_losses_and_unconverged_fits_are_said():
    rows = [*product(samplers=["ddim"]), row(steps=16, value=0.0), row(steps=5, converged=False)]
    figure = sweep_figure(made(rows))
    assert [x for x, _ in points(lines(figure.axes[0])["ddim"])] == [2, 4, 5, 8]
    for words in ("1 loss of 0", "1 fit not converged"):
        assert words in notes(figure)


def test_nothing_to_draw_says_why():
    with pytest.raises(UserError, match="no memory"):
        sweep_figure(made([failed(), failed()]))


def test_of_several_seeds_the_best_is_drawn():
    rows = [row(value=3.0, seed=0), row(value=2.0, seed=1), row(value=np.nan, seed=2)]
    figure = sweep_figure(made(rows))
    assert points(lines(figure.axes[0])["ddim"]) == [[4, 2.0]]
    assert notes(figure).splitlines()[0] == "the best of 2 seeds"


def test_of_several_processes_and_ends_the_first_is_drawn():
    rows = [*product(process=["vp", "ve"], alpha_bar_clean=[1.0, 0.99])]
    for one in rows:
        one["value"] *= 1 if (one["process"], one["alpha_bar_clean"]) == ("vp", 1.0) else 7
    figure = sweep_figure(made(rows))
    assert points(lines(figure.axes[0])["ddim"]) == [[2, 4.0], [4, 1.0], [8, 0.25]]
    said = ["process vp, the first of 2", "alpha_bar from 0.01 to 1, the first of 2 ranges"]
    assert notes(figure).splitlines() == said


def test_panels_go_by_rising_exponent():
    figure = sweep_figure(made(list(product(EXPONENTS))))
    titles = [axes.get_title("left") for axes in figure.axes if axes.get_title("left")]
    titles = [title for title in titles if not title.startswith("Learned levels")]
    assert titles == [
        "flat  (exponent 0.50)", "middle  (exponent 1.25)", "steep  (exponent 2.00)"
    ]  # fmt: skip
    assert figure.get_suptitle() == "Sweep: 3 spectra, 2 samplers, S = 2 to 8, 18 fits"


@pytest.mark.parametrize(
    ("losses", "panels"), [(("w2",), 6), (("w2", "kl"), 6), (("w2", "kl", "l1", "relative"), 4)]
)
def test_of_many_spectra_a_few_are_drawn(losses, panels):
    rows = [
        row(f"s{k}", steps, exponent=1 + k / 10, loss=loss)
        for k, steps, loss in itertools.product(range(20), STEPS, losses)
    ]
    figure = sweep_figure(made(rows))
    drawn = [axes.get_title("left") for axes in figure.axes if "exponent" in axes.get_title("left")]
    assert len(drawn) == panels
    expected = ("s0 ", "s19 ") if len(losses) < 4 else ("s10 ", "s10 ")
    assert drawn[0].startswith(expected[0])
    assert drawn[-1].startswith(expected[1])
    assert notes(figure).startswith(f"losses of {panels // len(losses)} of 20 spectra")
    assert ("spread over" in notes(figure)) == (len(losses) < 4)


def shapes(figure):
    (found,) = [axes for axes in figure.axes if axes.get_title("left").startswith("Learned levels")]
    return found


@pytest.mark.thorough
def test_levels_of_all_spectra_at_the_middle_steps_by_exponent():
    rows = [*product(EXPONENTS), *product(["short"])]
    figure = sweep_figure(made(rows))
    axes = shapes(figure)
    assert axes.get_title("left") == "Learned levels by spectrum: S = 4, ddim, w2"
    found = lines(axes)
    assert list(found) == ["flat", "middle", "steep", "short"]
    for line in found.values():
        np.testing.assert_allclose(line.get_xdata(), [0, 0.25, 0.5, 0.75])
        np.testing.assert_allclose(line.get_ydata(), np.linspace(-9, 4, 4))
    assert "to no noise (∞), is not drawn" in axes.get_xlabel()
    (bar,) = [axes for axes in figure.axes if "exponent of" in axes.get_ylabel()]
    assert bar.get_ylim() == (0.5, 2.0)
    green = [to_rgba(found[name].get_color())[1] for name in ("flat", "middle", "steep")]
    assert green == sorted(green)
    assert to_rgba(found["short"].get_color()) == to_rgba(GUIDE)
    assert "grey: 1 spectrum too short for a power law" in notes(figure)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(found)


def test_noisy_ends_are_drawn_to_the_end():
    rows = product(["flat", "steep"], alpha_bar_clean=[0.9])
    axes = shapes(sweep_figure(made(list(rows))))
    assert points(lines(axes)["flat"])[-1] == [1.0, 5.0]
    assert "not drawn" not in axes.get_xlabel()


def test_a_spectrum_without_fits_of_the_first_sampler():
    rows = [*product(["flat"]), row("steep", sampler="heun"), failed(spectrum="middle")]
    figure = sweep_figure(made(rows))
    assert list(lines(shapes(figure))) == ["flat"]
    rows = [row("flat"), row("flat", loss="kl"), row("steep"), failed(spectrum="steep", loss="kl")]
    figure = sweep_figure(made(rows))
    empty = [
        axes for axes in figure.axes if "no loss to draw" in [t.get_text() for t in axes.texts]
    ]
    assert [axes.get_title("left") for axes in empty] == ["steep  (exponent 2.00)"]


@pytest.mark.thorough
@pytest.mark.parametrize("spectra", by_default([1, 2, 4, 5, 14, 40], 1, 4))
@pytest.mark.parametrize("losses", [("w2",), ("relative", "kl"), tuple(sx.LOSSES)])
def test_no_text_leaves_the_picture_or_lies_on_another(spectra, losses):
    rows = [
        row(f"a rather long name {k}", s, sampler, 10.0**-s, exponent=1 + k / 9, loss=loss)
        for k, s, sampler, loss in itertools.product(
            range(spectra), STEPS, ("ddim", "heun"), losses
        )
    ]
    figure = sweep_figure(made(rows))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [*figure.texts, *legends(figure)[0].get_texts()]
    for axes in figure.axes:
        texts += [axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis, place in ((axes.xaxis, 0), (axes.yaxis, 1)):
            low, high = sorted(axis.get_view_interval())
            ticks = [t for t in axis.get_ticklabels() if low <= t.get_position()[place] <= high]
            texts += ticks
    boxes = [(t.get_text(), Text.get_window_extent(t)) for t in texts if t.get_text()]
    inside_and_apart(boxes, figure)


@pytest.mark.thorough
@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_equal_pictures_are_equal_files(tmp_path, suffix):
    table = made(list(product(EXPONENTS)))
    first, second = (
        save_figure(sweep_figure(table), tmp_path / f"{k}.{suffix}").read_bytes() for k in "ab"
    )
    assert first == second
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.thorough
def test_drawing_imports_no_pyplot():
    code = (
        "import sys, specjax.report.figures, specjax.report.sweep, specjax.report.recommend\n"
        "assert 'matplotlib' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# The tables


def result(rows, spectra=("flat",), folder=None, fits=None, **axes):
    table = made(rows)
    wanted = Sweep({name: sx.Spectrum([1.0]) for name in spectra}, STEPS, **axes)
    return SweepResult(wanted, folder, table.num_rows if fits is None else fits, [table])


def strict(document):
    return json.loads(json.dumps(document, allow_nan=False))


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")


def cells(text, first):
    (line,) = [line for line in text.splitlines() if line.startswith(f"│ {first} ")]
    return [cell.strip() for cell in line.strip("│").split("│")][1:]


def several(times=(3.0, 7.0, 5.0)):
    """Of the three spectra, cosine is worse than linear, which is ``times`` the learned loss."""
    rows = list(product(EXPONENTS, samplers=["ddim"]))
    for one in rows:
        ratio = dict(zip(EXPONENTS, times, strict=True))[one["spectrum"]]
        one["heuristic_linear"] = ratio * one["value"]
        one["heuristic_cosine"] = (ratio + 1) * one["value"]
    return rows


def test_the_median_over_spectra_of_best_heuristic_over_learned(capsys):
    print_sweep(result(several(), EXPONENTS))
    text = capsys.readouterr().out
    assert text.startswith("sweep: 3 spectra x 3 S x 1 sampler x 1 loss\n9 fits, 9 converged\n")
    assert "best heuristic / learned, median over 3 spectra" in text
    assert cells(text, "ddim") == ["5.00x", "5.00x", "5.00x"]
    assert "best heuristic: linear in 100 %" in text
    assert "wrote" not in text


@pytest.mark.parametrize("error", [0.0, 0.1])
def test_large_gains_of_an_ideal_denoiser_say_so_in_their_line(capsys, error):
    rows = several((300.0, 700.0, 500.0))
    for one in rows:
        one["denoiser_error"] = error
    print_sweep(result(rows, EXPONENTS))
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "500x" in line)
    assert ("ideal denoiser" in line) is (error == 0)


def test_with_one_spectrum_the_learned_loss_is_shown(capsys):
    print_sweep(result(list(product(samplers=["ddim"]))))
    text = capsys.readouterr().out
    assert cells(text, "ddim") == ["4", "1", "0.25"]
    assert "2.00x" in text
    assert "flat, w2" in text


def test_errors_are_counted_and_told_apart(capsys):
    rows = [
        *product(samplers=["ddim"]),
        *(failed(steps=s, sampler="heun") for s in STEPS),
        failed("kl is infinite", loss="kl"),
        row(sampler="heun", value=np.inf),
        row(sampler="heun", value=2.0, converged=False, seed=1),
    ]
    print_sweep(result(rows, fits=4, folder=Path("out")), ["sweep.png"])
    text = capsys.readouterr().out
    assert "9 fits (4 made now, the others kept from before), 3 converged, 1 not converged" in text
    assert "1 not finite, 4 failed\n" in text
    assert "  3 failed: no memory [bold]\n  1 failed: kl is infinite\n" in text
    assert re.search(r"1 not converged: heun.*, w2, S = [0-9]+, on flat\n", text)
    assert cells(text, "heun") == ["-", "2", "-"]
    assert text.endswith(f"wrote {Path('out', 'table')}, sweep.png\n")


def test_a_sweep_that_failed_altogether(capsys):
    bad = result([failed(), failed("other")])
    print_sweep(bad)
    assert "no fit has a finite loss" in capsys.readouterr().out
    found = strict(sweep_json(bad))
    assert found["losses"] == []
    assert found["counts"]["failed"] == 2


def test_at_most_eight_columns(capsys):
    rows = [row(name, s) for name in EXPONENTS for s in range(1, 31)]
    print_sweep(result(rows, EXPONENTS))
    text = capsys.readouterr().out
    assert len(cells(text, "ddim")) == 8
    assert "S = 1 " in text
    assert "S = 30 " in text
    assert "8 of 30 S shown" in text


def test_sweep_json():
    rows = several()
    rows[0]["value"] = 0.0  # a ratio that is no number
    rows += [failed(steps=16)]
    found = strict(sweep_json(result(rows, EXPONENTS, folder=Path("out")), ["a.png"]))
    assert found["axes"]["spectra"] == 3
    assert found["counts"] == {
        "fits": 10, "converged": 9, "not_converged": 0, "not_finite": 0, "failed": 1,
        "made_now": 10,
    }  # fmt: skip
    assert found["errors"] == [{"error": "no memory [bold]", "fits": 1}]
    assert found["files"] == [str(Path("out", "table")), "a.png"]
    ((loss),) = found["losses"]
    (sampler,) = loss["samplers"]
    assert (loss["loss"], sampler["sampler"], sampler["sampler_options"]) == ("w2", "ddim", {})
    first, second, _ = sampler["steps"]
    # The first of S = 2, 'steep', has a loss of 0; the ratios of the others are 7 and 5.
    assert first == {
        "steps": 2, "fits": 3, "median_loss": 4.0, "median_best_heuristic_over_learned": 6.0
    }  # fmt: skip
    assert second["median_best_heuristic_over_learned"] == pytest.approx(5.0)


def test_without_a_heuristic_there_is_no_ratio(capsys):
    rows = [row(heuristic_linear=np.nan, heuristic_cosine=np.inf)]
    found = strict(sweep_json(result(rows)))
    assert found["losses"][0]["samplers"][0]["steps"][0][
        "median_best_heuristic_over_learned"
    ] is None  # fmt: skip
    print_sweep(result(rows))
    assert "no heuristic has a finite loss" in capsys.readouterr().out
    (axes,) = sweep_figure(made(rows)).axes
    assert points(lines(axes)["ddim"]) == [[4, 1.0]]


def recommended(sampler="heun", reached=True, steps=4, calls=7, value=0.4, **more):
    return Recommendation(
        **{
            "sampler": sampler, "sampler_options": {}, "reached": reached, "steps": steps,
            "calls": calls, "schedule": sx.NoiseSchedule([-9.0, 0.0, np.inf]), "value": value,
            "converged": True, "best_heuristic": "cosine", "best_heuristic_value": 0.9,
            "share": 0.02, **more,
        }
    )  # fmt: skip


def test_the_answer_comes_first(capsys):
    rows = [
        recommended(),
        recommended("ddim", steps=8, calls=8, sampler_options={"eta": 0.5}, converged=False),
        recommended("ddpm", False, 64, 64, 0.7),
    ]
    print_recommendations(rows, 0.5, "w2")
    text = capsys.readouterr().out
    assert text.splitlines()[0] == (
        "heun reaches w2 = 0.5 with 4 steps (7 denoiser calls); the best heuristic there, cosine, "
        "has 0.9"
    )
    assert cells(text, "heun") == ["4", "7", "0.4", "2 %", "cosine", "0.9", "reached"]
    assert cells(text, "ddpm")[-1] == "not reached"
    assert "ddim (eta = 0.5)" in text
    assert "NOT" in text


def test_when_none_reaches_the_nearest_is_named(capsys):
    print_recommendations([recommended("ddpm", False, 64, 64, 0.7)], 0.5)
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "no sampler reaches w2 = 0.5: the nearest is ddpm with 0.7 at 64 steps"
    print_recommendations([], 0.5)
    assert capsys.readouterr().out == "no sampler has a finite w2\n"


def test_recommendations_json():
    rows = [
        recommended(best_heuristic_value=np.nan, amplification=2.5, denoiser_error=0.1),
        recommended("ddpm", False),
    ]
    found = strict(recommendations_json(rows, 0.5))
    assert (found["target"], found["reached"]) == (0.5, True)
    assert found["rows"][0] == {
        "sampler": "heun", "sampler_options": {}, "reached": True, "steps": 4,
        "denoiser_calls": 7, "value": 0.4, "converged": True, "best_heuristic": "cosine",
        "best_heuristic_value": None, "amplification": 2.5, "denoiser_error": 0.1,
        "share": 0.02, "logsnr": [-9.0, 0.0, "inf"],
    }  # fmt: skip
    assert found["rows"][1]["amplification"] is None


def test_recommendations_warn_of_what_a_network_may_not_follow(capsys):
    print_recommendations([recommended(amplification=7.0), recommended("ddpm")], 0.5, "w2")
    text = capsys.readouterr().out
    assert "heun: a network may not follow" in text
    assert " 7 times " in text
    assert "--denoiser-error 0.1" in text
    print_recommendations([recommended(amplification=7.0, denoiser_error=0.1)], 0.5, "w2")
    text = capsys.readouterr().out
    assert "error of 0.1" in text.splitlines()[0]
    assert "may not follow" in text
    assert "--denoiser-error" not in text
    print_recommendations([recommended(amplification=1.5)], 0.5, "w2")
    assert "may not follow" not in capsys.readouterr().out
    assert strict(recommendations_json([], 0.5)) == {"target": 0.5, "reached": False, "rows": []}
