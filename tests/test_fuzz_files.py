"""Whatever is in a file, reading it gives a value or a UserError of one line, and soon.

Hypothesis changes good files: in their bytes, and in what they hold, with a right checksum. A few
hundred cases a kind in the thorough run, 10,000 in the slow one.
"""

import io
import json
import warnings
import wave

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import specjax as sx
from specjax import files
from specjax.sweep.files import read_sweep

SPECTRUM = sx.Spectrum([4.0, 1.0, 0.25], [0.5, 0.0, 0.0], source={"name": "x", "samples": 3})
GOOD = {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder, and the bytes of good files by their names in GOOD."""
    folder, rng = tmp_path_factory.mktemp("fuzz"), np.random.default_rng(0)
    rows = rng.normal(size=(9, 3)) * [2, 1, 0.5]
    sx.save(folder / "schedule.json", sx.family("cosine", 3))
    sx.save(folder / "noise.json", sx.noise_spectrum("power_law", (3,)))
    sx.save(folder / "learned.json", sx.LearnedResult.from_schedule(sx.family("cosine", 3)))
    sx.save(folder / "spectrum.npz", SPECTRUM)
    probe = sx.probe(sx.wiener(SPECTRUM), rows, SPECTRUM, levels=[-1.0, 1.0], n=9)
    sx.save(folder / "probe.npz", probe)
    np.savez(folder / "samples.npz", x=rows, labels=np.arange(9) % 3)
    np.savez_compressed(folder / "packed.npz", x=rows)
    np.save(folder / "samples.npy", rows)
    (folder / "sweep.toml").write_text(
        'spectra = ["digits", { power_law = [1.0, 2.0], dimension = 16, floor = 1e-6 }]\n'
        'steps = [2, 3]\nsamplers = ["ddpm", { name = "ddim", eta = [0.0, 0.5] }]\n'
        'noises = ["isotropic"]\nlosses = ["w2", "kl"]\nseeds = [0]\n'
    )
    pixels = Image.fromarray(rng.integers(0, 255, (6, 5, 3), np.uint8))
    pixels.save(folder / "picture.png", compress_level=9)
    sound = io.BytesIO()
    with wave.open(sound, "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(rng.integers(-999, 999, 200).astype("<i2").tobytes())
    (folder / "sound.wav").write_bytes(sound.getvalue())
    GOOD.update({path.name: path.read_bytes() for path in folder.iterdir()})
    for name in ("picture.png", "sound.wav"):
        (folder / f"of-{name}").mkdir()
    return folder


def read(folder, name, content):
    """Read a file of such a content as commands do."""
    if name.endswith((".png", ".wav")):
        (folder / f"of-{name}" / name).write_bytes(content)
        options = {"window": 4} if name.endswith("wav") else {}
        return list(sx.data.open(folder / f"of-{name}", **options).samples)
    path = folder / name
    path.write_bytes(content)
    if name.endswith(".toml"):
        return read_sweep(path)
    if name.startswith(("samples", "packed")):
        opened = sx.data.open(path)
        return np.asarray(opened.samples[:2])
    files.kind_of(path)
    return sx.load(path)


def check(folder, name, content):
    said = name
    with warnings.catch_warnings(action="ignore"):  # of NumPy and Pillow about what they read
        try:
            read(folder, name, content)
        except sx.UserError as error:
            said = str(error)
    assert name in said


def changed_bytes(name):
    """A good file with some bytes changed, taken out or put in."""

    def apply(changes):
        content = bytearray(GOOD[name])
        for where, what, how in changes:
            at = int(where * len(content))
            end = at + (len(what) if how == "over" else 20 if how == "out" else 0)
            content[at:end] = b"" if how == "out" else what
        return bytes(content)

    one = st.tuples(
        st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8),
        st.sampled_from(["over", "over", "in", "out"]),
    )  # fmt: skip
    return st.lists(one, min_size=1, max_size=4).map(apply)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=9)
    | st.sampled_from([10**6, 10**12, -1, 0, "inf", "nan", "float64", "U99", "O", "walsh"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)  # fmt: skip


def places(node, at=()):
    if isinstance(node, dict | list):
        for key, inner in node.items() if isinstance(node, dict) else enumerate(node):
            yield (*at, key)
            yield from places(inner, (*at, key))


def changed_json(data, document):
    """A document with one value replaced or missing, and a right checksum."""
    document = json.loads(json.dumps(document))
    at = data.draw(st.sampled_from([one for one in places(document) if one != ("checksum",)]))
    node = document
    for key in at[:-1]:
        node = node[key]
    if data.draw(st.booleans()) or isinstance(node, list):
        node[at[-1]] = data.draw(PLAIN)
    else:
        del node[at[-1]]
    return document


def runs(*names):
    """Few cases in the thorough run, and many in the slow one."""
    few, many = pytest.mark.thorough, pytest.mark.slow
    return pytest.mark.parametrize(
        ("name", "cases"),
        [pytest.param(x, n, marks=m) for x in names for n, m in ((300, few), (10_000, many))],
    )


def fuzzed(cases, body, strategy):
    """Run a test on so many cases; what is found is shown smallest first."""
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]
    settings(max_examples=cases, deadline=None, suppress_health_check=quiet)(
        given(strategy)(body)
    )()


@runs("schedule.json", "noise.json", "learned.json", "spectrum.npz", "probe.npz", "samples.npz",
      "packed.npz", "samples.npy", "sweep.toml", "picture.png", "sound.wav")  # fmt: skip
def test_changed_bytes(folder, name, cases):
    if name == "sound.wav":
        pytest.importorskip("soundfile")
    read(folder, name, GOOD[name])
    fuzzed(cases, lambda content: check(folder, name, content), changed_bytes(name))


@runs("schedule.json", "noise.json", "learned.json")
def test_changed_values_with_a_right_checksum(folder, name, cases):
    def body(data):
        document = changed_json(data, json.loads(GOOD[name]))
        document["checksum"] = files.checksum(document)
        check(folder, name, json.dumps(document).encode())

    fuzzed(cases, body, st.data())


@runs("spectrum.npz", "probe.npz")
def test_changed_headers_and_arrays_with_a_right_checksum(folder, name, cases):
    def body(data):
        with np.load(io.BytesIO(GOOD[name])) as archive:
            arrays = {key: archive[key] for key in archive.files}
        header = json.loads(arrays.pop("header").tobytes())
        if data.draw(st.booleans()):
            header = changed_json(data, header)
        else:
            key = data.draw(st.sampled_from(sorted(arrays)))
            arrays[key] = changed_array(data, arrays[key])
        header["checksum"] = files.checksum(header, arrays)
        text = np.frombuffer(json.dumps(header).encode(), np.uint8)
        file = io.BytesIO()
        np.savez(file, header=text, **arrays)
        check(folder, name, file.getvalue())

    fuzzed(cases, body, st.data())


def changed_array(data, array):
    """An array of another type, shape, or with other numbers."""
    how = data.draw(st.sampled_from(["type", "shape", "number"]))
    if how == "type":
        dtypes = ["f2", "f4", "i8", "c16", "U8", "?", "M8[s]", "f4,f4"]
        return np.zeros(array.shape, data.draw(st.sampled_from(dtypes)))
    if how == "shape":
        return np.resize(array, data.draw(st.lists(st.integers(0, 4), max_size=3)))
    array = array.copy()
    array.flat[data.draw(st.integers(0, array.size - 1))] = data.draw(st.floats())
    return array


@runs("sweep.toml")
def test_text_that_may_be_toml(folder, name, cases):
    keys = st.sampled_from(["spectra", "steps", "samplers", "noises", "losses", "floor", "a.b"])
    values = PLAIN.map(lambda x: json.dumps(x).replace("null", "1").replace(":", "="))
    lines = st.lists(st.tuples(keys, values).map(" = ".join), max_size=5).map("\n".join)
    fuzzed(cases, lambda text: check(folder, name, text.encode()), lines)
