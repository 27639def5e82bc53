"""What commands read and write: special files, inputs and files of others are left alone.

The tables are by command; a line is easily added.
"""

import io
import json
import os
import stat
import struct
import subprocess
import sys
import wave
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

import specjax as sx
from specjax import files

SPECTRUM = sx.Spectrum([4.0, 1.0, 0.25])


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Good files of every kind that commands read; tests copy them."""
    folder, rng = tmp_path_factory.mktemp("given"), np.random.default_rng(0)
    np.save(folder / "x.npy", rng.normal(size=(60, 3)) * [2, 1, 0.5])
    sx.save(folder / "law.npz", SPECTRUM)
    sx.save(folder / "noise.json", sx.NoiseSpectrum([2.0, 1.0, 1.0], (3,)))
    samples = rng.normal(size=(20, 3)) * [2, 1, 0.5]
    probe = sx.probe(sx.wiener(SPECTRUM), samples, SPECTRUM, levels=[-1.0, 1.0], n=20)
    sx.save(folder / "p.npz", probe)
    sx.save(folder / "s.json", sx.NoiseSchedule([-3.0, 0.0, 2.0]))
    sx.save(
        folder / "plan.json", sx.LearnedResult.from_schedule(sx.NoiseSchedule([-3.0, 0.0, 2.0]))
    )
    (folder / "s.toml").write_text('spectra = ["law.npz"]\nsteps = [2]\n')
    for kind in ("run", "sweep"):
        (folder / kind).mkdir()
        files.write(folder / kind / f"{kind}.json", kind, 1, {}, {}, container="json")
        (folder / kind / "inner").mkdir()
    return folder


@pytest.fixture
def folder(given, tmp_path):
    for path in given.rglob("*"):
        target = tmp_path / path.relative_to(given)
        target.mkdir() if path.is_dir() else target.write_bytes(path.read_bytes())
    return tmp_path


def everything(folder):
    def state(path):
        found = path.lstat()
        return found.st_mode, found.st_ino, found.st_mtime_ns, found.st_size

    return {path: state(path) for path in folder.rglob("*")}


def refused(run, folder, args, named):
    """The command is refused in one line that names something, and changes nothing."""
    before = everything(folder)
    code, out, err = run(*args.split())
    assert (code, out) == (2, ""), (args, out, err)
    assert err.count("\n") == 1, (args, err)
    assert named in err, (args, err)
    assert everything(folder) == before, args


# Outputs

# What is typed before the name of the output, and its suffix.
WRITING = [
    ("fit law.npz --steps 2 --plot None --out", ".json"),
    ("fit law.npz --steps 2 --plot", ".png"),
    ("spectrum x.npy --out", ".npz"),
    ("recommend x.npy --target-loss 1 --out", ".json"),
    ("learn law.npz --steps 2 --plot None --out", ".json"),
    ("learn law.npz --steps 2 --plot", ".png"),
    ("probe run --out", ".npz"),
    ("sample run --out", ".png"),
    ("evaluate x.npy --against x.npy --out", ".json"),
    ("evaluate x.npy --against x.npy --plot", ".svg"),
    ("export s.json --to csv --out", ".csv"),
    ("train-features digits --out", ".npz"),
    ("train-features digits --cache", ".npy"),
]


def make_device(path):
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # a null device
    except (OSError, AttributeError):
        os.symlink(os.devnull, path)


def read_only(path):
    path.write_text("precious")
    path.chmod(0o444)


PLACES = {
    "a device": make_device,
    "a pipe": os.mkfifo,
    "a folder": lambda path: (path.mkdir(), (path / "mine").touch()),
    "read-only": read_only,
    "a loop of links": lambda path: path.symlink_to(path.name),
    "a link to nowhere": lambda path: path.symlink_to("no/where"),
    "there": lambda path: path.write_text("precious"),
}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", PLACES)
def test_what_stands_in_the_place_of_an_output_is_refused(run, folder, kind):
    for number, (line, suffix) in enumerate(WRITING):
        name = f"o{number}{suffix}"
        PLACES[kind](folder / name)
        force = "" if kind == "there" else " --force"
        if kind == "a folder" and line.startswith("train-features digits --out"):
            continue  # for a file in it
        refused(run, folder, f"{line} {name}{force}", name)


@pytest.mark.thorough
def test_outputs_are_no_place_of_a_run_or_sweep_and_no_dash(run, folder):
    for line, suffix in WRITING:
        for name in (f"run/x{suffix}", f"sweep/inner/x{suffix}", "-"):
            refused(run, folder, f"{line} {name} --force", name)
    for line in ("sweep s.toml --out", "train x.npy --out"):
        for name in ("run/t", "sweep/inner/t", "-", "x.npy", "law.npz/t"):
            refused(run, folder, f"{line} {name}", name)


# An input that is named as an output, too.
OVERWRITING = [
    "fit law.npz --steps 2 --out law.npz",
    "fit law.npz --steps 2 --out ./hard.npz",
    "fit law.npz --steps 2 --out soft.npz",
    "fit law.npz --steps 2 --noise noise.json --out noise.json",
    "fit law.npz --steps 2 --denoiser p.npz --out p.npz",
    "fit law.npz --steps 2 --out a.png --plot a.png",
    "fit pictures --steps 2 --plot pictures/0.png",
    "recommend x.npy --target-loss 1 --out x.npy",
    "recommend x.npy --target-loss 1 --noise noise.json --out noise.json",
    "spectrum law.npz --out law.npz",
    "learn law.npz --steps 2 --start plan.json --out plan.json",
    "learn law.npz --steps 2 4 --out plan.json --start plan-2.json",
    "export s.json --to json --out s.json",
    "export d.npz --to npz",
    "train-features d.npz --out d.npz",
]


def test_no_output_is_an_input(run, folder):
    os.link(folder / "law.npz", folder / "hard.npz")
    (folder / "soft.npz").symlink_to("law.npz")
    (folder / "pictures").mkdir()
    (folder / "pictures" / "0.png").write_bytes(b"")
    for name in ("d.npz", "d.json", "plan-2.json"):
        (folder / name).write_bytes((folder / "plan.json").read_bytes())
    for line in OVERWRITING:
        named = {"npz": "d.npz", "a.png": "plot"}.get(line.split()[-1], line.split()[-1])
        refused(run, folder, f"{line} --force", named.removeprefix("./"))


# Commands that are quick: they are refused the second time, unless they are forced.
TWICE = [
    ("export s.json --to csv --out s.csv", "s.csv"),
    ("export s.json --to npz", "s.npz"),
    ("spectrum x.npy", "spectrum.npz"),
    ("spectrum law.npz --plot law.png", "law.png"),
    ("fit law.npz --steps 2 --plot None", "schedule.json"),
    ("evaluate x.npy --against x.npy --measures sliced", "evaluation.json"),
]


@pytest.mark.thorough
def test_a_file_that_exists_is_replaced_by_force_and_keeps_its_mode(run, folder):
    for line, name in TWICE:
        assert run(*line.split())[0] == 0, line
        refused(run, folder, line, name)
        path = folder / name
        path.chmod(0o604)
        (folder / "link").unlink(missing_ok=True)
        before = path.read_bytes()
        path.write_bytes(b"old")
        assert run(*line.split(), "--force")[0] == 0, line
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
        assert len(path.read_bytes()) > len(before) // 2


def test_a_link_is_followed(run, folder):
    (folder / "there").mkdir()
    (folder / "link.csv").symlink_to("there/s.csv")
    for force in ("", "--force"):
        code, *_ = run(*f"export s.json --to csv --out link.csv {force}".split())
        assert code == 0
        assert (folder / "link.csv").is_symlink()
        assert (folder / "there" / "s.csv").read_text().startswith("step,")
    assert [path.name for path in (folder / "there").iterdir()] == ["s.csv"]


def test_what_python_writes_passes_the_same_gate(folder):
    for name, place in PLACES.items():
        path = folder / f"{name.replace(' ', '-')}.json"
        place(path)
        if name == "there":
            assert sx.load(sx.save(path, sx.NoiseSchedule([0.0, 1.0]))).steps == 1
            continue
        with pytest.raises(sx.UserError, match=path.name):
            sx.save(path, sx.NoiseSchedule([0.0, 1.0]))
    with pytest.raises(sx.UserError, match="run"):
        sx.save(folder / "run" / "s.json", sx.NoiseSchedule([0.0, 1.0]))


def test_a_folder_that_cannot_be_filled_is_not_left(tmp_path):
    def full():
        raise OSError(28, "No space left on device")

    for parents in (False, True):
        path = tmp_path / ("a/b" if parents else "a")
        with pytest.raises(OSError, match="space"), files.new_folder(path, parents=parents):
            full()
        assert list(tmp_path.iterdir()) == []


def test_temporary_files_have_short_names_of_their_own(tmp_path, monkeypatch):
    (tmp_path / ".specjax-aa").write_text("of another process")
    tokens = iter(["aa", "aa", "bb"])
    monkeypatch.setattr("secrets.token_hex", lambda n: next(tokens))
    files.write_atomically(tmp_path / ("x" * 255), b"1")
    assert (tmp_path / ".specjax-aa").read_text() == "of another process"


# Inputs

READING = [
    "fit {}.npy --steps 2",
    "fit {}.npz --steps 2",
    "fit law.npz --steps 2 --denoiser {}.npz",
    "fit law.npz --steps 2 --noise {}.npy",
    "fit law.npz --steps 2 --noise {}.json",
    "compare {}.npz --steps 2",
    "compare law.npz --steps 2 --schedule {}.json",
    "spectrum {}.npy",
    "recommend {}.npz --target-loss 1",
    "learn {}.npz --steps 2",
    "learn law.npz --steps 2 --start {}.json",
    "train {}.npy --out t",
    "train x.npy --noise {}.json --out t",
    "train-features {}.npz",
    "evaluate {}.npy --against x.npy",
    "evaluate x.npy --against {}.npy",
    "evaluate x.npy --against x.npy --features {}.npz",
    "evaluate x.npy --against x.npy --inception-weights {}.npz",
    "show {}.json",
    "export {}.json --to csv",
    "sweep {}.toml",
    "sweep of-{}.toml",
    "spectrum album-{}",
]

SPECIAL = {
    "pipe": os.mkfifo,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "loop": lambda path: path.symlink_to(path.name),
    "missing": lambda path: None,
}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", SPECIAL)
def test_only_regular_files_are_read(run, folder, kind):
    for suffix in ("npy", "npz", "json", "toml"):
        SPECIAL[kind](folder / f"{kind}.{suffix}")
    (folder / f"of-{kind}.toml").write_text(f'spectra = ["{kind}.npy"]\nsteps = [2]\n')
    (folder / f"album-{kind}").mkdir()
    SPECIAL[kind](folder / f"album-{kind}" / "a.png")
    for line in READING:
        pytest.importorskip("flax") if line.startswith("train") else None
        refused(run, folder, line.format(kind), kind)


def header(shape, dtype="<f8"):
    file = io.BytesIO()
    about = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue()


def packed(content, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive, archive.open("x.npy", "w") as member:
        for part in content:
            member.write(part)
    return file.getvalue()


def png(width, height):
    def chunk(kind, data):
        sum_ = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + sum_

    about = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + about + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def wav(rate):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(b"\0\1" * 2000)
    return file.getvalue()


def changed(change):
    """The noise file with another content and a right checksum."""
    document = json.loads(NOISE)
    change(document)
    document.pop("checksum")
    return json.dumps({**document, "checksum": files.checksum(document)}).encode()


NOISE = json.dumps(
    {
        "format": "specjax.noise", "format_version": 1, "arrays": {}, "checksum": "",
        "noise": sx.noise_spectrum("power_law", (3,)).document(),
    }
)  # fmt: skip

# Small files that ask for much: the name, the content, and the command that reads it.
DEMANDING = [
    ("unpacks.npz", packed([header((2**18, 144)), *[bytes(2**22)] * 72]), "fit {} --steps 2"),
    ("says.npz", packed([header((10**6, 10**6)), bytes(80)]), "fit {} --steps 2"),
    ("says.npy", header((10**6, 10**6)) + bytes(80), "fit {} --steps 2"),
    ("huge.npy", header((2**40, 2**40)) + bytes(80), "fit {} --steps 2"),
    ("weights.npy", header((10**6, 10**6)) + bytes(80), "fit law.npz --steps 2 --noise {}"),
    ("lzma.npz", packed([header((4, 2)), bytes(64)], zipfile.ZIP_LZMA), "fit {} --steps 2"),
    ("long.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"(", "fit {} --steps 2"),
    ("deep.json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "show {}"),
    ("deep.npz", packed([b"["]), "show {}"),
    ("digits.json", b'{"format_version": ' + b"9" * 400 + b"}", "show {}"),
    ("more-digits.json", b'{"format": ' + b"9" * 5000 + b"}", "show {}"),
    ("nan.json", b'{"format": NaN}', "show {}"),
    ("long.json", b"{" + b" " * (2**26) + b"}", "show {}"),
    ("long.txt", b"10 1 0 " * 2**16, "show {}"),
    ("shape.json", changed(lambda d: d["noise"].update(shape=[10**6, 10**6])),
     "fit law.npz --steps 2 --noise {}"),
    ("types.json", changed(lambda d: d["noise"].update(parameters=[1])),
     "fit law.npz --steps 2 --noise {}"),
    ("texts.json", changed(lambda d: d.update(arrays={"noise/x": ["U1000000000", [1]]})),
     "fit law.npz --steps 2 --noise {}"),
    ("deep.toml", b"x = " + b"[" * 100_000, "sweep {}"),
    ("dots.toml", b"a" + b".a" * 100_000 + b" = 1", "sweep {}"),
    ("digits.toml", b"spectra = ['law.npz']\nsteps = [" + b"9" * 400 + b"]", "sweep {}"),
    ("long.toml", b"#" * 2**19, "sweep {}"),
    ("pixels/a.png", png(30_000, 30_000), "spectrum pixels"),
    ("all-pixels/a.png", png(2**31 - 1, 2**31 - 1), "spectrum all-pixels"),
    ("slow/a.wav", wav(1), "spectrum slow --rate 1000000"),
]  # fmt: skip


def test_a_small_file_that_asks_for_much_is_refused(run, folder):
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, content, line in DEMANDING:
        if name.endswith(".wav"):
            pytest.importorskip("soundfile")
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        refused(run, folder, line.format(name), name.split("/")[0])
        path.unlink()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert grown * 1024 < 400 * 2**20  # of which a text of 64 MiB is read, and decoded


def test_a_changed_run_is_refused(tmp_path):
    pytest.importorskip("flax")
    from specjax.nn.config import TrainConfig
    from specjax.nn.run import RunInfo, read_run, write_run

    facts = {"content": "c", "shape": (3,), "class_names": (), "source": {}, "versions": {}}
    run = RunInfo(config=TrainConfig(), spectrum=SPECTRUM, sigma_data=1.0, **facts)
    write_run(tmp_path, run)
    assert read_run(tmp_path).shape == (3,)
    path = tmp_path / "run.json"
    whole = json.loads(path.read_text())
    changes = [
        ("shape", [2]), ("shape", "abc"), ("shape", None), ("class_names", "ab"), ("source", []),
        ("sigma_data", "1"), ("content", 3), ("config", []), ("config", {}), ("noise", 3),
        ("versions", None), ("noise", {"shape": [10**6, 10**6]}),
    ]  # fmt: skip
    for name, value in changes:
        document = {**whole, name: value}
        document.pop("checksum")
        path.write_text(json.dumps({**document, "checksum": files.checksum(document)}))
        with pytest.raises(sx.UserError, match=r"run\.json"):
            read_run(tmp_path)


def test_a_changed_description_of_a_sweep_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    from specjax.sweep import Sweep
    from specjax.sweep.folder import ResultsFolder

    wanted, folder = Sweep({"law": SPECTRUM}, [2, 3]), ResultsFolder(tmp_path / "results")
    with folder.open(wanted, 4):
        pass
    with folder.open(wanted, 9) as rows:
        assert rows == 4
    folder.manifest.write_text(folder.manifest.read_text().replace('rows": 4', 'rows": 1'))
    with pytest.raises(sx.UserError, match=r"sweep\.json"), folder.open(wanted, 4):
        pass


# Names from outside

ODD = ["[bold]a[x]", "$x$", "$", "a\\b", "_a", "a\x1b[31m", "日本", "a\u202eb", "line\nend"]


@pytest.mark.thorough
def test_names_are_shown_as_they_are(run, folder):
    for name in ODD:
        sx.save(folder / f"{name}.npz", SPECTRUM)
        code, out, _ = run("compare", f"{name}.npz", "--steps", 2)
        assert code == 0
        code, _, err = run("show", f"{name}.json")
        assert code == 2
        shown = name.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e").replace("\n", " ")
        assert shown in err
        assert "\x1b" not in out + err


@pytest.mark.thorough
def test_names_in_pictures_are_no_formulae(tmp_path):
    from specjax.report.figures import fit_figure, save_figure

    schedules = {name: sx.family("cosine", 2) for name in (*ODD, "a\0b")}
    spectrum = sx.Spectrum([4.0, 1.0], source={"name": "[$x_1$] $"})
    figure = fit_figure(spectrum, schedules, learned="$x$")
    for suffix in ("png", "svg", "pdf"):
        assert save_figure(figure, tmp_path / f"a.{suffix}").stat().st_size > 1000
    text = (tmp_path / "a.svg").read_text()
    assert "\0" not in text
    names = [one.get_text() for one in figure.legends[0].get_texts()]
    assert len(names) == len(schedules)
    assert any(name.startswith("a\\x1b[31m") for name in names)


# Streams

STREAMS = [
    ("show s.json >&-", 2, "standard output"),
    ("export s.json --to csv >&-", 2, "standard output"),
    ("export s.json --to json >/dev/full", 2, "standard output"),
    ("show missing.json 2>&-", 2, ""),
    ("show s.json | head -1 >/dev/null; exit ${PIPESTATUS[0]}", 0, ""),
    ("show long.json | head -1 >/dev/null; exit ${PIPESTATUS[0]}", 0, ""),
    ("show long.json --json | head -1 >/dev/null; exit ${PIPESTATUS[0]}", 0, ""),
]


@pytest.mark.thorough
@pytest.mark.parametrize(("line", "code", "named"), STREAMS)
def test_streams_that_are_closed_or_full(folder, line, code, named):
    sx.save(folder / "long.json", sx.family("cosine", 2000))
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m specjax {line}"],
        cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **PATH},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


PATH = {"PYTHONPATH": str(Path(sx.__file__).parents[1])}


@pytest.mark.thorough
def test_an_encoding_without_the_characters_of_a_table(folder):
    env = {**os.environ, **PATH, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "specjax", "show", "s.json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
