"""Files of every kind: what they keep, what they refuse, and that they are whole or untouched."""

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from dataclasses import dataclass, replace

import numpy as np
import pytest
from test_plan_file import learned

import specjax as sx
from specjax import files
from specjax._core.checks import UserError
from specjax.files.kinds import KINDS
from specjax.gaussian.probe import MEASURED

READER = """
import json, sys
import numpy as np
document = json.load(open(sys.argv[1]))
logsnr = np.array(document["logsnr"], float)
sigmas = np.array(document["sigmas"], float)
assert np.array_equal(np.isinf(logsnr), sigmas == 0)
print(logsnr.tobytes().hex())
assert "jax" not in sys.modules
"""


@pytest.fixture(scope="module")
def result():
    spectrum = sx.Spectrum(
        np.geomspace(1e-4, 10, 60), np.linspace(0, 1, 60), source={"name": "made", "samples": 7}
    )
    return sx.fit(spectrum, 6, sampler=sx.ddim(eta=0.25), loss="kl", seed=3)


@pytest.fixture
def written(result, tmp_path):
    return sx.save(tmp_path / "schedule.json", result)


def probe():
    values = {name: np.random.default_rng(0).normal(size=(2, 3)) for name in MEASURED}
    spectrum = sx.Spectrum([4.0, 1.0, 0.25])
    return sx.Probe(spectrum, np.array([-1.0, 1.0]), **values, standard_errors=values)


def of_each_kind():
    """A value of every kind, and the arrays and numbers that make it up."""
    levels = np.array([-3.0, 0.5, np.inf])
    return {
        "learned": (learned(), lambda x: [x.schedule.logsnr, x.corrections.weights, x.value]),
        "plans": (
            sx.PlanSet([learned()]),
            lambda x: [
                x.plans[0].schedule.logsnr,
                x.plans[0].corrections.weights,
                x.plans[0].value,
            ],
        ),
        "schedule": (sx.NoiseSchedule(levels), lambda x: [x.logsnr]),
        "noise": (sx.noise_spectrum("power_law", (6, 5), exponent=-0.3), lambda x: [x.weights]),
        "spectrum": (
            sx.Spectrum([4.0, 1.0], [0.5, 0.0], weights=[1.0, 2.0]),
            lambda x: [x.eigenvalues, x.mean, x.weights, x.mean_weights],
        ),
        "probe": (probe(), lambda x: [x.logsnr, x.standard_errors["gain"], x.spectrum.mean]),
    }


EACH = of_each_kind()
each_kind = pytest.mark.parametrize("kind", KINDS)


def saved(kind, folder):
    return sx.save(folder / f"file.{KINDS[kind].container}", EACH[kind][0])


def rewritten(path, change):
    """Change a file as somebody would who knows how its checksum is made."""
    kinds = {name: kind.version for name, kind in KINDS.items()}
    document = files.read(path, kinds)
    header = change(dict(document.header)) or document.header
    header.pop("checksum", None)
    if path.suffix == ".npz":
        header["checksum"] = files.checksum(header, document.arrays)
        text = np.frombuffer(json.dumps(header).encode(), np.uint8)
        np.savez(path, header=text, **document.arrays)
    else:
        whole = change(json.loads(path.read_text()))
        path.write_text(json.dumps({**whole, "checksum": files.checksum(whole)}))


def truncate(path):
    path.write_bytes(path.read_bytes()[: int(0.9 * path.stat().st_size)])


def empty(path):
    path.write_bytes(b"")


def corrupt(path):
    """Change numbers, but not the checksum."""
    if path.suffix == ".json":
        path.write_text(path.read_text().replace(": 0", ": 1").replace(" 0", " 1"))
        return
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    name = next(name for name in arrays if name != "header")
    np.savez(path, **{**arrays, name: arrays[name] + 1e-9})


FAULTS = {
    "missing": lambda path: path.unlink(),
    "empty": empty,
    "truncated": truncate,
    "corrupted": corrupt,
    "newer": lambda path: rewritten(path, lambda d: {**d, "format_version": 99}),
    "of no version": lambda path: rewritten(path, lambda d: {**d, "format_version": "x"}),
    "of another kind": lambda path: rewritten(path, lambda d: {**d, "format": "specjax.other"}),
    "of no specjax": lambda path: rewritten(path, lambda d: {**d, "format": "other"}),
    "without its fields": lambda path: rewritten(
        path, lambda d: {k: d[k] for k in ("format", "format_version")}
    ),
}


@each_kind
def test_every_kind_comes_back_to_the_bit(kind, tmp_path):
    value, numbers = EACH[kind]
    path = saved(kind, tmp_path)
    back = sx.load(path)
    assert type(back) is type(value)
    for a, b in zip(numbers(back), numbers(value), strict=True):
        np.testing.assert_array_equal(a, b)
    assert files.kind_of(path) == kind
    assert files.is_spectrum(path) == (kind == "spectrum")


@each_kind
def test_a_file_with_a_fault_is_refused(kind, tmp_path):
    for name, fault in FAULTS.items():
        path = saved(kind, tmp_path)
        fault(path)
        with pytest.raises(UserError) as caught:
            sx.load(path)
        assert str(path) in str(caught.value), name
        assert "\n" not in str(caught.value), name


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.zeros(2))
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "text.json").write_text("0.5, 0.25")
    for path in tmp_path.iterdir():
        assert files.kind_of(path) is None
        with pytest.raises(UserError, match="not a file of specjax"):
            sx.load(path)
    assert files.kind_of(tmp_path) is None


def test_what_has_no_kind_is_not_saved(tmp_path):
    with pytest.raises(UserError, match="dict"):
        sx.save(tmp_path / "x.json", {})
    noise = sx.NoiseSpectrum([1.0, 2.0], (2,), basis="data")
    with pytest.raises(UserError, match="noise"):
        sx.save(tmp_path / "x.npz", sx.effective(sx.Spectrum([4.0, 1.0]), noise))
    assert list(tmp_path.iterdir()) == []


# Learned results and spectra


@pytest.mark.thorough
def test_a_fit_comes_back_to_the_bit(result, written):
    back = sx.load(written)
    assert type(back) is sx.LearnedResult is sx.FitResult is sx.PlanResult
    for name in ("value", "node_value", "converged", "finite", "sampler", "loss", "process",
                 "alpha_bar_range", "sampler_options", "seed", "steps", "iterations", "groups",
                 "prior", "kept", "seconds"):  # fmt: skip
        assert getattr(back, name) == getattr(result, name), name
    np.testing.assert_array_equal(back.schedule.logsnr, result.schedule.logsnr)
    np.testing.assert_array_equal(back.history, result.history)
    np.testing.assert_array_equal(back.nodes.mean_power, result.nodes.mean_power)
    np.testing.assert_array_equal(back.plan.keep, result.plan.keep)
    assert back.source["fingerprint"] == result.source["fingerprint"]


def test_the_loss_can_be_evaluated_from_the_file_alone(result, written):
    back = sx.load(written)
    value = sx.loss(back.nodes, back.schedule, sampler=back.method, loss=back.loss)
    np.testing.assert_allclose(value, result.value, rtol=1e-6)  # the quadrature's error


def test_numpy_alone_reads_a_schedule_file(result, written):
    out = subprocess.run(
        [sys.executable, "-c", READER, str(written)], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == result.schedule.logsnr.tobytes().hex()


def test_numbers_that_are_not_finite_are_kept_in_strict_json(tmp_path, result):
    def refuse(constant):
        raise AssertionError(constant)

    broken = replace(
        result, value=float("nan"), finite=False, converged=False, seed=np.int64(3),
        seconds=np.float32(0.5), sampler_options={"eta": np.float32(0.5)},
        history=np.array([np.nan, np.inf, 1.0]),
        baselines={"cosine": np.inf, "karras": np.float64(2.0)},
    )  # fmt: skip
    path = sx.save(tmp_path / "nan.json", broken)
    json.loads(path.read_text(), parse_constant=refuse)
    back = sx.load(path)
    assert np.isnan([back.value, back.baselines["cosine"]]).all()
    assert (back.finite, back.baselines["karras"]) == (False, 2.0)
    assert (back.seed, back.seconds, back.sampler_options) == (3, 0.5, {"eta": 0.5})
    np.testing.assert_array_equal(back.history, broken.history)


@dataclass(frozen=True)
class Own:
    """DDIM under another name, as somebody's own sampler."""

    name: str = "own"

    def rows(self, steps):
        return sx.ddim().rows(steps)


@pytest.mark.thorough
def test_a_result_of_ones_own_sampler_keeps_levels_and_rows(tmp_path):
    result = sx.fit(sx.Spectrum([4.0, 1.0]), 3, sampler=Own())
    path = sx.save(tmp_path / "own.json", result)
    back = sx.load(path)
    np.testing.assert_array_equal(back.schedule.logsnr, result.schedule.logsnr)
    np.testing.assert_array_equal(json.loads(path.read_text())["plan"]["keep"], result.plan.keep)
    assert back.sampler == "own"
    with pytest.raises(UserError, match="own"):
        _ = back.plan


@pytest.mark.parametrize("method", ["exact", "shift-invariant"])
def test_a_spectrum_with_its_basis(tmp_path, method):
    x = np.random.default_rng(0).normal(size=(40, 4, 5, 2))
    spectrum = sx.Spectrum.from_samples(x, method=method)
    back = sx.load(sx.save(tmp_path / "spectrum.npz", spectrum))
    assert back.fingerprint == spectrum.fingerprint
    assert back.source["samples"] == 40
    np.testing.assert_allclose(back.lift(back.project(x)), x, atol=1e-12)


# The codec, for kinds of other packages


@pytest.mark.parametrize("container", ["json", "npz"])
def test_any_header_and_arrays_come_back(tmp_path, container):
    arrays = {
        "x": np.array([[1.5, -np.inf], [np.nan, -0.0]]),
        "deep/er/y": np.arange(3, dtype=np.int32),
        "deep/single": np.float32([0.1]),
        "none": np.zeros((0, 2)),
        "flag": np.array(True),
    }
    header = {"deep": {"word": "a"}, "many": [1, (2.5, None)], "scalar": np.float32(0.5)}
    path = files.write(tmp_path / "x", "thing", 3, header, arrays, container=container)
    found = files.read(path, {"other": 1, "thing": 4})
    assert (found.kind, found.version) == ("thing", 3)
    assert found.header["deep"] | {"er": 0} == {"word": "a", "er": 0}
    assert (found.header["many"], found.header["scalar"]) == ([1, [2.5, None]], 0.5)
    assert {"created", "versions", "checksum"} <= set(found.header)
    assert set(found.arrays) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert (found.arrays[name].dtype, found.arrays[name].shape) == (array.dtype, array.shape)


# Whole or untouched


def test_where_nothing_can_be_written(tmp_path, result):
    for path, word in ((tmp_path / "missing" / "s.json", "does not exist"), (tmp_path, "folder")):
        with pytest.raises(UserError, match=word):
            sx.save(path, result)


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(written, monkeypatch, call):
    before = written.read_bytes()
    monkeypatch.setattr(os, call, full_disk)
    with pytest.raises(UserError, match="No space left"):
        sx.save(written, sx.NoiseSchedule([0.0, 1.0]))
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == [written.name]


@pytest.mark.parametrize(
    ("error", "reported"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (FileNotFoundError(errno.ENOENT, "gone", "data.npy"), FileNotFoundError),
        (OSError(errno.EIO, "Input/output error"), OSError),
        (ValueError("no numbers"), ValueError),
        (OSError(errno.ENOSPC, "No space left on device"), UserError),
    ],
)
def test_an_error_while_writing_leaves_nothing_and_stays_what_it_is(tmp_path, error, reported):
    def interrupted():
        with files.atomically(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(reported) as caught:
        interrupted()
    assert type(caught.value) is reported
    assert not list(tmp_path.iterdir())


def test_an_unwritable_temporary_file_is_an_error_of_writing(tmp_path):
    with (
        pytest.raises(UserError, match="cannot write"),
        files.atomically(tmp_path / "a") as temporary,
    ):
        raise PermissionError(errno.EACCES, "denied", str(temporary))


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_modes_follow_the_umask_and_the_file_that_is_replaced(tmp_path):
    before = os.umask(0o027)
    try:
        path = files.write_atomically(tmp_path / "a", b"1")
    finally:
        os.umask(before)
    assert mode_of(path) == 0o640
    path.chmod(0o604)
    assert mode_of(files.write_atomically(path, b"2")) == 0o604


def test_the_umask_is_never_touched(tmp_path, monkeypatch):
    """It belongs to the whole process: files of other threads would get wrong modes."""
    modes, done = set(), threading.Event()

    def another_thread():
        k = 0
        while not done.is_set():
            path = tmp_path / f"own-{k}"
            path.touch()
            modes.add(mode_of(path))
            k += 1

    def refuse(mask):
        raise AssertionError("the umask was set")

    before = os.umask(0o077)
    thread = threading.Thread(target=another_thread)
    try:
        monkeypatch.setattr(os, "umask", refuse)
        thread.start()
        for k in range(50):
            files.write_atomically(tmp_path / f"file-{k}", b"x")
    finally:
        done.set()
        thread.join()
        monkeypatch.undo()
        os.umask(before)
    assert modes == {0o600}
