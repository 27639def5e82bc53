"""Training from end to end, on a network so small that it learns little in seconds."""

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint
import pytest
from checks import one_line

import specjax as sx
from specjax._core.checks import UserError
from specjax.files import checksum
from specjax.nn import (
    KeepingConfig,
    ModelConfig,
    OptimiserConfig,
    TrainConfig,
    open_run,
    train,
)
from specjax.nn.checkpoints import named, open_checkpoints
from specjax.nn.denoiser import untrained
from specjax.nn.monitor import picture, read_metrics
from specjax.nn.run import read_run
from specjax.nn.start import locked

CONFIG = TrainConfig(
    model=ModelConfig(width=8, multipliers=(1,), conditional=True),
    optimiser=OptimiserConfig(updates=40, batch=16, warmup=5),
    keeping=KeepingConfig(
        checkpoint_every=10, log_every=5, samples_every=20, sample_steps=2, sample_count=4
    ),
)
DATA = sx.data.open("digits", limit=200)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return train(DATA, folder, CONFIG)


def parameters(folder, step="last"):
    return named(open_run(folder, step).network.params)


def assert_same_parameters(folder, other):
    a, b = parameters(folder), parameters(other)
    assert a.keys() == b.keys()
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=name)


@pytest.mark.thorough
def test_what_a_run_leaves(trained):
    lines = read_metrics(trained.folder)
    assert [line["step"] for line in lines if "loss" in line] == list(range(5, 41, 5))
    validation = {
        line["step"]: line["validation_loss"] for line in lines if "validation_loss" in line
    }
    assert trained.step == min(validation, key=validation.get)
    with open_checkpoints(trained.folder, read_only=True) as kept:
        assert kept.steps == sorted({trained.step, 40})
    # AdamW's rate after a warm-up of 5 and a cosine over the other 35.
    rates = {line["step"]: line["learning_rate"] for line in lines if "loss" in line}
    assert rates[5] == pytest.approx(2e-3 * 5 / 6)
    assert rates[40] == pytest.approx(1e-3 * (1 + np.cos(np.pi * 34 / 35)), rel=1e-4)
    assert sorted(p.name for p in (trained.folder / "samples").iterdir()) == [
        "0000020.png", "0000040.png",
    ]  # fmt: skip
    assert list((trained.folder / "tensorboard").glob("events*"))
    assert (trained.shape, trained.classes, trained.source["name"]) == ((8, 8), 10, "digits")
    assert trained.versions["jax"] == jax.__version__


@pytest.mark.thorough
def test_sigma_data_is_the_root_mean_square(trained):
    samples = np.asarray(DATA.samples, np.float64) / 8 - 1
    # The covariance divides by N - 1.
    assert trained.network.sigma_data == pytest.approx(np.sqrt(np.mean(samples**2)), rel=2e-3)


@pytest.mark.thorough
def test_metrics_are_for_tensorboard_too(trained):
    written = b"".join(p.read_bytes() for p in (trained.folder / "tensorboard").glob("events*"))
    for name in (b"loss", b"validation_loss", b"samples_per_second", b"PNG"):
        assert name in written


# Another process that trains the same, and stops or is stopped.
AGAIN = """
import sys, os
import specjax as sx
from specjax.nn import *
from specjax.nn.config import TrainConfig
import json
config = TrainConfig.from_dict(json.loads(sys.argv[2]))
{before}
train(sx.data.open("digits", limit=200), sys.argv[1], config{options})
"""


def start(folder, config=CONFIG, *, before="", options="", **environment):
    code = AGAIN.format(before=before, options=options)
    document = json.dumps(config.to_dict())
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), document],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip


SLOWLY = """
import time
import specjax.nn.training as module
whole = module._Trainer._report
def report(self, *args):
    whole(self, *args)
    time.sleep(0.3)
module._Trainer._report = report
"""


@pytest.mark.slow
@pytest.mark.parametrize("at", [12, 22, 31])
def test_killed_at_any_moment_it_ends_with_the_same_bits(trained, tmp_path, at):
    folder = tmp_path / "killed"
    process = start(folder, before=SLOWLY)
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < 120:
        if any(line["step"] >= at for line in read_metrics(folder)):
            break
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with open_checkpoints(folder, read_only=True) as kept:
        assert not kept.steps or kept.steps[-1] < 40
    train(DATA, folder, CONFIG)
    assert_same_parameters(trained.folder, folder)
    steps = [line["step"] for line in read_metrics(folder) if "loss" in line]
    assert steps == list(range(5, 41, 5))  # no line twice


@pytest.mark.slow
def test_a_signal_ends_it_with_a_checkpoint_of_the_last_update(trained, tmp_path):
    folder = tmp_path / "stopped"
    seen = []

    def progress(done, total, text):
        seen.append(done)
        if done == 15:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train(DATA, folder, CONFIG, progress=progress)
    with open_checkpoints(folder, read_only=True) as kept:
        assert kept.steps[-1] == 16
    train(DATA, folder, CONFIG)
    assert_same_parameters(trained.folder, folder)


# Parameters of any size are cut, and some are.
CUT = """
import jax
import specjax.nn.sharding as sharding
from specjax.nn.sharding import mesh_of
sharding._SMALL = 0
cut = sharding.of_parameters(mesh_of(2), {"a": jax.ShapeDtypeStruct((3, 4), "float32")})
assert tuple(cut["a"].spec) == (None, "model"), cut
"""


@pytest.mark.slow
def test_eight_devices_train_what_one_does(trained, tmp_path):
    """To rounding, which Adam makes larger from step to step."""
    folder = tmp_path / "eight"
    process = start(
        folder, before=CUT, options=", mesh=mesh_of(2)", JAX_NUM_CPU_DEVICES="8"
    )  # fmt: skip
    printed = process.communicate(timeout=300)
    assert process.returncode == 0, printed
    losses = [
        [line["loss"] for line in read_metrics(each) if "loss" in line]
        for each in (trained.folder, folder)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    a, b = parameters(trained.folder), parameters(folder)
    length = np.sqrt(sum(np.sum(np.square(x)) for x in a.values()))
    apart = np.sqrt(sum(np.sum(np.square(a[k] - b[k])) for k in a))
    assert apart < 1e-4 * length


@pytest.mark.slow
def test_two_processes_train_what_one_does(trained, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    folder = tmp_path / "two"
    both = [
        start(
            folder,
            before=f"from specjax._core import distributed; distributed.join({address!r}, 2, {i})",
        )
        for i in range(2)
    ]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    losses = [
        [line["loss"] for line in read_metrics(each) if "loss" in line]
        for each in (trained.folder, folder)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def refused(folder, config=CONFIG, data=DATA):
    return one_line(train, data, folder, config)


def changed(group, **changes):
    return replace(CONFIG, **{group: replace(getattr(CONFIG, group), **changes)})


@pytest.mark.thorough
def test_a_folder_with_another_run_is_refused(trained):
    before = parameters(trained.folder)
    message = refused(trained.folder, changed("optimiser", learning_rate=1e-3, batch=32))
    assert "learning_rate = 0.001 (0.002 in the run)" in message
    assert "batch = 32 (16 in the run)" in message
    assert "other data" in refused(trained.folder, data=sx.data.open("digits", limit=201))
    for name, value in parameters(trained.folder).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.thorough
def test_other_cadences_of_checkpoints_are_the_same_run(trained):
    run = train(DATA, trained.folder, changed("keeping", checkpoint_every=7))
    assert run.step == trained.step


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    assert "thesis.tex" in refused(tmp_path)


REFUSED = {
    "model": [
        ({"width": 0}, "width = 0"),
        ({"width": 6}, "width = 6"),
        ({"multipliers": ()}, "multipliers"),
        ({"target": "epsilon"}, "target = 'epsilon'"),
        ({"dropout": 1.5}, "dropout = 1.5"),
        ({"spatial": 3}, "spatial = 3"),
        ({"attention": (16,)}, "attention = 16"),
    ],
    "noise": [
        ({"noise_options": ("mean=abc",)}, "mean = 'abc'"),
        ({"noise_options": ("mean",)}, "noise_options = 'mean'"),
        ({"noise_options": ("low=1",)}, "'low'"),
        ({"weighting": "snr"}, "weighting = 'snr'"),
        ({"noise_levels": "linear"}, "noise_levels = 'linear'"),
    ],
    "optimiser": [
        ({"updates": 0}, "updates = 0"),
        ({"accumulate": 3}, "accumulate = 3"),
        ({"learning_rate": float("nan")}, "learning_rate = nan"),
        ({"weight_decay": -1.0}, "weight_decay = -1.0"),
        ({"ema": 1.0}, "ema = 1.0"),
        ({"precision": "float16"}, "precision = 'float16'"),
    ],
    "keeping": [({"checkpoint_every": 0}, "checkpoint_every = 0")],
}


def test_what_is_not_allowed_is_refused_by_name_before_anything_is_written(tmp_path):
    for group, table in REFUSED.items():
        for changes, name in table:
            assert name in refused(tmp_path / "run", changed(group, **changes)), changes
            assert not (tmp_path / "run").exists()


def test_a_set_without_labels_is_no_conditional_run(tmp_path):
    data = sx.data.open(np.zeros((4, 8, 8), np.float32))
    assert "has no labels" in refused(tmp_path / "run", data=data)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    wild = changed("optimiser", learning_rate=1e12, clip=1e12, warmup=0)
    message = refused(
        tmp_path / "run", replace(wild, optimiser=replace(wild.optimiser, updates=200))
    )
    assert "not finite at step" in message
    assert "learning rate 1e+12" in message
    assert "last good checkpoint: " in message


@pytest.fixture
def copied(trained, tmp_path):
    return Path(shutil.copytree(trained.folder, tmp_path / "copy"))


# Files may not grow beyond a few blocks, as on a full disk. In a process of its own: TensorStore
# leaves writes behind when one fails, and speaks of them.
FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from specjax._core.checks import UserError
from specjax.nn.checkpoints import open_checkpoints
from specjax.nn.train_step import TrainState
folder = Path(sys.argv[1])
rows = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
small = TrainState(np.int32(3), {"a": rows[:9]}, {"a": rows[:9]}, {}, np.int32(-1))
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
try:
    with open_checkpoints(folder) as kept:
        kept.save(small, 1.0)
        kept.wait()
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, limits[1]))
        kept.save(small._replace(step=np.int32(4), params={"a": rows}), 0.5)
        kept.wait()
except UserError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
with open_checkpoints(folder) as kept:
    assert kept.steps == [3], kept.steps
    np.testing.assert_array_equal(kept.restore(3, small).params["a"], rows[:9])
assert [path.name for path in (folder / "checkpoints").iterdir()] == ["3"]
"""


@pytest.mark.slow
def test_a_checkpoint_that_cannot_be_written_leaves_those_before(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert "cannot write a checkpoint" in done.stdout
    assert done.stdout.count("\n") == 1


@pytest.mark.thorough
def test_a_folder_that_is_being_trained_is_refused(copied):
    with locked(copied):
        assert "is being trained by another process" in refused(
            copied, changed("optimiser", updates=40)
        )


@pytest.mark.thorough
def test_labels_and_units_belong_to_the_data_of_a_run(trained):
    other = DATA.with_labels(np.zeros(200, int))
    assert "other data" in refused(trained.folder, data=other)
    assert "other data" in refused(
        trained.folder, data=sx.data.open("digits", limit=200, data_range=(0, 32))
    )


@pytest.mark.parametrize("shape", [(3, 8, 8, 4), (3, 8, 8, 3), (3, 40, 2), (3, 40, 1)])
def test_samples_of_any_form_have_a_picture(shape):
    """Of the mean of four channels as of that mean; and nothing stops at NaN."""
    samples = np.random.default_rng(0).uniform(-1, 1, shape)
    pixels = picture(samples)
    assert pixels.dtype == np.uint8
    if shape[-1] in (2, 4):
        np.testing.assert_array_equal(pixels, picture(samples.mean(-1, keepdims=True)))
    assert picture(np.full(shape, np.nan)).shape == pixels.shape


def unopened(folder, step=None):
    return one_line(open_run, folder, step)


@pytest.mark.slow
def test_damage_of_any_file_is_refused_by_its_name(copied):
    """orbax itself gives other numbers for a turned bit, and a bare Exception for a cut file."""
    step = copied / "checkpoints" / "40"
    stored = json.loads((step / "checksums.json").read_text())
    paths = [path for path in sorted(step.glob("*/**/*")) if path.is_file()]
    assert {str(path.relative_to(step)) for path in paths} == stored.keys()
    for i, path in enumerate([*paths, step / "checksums.json"]):
        whole, half = path.read_bytes(), path.stat().st_size // 2
        turned = whole[:half] + bytes([whole[half] ^ 4]) + whole[half + 1 :]
        path.unlink()
        if i % 3:
            path.write_bytes(whole[:half] if i % 3 == 1 else turned)
        message = one_line(restored, copied)
        assert "checkpoints/40 is damaged" in message
        assert path.name in message or path.name == "checksums.json"
        path.write_bytes(whole)
    restored(copied)


def restored(folder):
    with open_checkpoints(folder, read_only=True) as kept:
        return kept.restore_ema(40, untrained(read_run(folder)).params)


@pytest.mark.slow
def test_errors_that_are_no_damage_are_not_called_so(trained, monkeypatch):
    for kind in (RuntimeError, TypeError, ValueError):

        def broken(*args, kind=kind, **kwargs):
            raise kind("a mistake of ours")

        monkeypatch.setattr(orbax.checkpoint.CheckpointManager, "restore", broken)
        with pytest.raises(kind, match="a mistake of ours") as caught:
            open_run(trained.folder)
        assert not isinstance(caught.value, UserError)


@pytest.mark.thorough
def test_opening_a_run_leaves_the_loggers_of_others_alone(trained):
    loggers = {name: logging.getLogger(name) for name in logging.root.manager.loggerDict}
    logging.getLogger("absl").setLevel(logging.INFO)
    levels = {name: logger.level for name, logger in loggers.items()}
    open_run(trained.folder)
    with pytest.raises(UserError):
        open_run(trained.folder, 17)
    assert {name: logger.level for name, logger in loggers.items()} == levels
    assert levels.get("asyncio", 0) < logging.CRITICAL


def rewritten(folder, change):
    """A run.json with another content and the right checksum."""
    document = json.loads((folder / "run.json").read_text())
    change(document)
    document["checksum"] = checksum(document)
    (folder / "run.json").write_text(json.dumps(document))


@pytest.mark.thorough
def test_a_run_of_another_version_or_a_damaged_one_is_refused(copied):
    whole = (copied / "run.json").read_text()
    rewritten(copied, lambda document: document.update(format_version=99))
    assert "format version 99" in unopened(copied)
    for text in ("{", whole.replace('"seed": 0', '"seed": 1')):
        (copied / "run.json").write_text(text)
        assert "run.json" in unopened(copied)


@pytest.mark.thorough
def test_a_checkpoint_of_another_network_is_refused(copied):
    rewritten(copied, lambda document: document["config"]["model"].update(width=16))
    assert "another network or version" in unopened(copied)


@pytest.mark.thorough
def test_what_is_no_run_is_refused(tmp_path, trained):
    assert "is not the folder of a run" in unopened(tmp_path)
    assert "choose last, best or one of" in unopened(trained.folder, 17)


@pytest.mark.thorough
def test_labels_that_a_run_does_not_know(trained):
    with pytest.raises(ValueError, match="from 0 to 9"):
        trained.denoiser([10])
    with pytest.raises(ValueError, match="without labels"):
        replace(trained, class_names=()).denoiser([1])


@pytest.mark.thorough
def test_a_run_knows_its_classes(trained):
    assert (trained.classes, trained.class_names[3]) == (10, "3")
    x = np.ones((2, 8, 8), np.float32)
    told = jax.jit(lambda denoise, x: denoise(x, 1.0, 1.0))(trained.denoiser([3, 4]), x)
    assert float(np.abs(told[0] - told[1]).max()) > 1e-4


@pytest.mark.slow
def test_it_learns_32_images_by_heart(tmp_path):
    """Samples of a long training are its images: no other loss says that all parts work."""
    data = sx.data.open("digits", limit=32)
    config = TrainConfig(
        model=ModelConfig(width=32),
        optimiser=OptimiserConfig(updates=1500, batch=32, validation=0.0),
        keeping=KeepingConfig(checkpoint_every=1500, samples_every=0),
    )
    run = train(data, tmp_path / "run", config)
    from specjax.sampling.generate import generate

    plan = sx.plan("ddim", sx.spectral(run.spectrum, 30))
    samples = generate(plan, run.denoiser(), 64, run.shape).reshape(64, -1)
    images = np.asarray(data.samples).reshape(32, -1) / 8 - 1
    distances = np.sqrt(((samples[:, None] - images[None]) ** 2).mean(-1)).min(1)
    between = np.sqrt(((images[:, None] - images[None]) ** 2).mean(-1) + 9 * np.eye(32)).min(1)
    assert np.median(distances) < 0.2 * np.median(between)
