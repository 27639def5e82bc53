"""Exported forms: what they hold, read back without specjax, and the traps of other software."""

import io
import json
import math
import re

import numpy as np
import pytest
from scipy.special import expit

from specjax import NoiseSchedule, Spectrum, spectral
from specjax.fitting.learned import LearnedResult
from specjax.gaussian.modes import modes_of
from specjax.interop.export import TARGETS, export
from specjax.schedules.families import family as heuristic
from specjax.schedules.grids import TrainingGrid

LAMBDA, MU = np.geomspace(20.0, 1e-3, 6), np.linspace(-1, 1, 6)
SPECTRUM = Spectrum(LAMBDA, mean=MU)
SD_BETAS = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
SD_ALPHA_BAR = np.cumprod(1 - SD_BETAS)
SD_SIGMAS = np.sqrt((1 - SD_ALPHA_BAR) / SD_ALPHA_BAR)
RANGE = (float(SD_ALPHA_BAR[-1]), 1.0)


def fitted(schedule, sampler="ddim", process="vp", **options):
    return LearnedResult(
        schedule=schedule, value=2.5, history=np.ones(1), sampler=sampler, process=process,
        alpha_bar_range=RANGE, nodes=modes_of(SPECTRUM), node_value=2.5, sampler_options=options,
    )  # fmt: skip


def learned(steps):
    return spectral(SPECTRUM, steps, alpha_bar_range=RANGE)


def w2_of_ddim(sigmas):
    """Closed form: product of cosines of angle differences; the last sigma is 0."""
    phi = np.arctan(np.asarray(sigmas)[:, None] / np.sqrt(LAMBDA))
    gain = np.sqrt(1 + sigmas[0] ** 2) * np.cos(phi[0]) * np.cos(-np.diff(phi, axis=0)).prod(0)
    mean_gain = 1 - gain / math.sqrt(1 + sigmas[0] ** 2)
    return float(((np.sqrt(LAMBDA) - gain) ** 2 + ((mean_gain - 1) * MU) ** 2).sum())


def diffusers_form(schedule, grid="sd", **options):
    return json.loads(export(schedule, "diffusers", grid=grid, **options).content)


# The traps of handing a schedule on, in their order.


def test_1_whole_timesteps_are_reoptimised_and_their_losses_reported():
    levels = learned(12)
    document = diffusers_form(fitted(levels))
    timesteps, rounded = document["timesteps"], document["timesteps_rounded"]
    assert all(isinstance(t, int) and 0 <= t < 1000 for t in timesteps)
    assert (np.diff(timesteps) < 0).all()
    losses = document["losses"]
    assert losses["sigmas"] == pytest.approx(w2_of_ddim(levels.sigmas), rel=1e-6)
    for name, chosen in (("timesteps_rounded", rounded), ("timesteps", timesteps)):
        expected = w2_of_ddim(np.append(SD_SIGMAS[chosen], 0.0))
        assert losses[name] == pytest.approx(expected, rel=1e-6)
    assert losses["timesteps"] <= losses["timesteps_rounded"]


def test_1_crowded_levels_do_not_make_duplicates():
    crowded = NoiseSchedule.from_sigmas(
        [*np.geomspace(14.6, 0.2, 5), *np.geomspace(0.1, 0.03, 9), 0]
    )
    document = diffusers_form(crowded)
    nearest = [int(np.abs(np.log(SD_SIGMAS / s)).argmin()) for s in document["sigmas"][:-1]]
    assert len(set(nearest)) < 14
    assert (np.diff(document["timesteps"]) < 0).all()
    assert any("would have repeated" in note for note in document["notes"])
    assert document["losses"]["timesteps"] is None  # a bare schedule has no loss


@pytest.mark.thorough
def test_2_each_form_says_which_timestep_it_means():
    levels = learned(6)
    document = diffusers_form(fitted(levels))
    log_sigmas = np.log(SD_SIGMAS)
    table = export(levels, "csv", grid="sd").content.splitlines()
    interpolated = [float(line.split(",")[-1]) for line in table[1:-1]]
    expected = np.interp(np.log(levels.sigmas[:-1]), log_sigmas, np.arange(1000))
    np.testing.assert_allclose(interpolated, expected, atol=1e-6)
    assert document["scheduler"]["set_timesteps"] == "sigmas"  # Euler interpolates
    assert diffusers_form(fitted(levels, "ddpm"))["scheduler"]["set_timesteps"] == "timesteps"
    assert any("nearest timestep" in note for note in export(levels, "comfyui", grid="sd").notes)


@pytest.mark.parametrize("target", ["diffusers", "k-diffusion", "comfyui"])
def test_3_sigmas_outside_the_networks_range_are_clipped_and_it_is_said(target):
    wide = NoiseSchedule.from_sigmas([80.0, 5.0, 1.0, 0.01, 0.0])
    form = export(wide, target, grid="sd")
    listed = re.findall(r"\d+\.\d+", form.content) if target == "comfyui" else None
    sigmas = [float(s) for s in listed] if listed else json.loads(form.content)["sigmas"]
    expected = [SD_SIGMAS[-1], 5.0, 1.0, SD_SIGMAS[0], 0.0]
    np.testing.assert_allclose(sigmas, expected, rtol=1e-6)
    assert "2 level(s) clipped to the range of grid 'sd'" in form.notes[0]
    free = export(wide, target, grid=None)
    assert "level(s) clipped" not in " ".join(free.notes)
    assert "80.0" in free.content


def test_3_levels_that_clipping_would_merge_stay_apart():
    wide = NoiseSchedule.from_sigmas([80.0, 40.0, 20.0, 5.0, 1.0, 0.0])
    document = diffusers_form(wide)
    np.testing.assert_allclose(
        document["sigmas"][:4], np.geomspace(SD_SIGMAS[-1], 5.0, 4), rtol=1e-9
    )
    assert any("spread over the gap" in note for note in document["notes"])


@pytest.mark.thorough
def test_4_and_9_steps_are_intervals_and_each_target_gets_its_own_length():
    result = fitted(learned(7))
    document = diffusers_form(result)
    assert document["steps"] == 7
    assert [len(document[k]) for k in ("sigmas", "timesteps", "flow_sigmas")] == [8, 7, 7]
    assert document["sigmas"][-1] == 0.0
    assert 0 < min(document["flow_sigmas"]) < max(document["flow_sigmas"]) <= 1
    sigmas = json.loads(export(result, "k-diffusion", grid="sd").content)["sigmas"]
    assert (len(sigmas), sigmas[-1]) == (8, 0.0)
    text = export(result, "comfyui", grid="sd").content
    assert text.count(",") == 7
    assert text.endswith(", 0.0\n")
    assert export(result, "csv", grid="sd").content.count("\n") == 1 + 8


@pytest.mark.thorough
def test_4_no_zero_is_written_where_the_schedule_does_not_end_clean():
    stops = NoiseSchedule.from_sigmas([14.0, 2.0, 0.5])
    for target in ("diffusers", "k-diffusion"):
        form = export(stops, target, grid="sd")
        np.testing.assert_allclose(json.loads(form.content)["sigmas"], [14.0, 2.0, 0.5])
        assert any("stops at sigma 0.5" in note for note in form.notes)
    assert export(stops, "comfyui", grid="sd").content == "14.0, 2.0, 0.5\n"
    result = fitted(stops)
    document = diffusers_form(result)
    meant = np.append(SD_SIGMAS[document["timesteps"]], 0.0)
    assert document["losses"]["timesteps"] == pytest.approx(w2_of_ddim(meant), rel=1e-6)
    assert any("end at sigma 0 all the same" in note for note in document["notes"])


@pytest.mark.thorough
@pytest.mark.parametrize(("process", "start"), [("vp", 14.6488), ("ve", 14.6146)])
def test_5_the_start_is_part_of_the_form(process, start):
    result = fitted(learned(5), process=process)
    scheduler = diffusers_form(result)["scheduler"]
    assert scheduler["init_noise_sigma"] == pytest.approx(start, abs=1e-3)
    assert (
        scheduler["arguments"]["timestep_spacing"] == {"vp": "leading", "ve": "linspace"}[process]
    )
    form = json.loads(export(result, "k-diffusion", grid="sd").content)
    assert form["start_std"] == pytest.approx(start, abs=1e-3)
    ddpm = diffusers_form(fitted(learned(5), "ddpm", process))
    assert ddpm["scheduler"]["init_noise_sigma"] == 1.0
    assert any("starts from unit noise in VP" in n for n in ddpm["notes"]) == (process == "ve")


@pytest.mark.parametrize("target", TARGETS)
def test_6_no_form_can_be_mistaken_for_training_betas(target):
    form = export(fitted(learned(5)), target, grid="sd")
    assert any("do not pass them as trained_betas" in note for note in form.notes)
    if isinstance(form.content, str):
        names = re.findall(r'"(\w+)":', form.content)
        assert not {"betas", "trained_betas"} & set(names)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("sampler", "options", "scheduler", "function"),
    [
        ("ddim", {}, "EulerDiscreteScheduler", "sample_euler"),
        ("ddim", {"eta": 1.0}, "DDPMScheduler", "sample_euler_ancestral"),
        ("ddim", {"eta": 0.5}, None, "sample_euler_ancestral"),
        ("euler_ancestral", {}, "DDPMScheduler", "sample_euler_ancestral"),
        ("ddpm", {}, "DDPMScheduler", "sample_euler_ancestral"),
        ("ddpm", {"variance": "beta"}, "DDPMScheduler", None),
        ("heun", {}, "HeunDiscreteScheduler", "sample_heun"),
        ("dpmpp_2m", {}, "DPMSolverMultistepScheduler", "sample_dpmpp_2m"),
        ("dpmpp_2m_sde", {}, "DPMSolverMultistepScheduler", "sample_dpmpp_2m_sde"),
        ("lms", {"order": 3}, None, "sample_lms"),
    ],
)
def test_7_the_sampler_is_part_of_the_form(sampler, options, scheduler, function):
    result = fitted(learned(4), sampler, **options)
    document = diffusers_form(result)
    assert (document["sampler"], document["sampler_options"]) == (sampler, options)
    assert (document["scheduler"] or {"class": None})["class"] == scheduler
    refused = [note for note in document["notes"] if "no scheduler of diffusers" in note]
    assert bool(refused) == (scheduler is None)
    form = json.loads(export(result, "k-diffusion", grid="sd").content)
    assert form["function"] == function
    assert form["sampler"] == sampler
    if function in ("sample_euler_ancestral", "sample_dpmpp_2m_sde"):
        assert form["arguments"]["eta"] == options.get("eta", 1.0)
    bare = export(learned(4), "k-diffusion", grid="sd")
    assert json.loads(bare.content)["sampler"] is None
    assert any("no sampler is recorded" in note for note in bare.notes)


@pytest.mark.thorough
def test_8_a_wrong_scale_of_the_data_shifts_the_schedule_and_the_form_warns():
    scale, noisy, clean = 255 / 2, -6.0, 9.0
    shift = -2 * math.log(scale)
    ours = spectral(SPECTRUM, 8, alpha_bar_range=(expit(noisy), expit(clean)))
    ends = (expit(noisy + shift), expit(clean + shift))
    wrong = spectral(Spectrum(LAMBDA * scale**2), 8, alpha_bar_range=ends)
    np.testing.assert_allclose(wrong.logsnr, ours.logsnr + shift, rtol=1e-6)
    assert any("every logsnr by -2 log c" in n for n in diffusers_form(fitted(ours))["notes"])


@pytest.mark.thorough
def test_10_clipping_of_samples_is_switched_off_where_it_is_on_by_default():
    for sampler in ("ddpm", "heun"):
        arguments = diffusers_form(fitted(learned(3), sampler))["scheduler"]["arguments"]
        assert arguments["clip_sample"] is False
    assert diffusers_form(fitted(learned(3), "dpmpp_2m"))["scheduler"]["arguments"][
        "thresholding"
    ] is False  # fmt: skip


# The forms.


def test_comfyui_reads_the_same_numbers_back():
    levels = NoiseSchedule.from_sigmas([14.0, 1.0, 0.001, 2.5e-7, 0.0])
    text = export(levels, "comfyui", grid=None).content
    # ManualSigmas: re.findall(r"[-+]?(?:\d*\.*\d+)", sigmas), then float().
    read = [float(x) for x in re.findall(r"[-+]?(?:\d*\.*\d+)", text)]
    np.testing.assert_allclose(read, levels.sigmas, rtol=1e-7)
    assert "e" not in text


def test_stable_diffusion_cpp_reads_the_same_numbers_back():
    levels = NoiseSchedule.from_sigmas([14.0, 1.0, 2.5e-7, 0.0])
    form = export(levels, "stable-diffusion.cpp", grid=None)
    assert form.content == "14.0,1.0,0.00000025,0.0\n"
    assert any("--steps 3" in note for note in form.notes)


@pytest.mark.parametrize("target", ["comfyui", "stable-diffusion.cpp", "k-diffusion"])
def test_lists_for_flow_matching_are_times(target):
    levels = NoiseSchedule([-np.inf, 0.0, np.inf])
    form = export(levels, target, grid={"shift": 3.0})
    if target == "k-diffusion":
        document = json.loads(form.content)
        assert (document["sigmas"], document["start_std"]) == ([1.0, 0.5, 0.0], 1.0)
    else:
        assert form.content.replace(" ", "") == "1.0,0.5,0.0\n"
    assert any("times of flow" in note for note in form.notes)
    for sampler, function in (("ddim", "sample_euler"), ("dpmpp_2m", None)):
        document = json.loads(export(fitted(levels, sampler), "k-diffusion", grid="flow").content)
        assert document["function"] == function


def test_csv_is_read_back_by_numpy():
    levels = learned(5)
    table = np.genfromtxt(
        io.StringIO(export(levels, "csv", grid="sd").content), delimiter=",", names=True
    )
    assert table.dtype.names == ("step", "logsnr", "alpha_bar", "sigma_ve", "flow_time", "timestep")
    np.testing.assert_array_equal(table["logsnr"], levels.logsnr)
    np.testing.assert_allclose(table["alpha_bar"], expit(levels.logsnr), rtol=1e-14)
    np.testing.assert_allclose(table["sigma_ve"], np.exp(-levels.logsnr / 2), rtol=1e-14)
    sigma = np.exp(-levels.logsnr / 2)
    np.testing.assert_allclose(table["flow_time"], sigma / (1 + sigma), rtol=1e-14)
    assert np.isnan(table["timestep"][-1])


def test_npz_is_read_back_without_pickle():
    result = fitted(learned(5), "ddim", eta=0.5)
    form = export(result, "npz", grid="sd")
    with np.load(io.BytesIO(form.content), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["logsnr"], result.schedule.logsnr)
        assert arrays["logsnr"].dtype == np.float64
        about = json.loads(str(arrays["about"]))
    assert (about["sampler"], about["sampler_options"], about["steps"]) == ("ddim", {"eta": 0.5}, 5)


def test_json_is_strict_and_plain():
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    levels = learned(5)
    form = json.loads(export(levels, "json", grid="sd").content, parse_constant=refuse)
    assert form["logsnr"][-1] == "inf"
    np.testing.assert_array_equal([float(x) for x in form["logsnr"]], levels.logsnr)
    assert form["timestep"][-1] is None
    assert form["order"] == "noisy to clean"
    assert form["notes"]


def test_plain_forms_keep_levels_outside_the_grid_and_say_so():
    wide = NoiseSchedule.from_sigmas([80.0, 5.0, 0.0])
    form = export(wide, "csv", grid="sd")
    rows = [line.split(",") for line in form.content.splitlines()[1:]]
    assert float(rows[0][3]) == pytest.approx(80.0)
    assert float(rows[0][5]) == 999.0
    assert any("are kept; their timesteps are clamped" in note for note in form.notes)
    assert "timestep" not in export(wide, "csv", grid=None).content


def test_a_grid_of_ones_own():
    own = TrainingGrid.from_betas("mine", np.linspace(1e-3, 0.1, 100))
    document = diffusers_form(fitted(heuristic("cosine", 6, alpha_bar_range=(0.01, 1.0))), own)
    assert document["grid"]["name"] == "mine"
    assert max(document["timesteps"]) < 100
    trained = TrainingGrid.from_config("mine", {"trained_betas": np.linspace(1e-3, 0.1, 100)})
    again = diffusers_form(fitted(heuristic("cosine", 6, alpha_bar_range=(0.01, 1.0))), trained)
    assert again["timesteps"] == document["timesteps"]


def test_without_a_grid_only_schedulers_of_sigmas_remain():
    assert diffusers_form(fitted(learned(3)), None)["scheduler"]["set_timesteps"] == "sigmas"
    document = diffusers_form(fitted(learned(3), "heun"), None)
    assert document["scheduler"] is None
    assert "timesteps" not in document


@pytest.mark.parametrize("steps", [1, 2, 40])
@pytest.mark.parametrize("target", TARGETS)
def test_every_target_takes_every_number_of_steps(target, steps):
    form = export(learned(steps), target, grid="sd")
    assert form.target == target
    assert form.suffix.startswith(".")
    assert all("\n" not in note for note in form.notes)
    if target in ("diffusers", "k-diffusion"):
        sigmas = json.loads(form.content)["sigmas"]
        np.testing.assert_allclose(sigmas, np.exp(-learned(steps).logsnr / 2), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: export(learned(3), "diffuser"), ("to = 'diffuser'",)),
        (
            lambda: export(learned(3), "csv", grid="sdxl"),
            ("grid = 'sdxl'", "cosine, ddpm, flow, sd"),
        ),
        (lambda: export(learned(3), "diffusers", shift=0.0), ("shift = 0.0",)),
        (
            lambda: export(NoiseSchedule(np.linspace(-5, 5, 1202)), "diffusers", grid="sd"),
            ("steps = 1201", "1000 levels"),
        ),
        (
            lambda: export(NoiseSchedule.from_sigmas([900, 300, 0]), "comfyui", grid="sd"),
            ("outside the range of grid 'sd'",),
        ),
    ],
)
def test_bad_input_gets_one_line(call, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
