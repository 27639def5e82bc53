"""Numbers that nothing can count, hold or square: one line that names the option, at once.

N in a command of HUGE is a count or a size without bounds. Commands of WILD have floats whose
squares are none; see :data:`specjax._core.checks.MOST`.
"""

import functools
import time

import numpy as np
import pytest
from checks import one_line
from test_cli_mistakes import everything, folder  # noqa: F401

import specjax as sx
from specjax._core import checks, distributed

COUNTS = ["99999999999999999999", "1000000000000", "1000000001"]
AT_ONCE = 10.0  # seconds: nothing was allocated, and nothing compiled

# By command: what is typed after its name, and what the message names.
HUGE = {
    "fit": [
        ("law.npz --steps N", "steps"),
        ("law.npz --steps 3 --restarts N", "restarts"),
        ("digits --steps 3 --limit N", "limit"),
        ("digits --steps 3 --shard 0 N", "shard"),
        ("mixed --steps 3 --size N", "size"),
        ("mixed --steps 3 --size 8 N", "size"),
        ("sound-folder --steps 3 --rate N --window 16", "rate"),
        ("sound-folder --steps 3 --rate 8000 --window N", "window"),
        ("sound-folder --steps 3 --rate 8000 --window 16 --hop N", "hop"),
        ("digits --steps 3 --method low-rank --rank N", "rank"),
        ("law.npz --steps 3 --sampler lms --sampler-options order=N", "order"),
    ],
    "compare": [("law.npz --steps 3 N", "steps")],
    "spectrum": [("digits --bootstrap N", "bootstrap"), ("digits --spatial N", "spatial")],
    "recommend": [("law.npz --target-loss 1e-9 --max-steps N", "max_steps")],
    "learn": [
        ("law.npz --steps N", "steps"),
        ("law.npz --steps 3 --n N", "n = "),
        ("law.npz --steps 3 --batch N", "batch"),
        ("law.npz --steps 3 --max-iterations N", "max_iterations"),
        ("law.npz --steps 3 --memory N", "memory"),
        ("run --steps 3 --samples N", "samples"),
    ],
    "train": [
        ("digits --out t --updates N", "updates"),
        ("digits --out t --batch N", "batch"),
        ("digits --out t --batch N --accumulate N", "batch"),
        ("digits --out t --width N", "width"),
        ("digits --out t --width 16384", "width = 16384 needs"),
        ("digits --out t --multipliers N", "multipliers"),
        ("digits --out t --blocks N", "blocks"),
        ("digits --out t --head N", "head"),
        ("digits --out t --attention N", "attention"),
        ("digits --out t --warmup N", "warmup"),
        ("digits --out t --checkpoint-every N", "checkpoint_every"),
        ("digits --out t --sample-steps N", "sample_steps"),
        ("digits --out t --sample-count N", "sample_count"),
        ("digits --out t --model-devices N", "model_devices"),
    ],
    "train-features": [
        ("digits --width N", "width"),
        ("digits --feature-count N", "feature_count"),
        ("digits --updates N", "updates"),
        ("digits --batch N", "batch"),
        ("digits --translate N", "translate"),
    ],
    "sample": [
        ("r --n N", "n = "),
        ("r --steps N", "steps"),
        ("r --batch N", "batch"),
        ("r --devices N", "devices"),
        ("conditional --labels N", "labels"),
    ],
    "probe": [
        ("grid --n N", "n = "),
        ("grid --levels N", "levels"),
        ("grid --batch N", "batch"),
    ],
    "evaluate": [
        ("images.npy --against images.npy --splits N", "splits"),
        ("images.npy --against images.npy --pca N", "pca"),
        ("r --against images.npy --data-range -1 1 --seeds N", "seeds"),
        ("r --against images.npy --data-range -1 1 --steps N", "steps"),
    ],
}

WILD = {
    "fit": [
        ("digits --steps 3 --alpha-bar-range 1e-320 1", "alpha_bar_range"),
        ("digits --steps 3 --data-range 0 1e308", "data_range"),
        ("digits --steps 3 --data-range -1e308 1e308", "data_range"),
        ("far.npy --steps 3", "sample(s)"),
        ("far.npy --steps 3 --method shift-invariant", "sample(s)"),
        ("far.npy --steps 3 --data-range -1e201 1e201", "data_range"),
        ("digits --steps 3 --floor 1e308", "floor"),
        ("digits --steps 3 --floor 1e-320", "floor"),
        ("law.npz --steps 3 --denoiser-error 1e308", "denoiser_error"),
        ("digits --steps 3 --noise power-law --noise-exponent -1000", "weights"),
        ("digits --steps 3 --noise power-law --noise-exponent 1e308", "exponent"),
        ("digits --steps 3 --noise power-law --noise-r0 1e308", "r0"),
        ("digits --steps 3 --noise power-law --noise-r0 1e-320", "weights"),
        ("digits --steps 3 --noise exponential --noise-decay -1e4", "weights"),
        ("digits --steps 3 --noise power-law --noise-offset 1e308", "offset"),
        ("digits --steps 3 --noise two-band --noise-gains 1e308 1", "gains"),
        ("law.npz --steps 3 --sampler dpmpp_2m_sde --sampler-options eta=1e308", "eta"),
    ],
    "compare": [
        ("law.npz --steps 1 --schedule 1e308,1e-308", "logsnr"),
        ("law.npz --steps 1 --schedule 1e160,1", "logsnr"),
    ],
    "recommend": [("law.npz --target-loss 1e-320", "target_loss")],
    "learn": [("law.npz --steps 3 --teacher-tolerance 1e-320", "teacher_tolerance")],
    "train": [
        ("digits --out t --learning-rate 1e308", "learning_rate"),
        ("digits --out t --weight-decay 1e308", "weight_decay"),
        ("digits --out t --clip 1e-320", "clip"),
        ("digits --out t --corrupt 0.4 0.6 --corrupt-std 1e308", "std"),
    ],
    "probe": [("grid --logsnr-range -1e308 1", "logsnr")],
    "export": [("list.txt --to csv --shift 1e308", "shift")],
}

# A line of a sweep file, or what replaces one of SWEEP, and what the message names.
SWEEP = {"spectra": "[{ power_law = [1.0], dimension = 9 }]", "steps": "[2]"}
SWEEPS = [
    ({"steps": "[99999999999999999999]"}, "64 bits"),
    ({"steps": "[1000000001]"}, "steps"),
    ({"spectra": "[{ power_law = [1.0], dimension = 99999999999 }]"}, "dimension"),
    ({"spectra": "[{ power_law = [-1e308], dimension = 9 }]"}, "eigenvalues"),
    ({"restarts": "100000000"}, "restarts"),
    ({"nodes": "9999999999999"}, "nodes"),
    ({"max_iterations": "99999999999"}, "max_iterations"),
    ({"tolerance": "1e-320"}, "tolerance"),
    ({"samplers": '[{ name = "lms", order = 1000000 }]'}, "order"),
    ({"samplers": '[{ name = "ddim", eta = [1e308] }]'}, "eta"),
    ({"restarts": "4", "seeds": "[99999999999999]"}, "seeds"),
    ({"alpha_bar_ranges": "[[1e-320, 1.0]]"}, "alpha_bar_range"),
    ({"floor": "1e308"}, "floor"),
    ({"denoiser_error": "1e308"}, "denoiser_error"),
]


@pytest.fixture
def wild(folder):  # noqa: F811
    rng = np.random.default_rng(0)
    np.save(folder / "far.npy", 1e200 * rng.normal(size=(20, 4)))
    (folder / "sound-folder").mkdir()
    import soundfile

    soundfile.write(folder / "sound-folder" / "a.wav", rng.uniform(-1, 1, 64), 8000)
    return folder


def check(run, folder, command, args, named):  # noqa: F811
    before, clock = everything(folder), time.perf_counter()
    code, out, err = run(command, *args.split())
    took = time.perf_counter() - clock
    assert (code, out) == (2, ""), (args, out, err)
    assert err.startswith("specjax: "), (args, err)
    assert err.count("\n") == 1, (args, err)
    assert named in err, (args, err)
    assert took < AT_ONCE, (args, took)
    assert everything(folder) == before, args


@pytest.mark.thorough
@pytest.mark.parametrize("command", HUGE)
def test_a_huge_count_is_one_line_at_once(run, wild, command):
    for args, named in HUGE[command]:
        for count in COUNTS:
            check(run, wild, command, args.replace("N", count), named)


@pytest.mark.thorough
@pytest.mark.parametrize("command", WILD)
def test_a_wild_float_is_one_line_at_once(run, wild, command):
    for args, named in WILD[command]:
        check(run, wild, command, args, named)


def test_a_sweep_of_huge_numbers_is_one_line_at_once(run, wild):
    for lines, named in SWEEPS:
        text = "".join(f"{name} = {value}\n" for name, value in {**SWEEP, **lines}.items())
        (wild / "s.toml").write_text(text)
        check(run, wild, "sweep", "s.toml", named)


SPECTRUM = sx.Spectrum([4.0, 1.0, 0.25])
LEVELS = sx.NoiseSchedule([-8.0, 0.0, np.inf])
MANY = 10**400  # no float either

noise = functools.partial(sx.fit_noise, SPECTRUM, 3, family="exponential", basis="data")

# What is called in Python only, and what the message names.
CALLS = {
    "family": (lambda: sx.family("cosine", MANY), "steps"),
    "karras": (lambda: sx.family("karras", 3, rho=MANY), "rho"),
    "fit": (lambda: sx.fit(SPECTRUM, MANY), "steps"),
    "nodes": (lambda: sx.fit(SPECTRUM, 3, nodes=MANY), "nodes"),
    "tolerance": (lambda: sx.fit(SPECTRUM, 3, tolerance=MANY), "tolerance"),
    "memory of a fit": (lambda: sx.fit(SPECTRUM, 10_000, restarts=1024), "steps"),
    "fit_noise": (lambda: noise(restarts=MANY), "restarts"),
    "spectral": (lambda: sx.spectral(SPECTRUM, MANY), "steps"),
    "lms": (lambda: sx.lms(order=MANY), "order"),
    "power law": (lambda: sx.Spectrum.power_law(10**15, 1.0), "dimension"),
    "scale": (lambda: sx.Spectrum.power_law(9, 1.0, 1e200), "scale"),
    "learn": (lambda: sx.learn(SPECTRUM, MANY), "steps"),
    "memory of learning": (lambda: sx.learn(SPECTRUM, 3, n=10**9), "n = "),
    "memory of plans": (lambda: sx.learn(SPECTRUM, 10_000, memory=2), "steps"),
    "steep power law": (lambda: sx.Spectrum.power_law(100, -1000.0), "eigenvalues"),
    "eigenvalues": (lambda: sx.Spectrum([1e200]), "eigenvalues"),
    "mean": (lambda: sx.Spectrum([1.0], [-1e200]), "mean"),
    "levels": (lambda: sx.NoiseSchedule([-1e3, 0.0]), "logsnr"),
    "devices": (lambda: distributed.use_all_cores(MANY), "devices"),
    "memory of samples": (
        lambda: sx.generate(sx.plan("ddim", LEVELS), sx.wiener(SPECTRUM), 10**9, (10**6,)), "n = "
    ),
    "seed": (lambda: sx.fit(SPECTRUM, 3, seed=MANY), "seed"),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_a_call_with_huge_numbers_is_refused_at_once(monkeypatch, call):
    monkeypatch.setattr(checks, "machine_memory", lambda: 2**30)
    function, named = CALLS[call]
    clock = time.perf_counter()
    assert named in one_line(function)
    assert time.perf_counter() - clock < AT_ONCE
