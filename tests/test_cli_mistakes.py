"""What users do wrong: exit code 2, the name of the argument, nothing written; and faults of ours.

A mistake that the options' types show is a box by tyro, every other one a line of ours.
"""

import subprocess
import sys

import numpy as np
import pytest
from gaussian_runs import DIGITS, SOUND, gaussian_run
from PIL import Image

import specjax as sx

RUNS = {
    "r": {},
    "conditional": {"classes": 3},
    "raw": {"source": {**DIGITS, "data_range": None}},
    "sound": {"shape": (16,), "source": SOUND},
    "vectors": {"shape": (16,)},
    "two-channels": {"shape": (4, 4, 2)},
    "diverging": {"denoise": lambda x, alpha, sigma: x / 0},
    "grid": {"shape": (8, 8)},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Files of every kind that is wrong somewhere, and runs by their names."""
    rng = np.random.default_rng(0)
    arrays = {
        "empty": np.zeros((0, 3)), "one": np.ones((1, 3)), "constant": np.ones((9, 3)),
        "nan": np.array([[0.0, 1.0], [np.nan, 2.0]]), "inf": np.array([[0.0], [np.inf]]),
        "int": np.arange(12).reshape(4, 3), "x": rng.normal(size=(60, 8)).cumsum(1),
        "images": rng.uniform(-1, 1, (60, 4, 4)), "wide": rng.uniform(-1, 1, (50, 2, 8)),
        "big": np.ones((2, 6001), np.float32), "nu": np.array([2.0, 1.0, 0.5]),
        "far": 4 + rng.uniform(size=(20, 8, 8)),
    }  # fmt: skip
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.lib.format.open_memmap(tmp_path / "huge.npy", "w+", np.uint8, (2, 10**6))
    (tmp_path / "text.npy").write_text("not an array")
    (tmp_path / "half.json").write_text('{"format": "specjax.sch')
    (tmp_path / "list.txt").write_text("10 1 0")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    for number, size in enumerate([(8, 8), (8, 10)]):
        (tmp_path / "mixed").mkdir(exist_ok=True)
        Image.new("L", size).save(tmp_path / "mixed" / f"{number}.png")
    sx.save(tmp_path / "law.npz", sx.Spectrum.power_law(9, 1.0))
    sx.save(tmp_path / "noise.json", sx.noise_spectrum("power_law", (3,)))
    spectrum = sx.Spectrum([4.0, 1.0, 0.25])
    samples = rng.normal(size=(20, 3)) * [2, 1, 0.5]
    probe = sx.probe(sx.wiener(spectrum), samples, spectrum, levels=[-1.0, 1.0], n=20)
    sx.save(tmp_path / "measured.npz", probe)
    for name in RUNS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    pytest.importorskip("flax")
    from specjax.nn import run

    real = run.open_run

    def open_run(path, step):
        if path not in RUNS:
            return real(path, step)
        if step not in ("best", "last", 700):
            raise sx.UserError(f"checkpoint = {step!r}: choose last, best or 700")
        return gaussian_run(**RUNS[path])

    monkeypatch.setattr("specjax.nn.run.open_run", open_run)
    return tmp_path


def everything(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


# By command: what is typed after its name, and what the message names.
MISTAKES = {
    "fit": [
        ("missing.npy --steps 3", "missing.npy"),
        ("digit --steps 3", "'digits'"),
        ("empty.npy --steps 3", "empty"),
        ("one.npy --steps 3", "one sample"),
        ("constant.npy --steps 3", "constant"),
        ("nan.npy --steps 3", "NaN"),
        ("inf.npy --steps 3", "infinite"),
        ("int.npy --steps 3", "data_range"),
        ("int.npy --steps 3 --data-range 0 1", "data_range"),
        ("text.npy --steps 3", "text.npy"),
        ("mixed --steps 3", "--size"),
        ("digits --steps 0", "steps"),
        ("digits --steps -2", "steps"),
        ("digits --steps 3 --alpha-bar-range 0.9 0.1", "alpha_bar_range"),
        ("digits --steps 3 --alpha-bar-range 0.1 1.5", "alpha_bar_range"),
        ("digits --steps 3 --sampler dim", "'ddim'"),
        ("digits --steps 3 --loss w3", "loss"),
        ("digits --steps 3 --loss kl", "--floor"),
        ("digits --steps 3 --process vq", "process"),
        ("digits --steps 3 --restarts 0", "restarts"),
        ("digits --steps 3 --sampler-options eta", "sampler_options"),
        ("digits --steps 3 --sampler-options zeta=1", "zeta"),
        ("digits --steps 3 --sampler-options eta=2", "eta"),
        ("digits --steps 3 --sampler-options eta=abc", "eta"),
        ("digits --steps 3 --seed 99999999999999999999", "seed"),
        ("law.npz --steps 3 --seed -1", "seed"),
        ("law.npz --steps 3 --size 8", "--size"),
        ("law.npz --steps 3 --method exact", "--method"),
        ("int.npy --steps 3 --out int.npy", "out"),
        ("digits --steps 3 --out s.png --plot ./s.png", "plot"),
        ("digits --steps 3 --out nowhere/s.json", "nowhere"),
        ("digits --steps 3 --plot nowhere/s.png", "nowhere"),
        ("digits --steps 3 --plot s.bmp", ".bmp"),
        ("digits --steps 3 --method magic", "method"),
        ("digits --steps 3 --shrinkage 2", "shrinkage"),
        ("digits --steps 3 --floor -1", "floor"),
        ("digits --steps 3 --denoiser x.npy", "x.npy"),
        ("digits --steps 3 --denoiser law.npz", "denoiser"),
        ("digits --steps 3 --grid sdd", "'sd'"),
        ("digits --steps 3 --grid none.json", "none.json"),
        ("digits --steps 3 --grid noise.json", "noise.json"),
        ("digits --steps 3 --denoiser measured.npz", "probe"),
        ("law.npz --steps 3 --noise powerlaw", "'power-law'"),
        ("law.npz --steps 3 --noise-exponent 1", "noise_exponent"),
        ("law.npz --steps 3 --noise nu.npy --noise-basis walsh", "noise_basis"),
        ("law.npz --steps 3 --noise power-law", "basis"),
        ("x.npy --steps 3 --noise nu.npy", "weights"),
        ("x.npy --steps 3 --noise none.json", "none.json"),
        ("x.npy --steps 3 --noise none.npy", "none.npy"),
        ("x.npy --steps 3 --noise law.npz", "noise"),
        ("x.npy --steps 3 --method low-rank --rank 2 --noise power-law", "basis"),
        ("big.npy --steps 3 --noise power-law", "6,001"),
        ("x.npy --steps 3 --noise two-band --noise-bands 0 0.6 0.5 1", "overlap"),
        ("x.npy --steps 3 --noise two-band --noise-bands 0.6 0 0.7 1", "low"),
        ("x.npy --steps 3 --noise power-law --noise-omit 0.8 0.9", "omit"),
        ("x.npy --steps 3 --noise power-law --noise-exponent nan", "exponent"),
    ],
    "compare": [
        ("digits --steps 3 0", "steps"),
        ("digits --steps 3 --schedule 1,2,0", "monotone"),
        ("digits --steps 3 --schedule 2,1,-1", "negative"),
        ("digits --steps 3 --schedule 2,nan,0", "numbers"),
        ("digits --steps 3 --schedule missing.json", "missing.json"),
        ("digits --steps 3 --grid sdd", "'sd'"),
        ("x.npy --steps 3 --noise two-band --noise-gains 0 0", "weights"),
    ],
    "spectrum": [
        ("digits --bootstrap 1", "bootstrap"),
        ("law.npz --bootstrap 9", "bootstrap"),
        ("digits --method low-rank --rank 3 --bootstrap 9", "bootstrap"),
        ("digits --method low-rank", "rank"),
        ("digits --rank 3", "rank"),
        ("digits --spatial 2", "spatial"),
        ("digits --method shift-invariant --on-devices", "mesh"),
        ("digits --floor 0", "floor"),
        ("digits --seed -1", "seed"),
        ("digits --limit 0", "limit"),
        ("digits --shard 2 2", "shard"),
        ("digits --data-dir x", "data_dir"),
        ("digits -o nowhere/s.npz", "nowhere"),
        ("digits -o s.png", ".npz"),
        ("x.npy -o x.npy", ".npz"),
        ("mixed --fit crop", "size"),
        ("full", "full"),
        ("huge.npy", "low-rank"),
        ("law.npz --strict", "--strict"),
    ],
    "recommend": [("digits --target-loss 1 --seed -3", "seed")],
    "train": [
        ("digits --out t --corrupt-std 0.4", "corrupt_std"),
        ("digits --out t --corrupt 0.6 0.4", "band"),
        ("digits --out t --corrupt 0.4 0.6 --corrupt-std -1", "std"),
    ],
    "train-features": [
        ("patches", "patches"),
        ("digits --updates 0", "updates"),
        ("digits --translate 9", "translate"),
        ("digits --label y", "label"),
        ("digits --seed -1", "seed"),
        ("digits --out no/where/x.npz", "no/where"),
    ],
    "sample": [
        ("nowhere", "nowhere"),
        ("r --n 0", "n = 0"),
        ("r --seed -1", "seed"),
        ("r --batch 0", "batch"),
        ("r --devices 9", "devices"),
        ("r --checkpoint newest", "checkpoint"),
        ("r --steps 0", "steps"),
        ("r --schedule 2,0 --steps 4", "steps"),
        ("r --schedule kerras", "'karras'"),
        ("r --schedule missing.json", "missing.json"),
        ("r --schedule 1,2,0", "monotone"),
        ("r --sampler dim", "'ddim'"),
        ("r --sampler-options eta", "sampler_options"),
        ("r --sampler-options etha=1", "etha"),
        ("r --process vpp", "process"),
        ("r --out x.jpg", "out"),
        ("r --out nowhere/x.png", "nowhere"),
        ("r --out full", "full"),
        ("r --out x.wav", "x.wav"),
        ("r --out x.wav --n 1", "sound"),
        ("r --labels 1", "labels"),
        ("conditional --labels 0 3", "labels"),
        ("sound --out x.png", "sound"),
        ("two-channels", "shape"),
        ("vectors", "shape"),
        ("diverging", "finite"),
    ],
    "probe": [
        ("grid --out probe.json", ".npz"),
        ("grid --out no/probe.npz", "no/probe.npz"),
        ("grid --n 2", "n = 2"),
        ("grid --levels 1", "levels"),
        ("grid --logsnr-range 3 1", "increasing"),
        ("grid --logsnr-range -90 1", "logsnr"),
        ("grid --batch 0", "batch"),
        ("grid --seed -1", "seed"),
        ("grid --checkpoint middle", "checkpoint"),
        ("grid --data x.npy --data-range 0 1", "shape"),
        ("grid --data far.npy --data-range 0 1", "data_range"),
        ("grid --data nothing.npy", "nothing.npy"),
        ("grid --data digits --data-range 0 32", "data_range"),
        ("sound", "--data"),
    ],
    "evaluate": [
        ("nowhere --against images.npy", "nowhere"),
        ("images.npy --against law.npz", "law.npz"),
        ("images.npy --against images.npy --seeds 2", "--seeds"),
        ("images.npy --against images.npy --measures fid", "measures"),
        ("images.npy --against images.npy --splits 1", "splits"),
        ("images.npy --against images.npy --pca 17", "pca"),
        ("images.npy --against images.npy --spatial 3", "spatial"),
        ("images.npy --against images.npy --n 0", "n = 0"),
        ("images.npy --against images.npy -o x.txt", ".json"),
        ("images.npy --against images.npy -o no/x.json", "folder no"),
        ("images.npy --against images.npy --plot x.gif", ".gif"),
        ("images.npy --against images.npy --plot x.pdf --measures sliced", "plot"),
        ("images.npy --against images.npy --limit 6", "n = 3"),
        ("images.npy --against images.npy --features no", "no"),
        ("wide.npy --against images.npy", "shape"),
        ("nan.npy --against x.npy", "nan.npy"),
        ("r --against images.npy", "--data-range"),
        ("r --against images.npy --data-range -1 1 --steps 0", "steps"),
        ("r --against images.npy --data-range -1 1 --schedule cosin", "'cosine'"),
        ("r --against images.npy --data-range -1 1 --checkpoint first", "checkpoint"),
        ("r --against images.npy --data-range -1 1 --seeds 0", "seeds"),
        ("r --against images.npy --data-range -1 1 --labels 1", "labels"),
        ("r --against images.npy --data-range -1 1 --batch 0", "batch"),
    ],
    "show": [
        ("missing.json", "missing.json"),
        ("text.npy", "text.npy"),
        ("half.json", "truncated"),
        ("law.npz", "spectrum file"),
        ("noise.json", "noise file"),
        ("measured.npz", "probe file"),
        ("list.txt --grid sdd", "'sd'"),
    ],
    "export": [
        ("list.txt --to excel", "excel"),
        ("list.txt --to csv --grid sdd", "'sd'"),
        ("list.txt --to csv --out nowhere/s.csv", "nowhere"),
        ("list.txt --to csv --shift 0", "shift"),
        ("list.txt --to csv --config none.json", "none.json"),
        ("list.txt --to csv --config text.npy", "config"),
    ],
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(run, folder, command):
    before = everything(folder)
    for args, named in MISTAKES[command]:
        code, out, err = run(command, *args.split())
        assert (code, out) == (2, ""), (args, out, err)
        assert err.startswith("specjax: "), (args, err)
        assert err.count("\n") == 1, (args, err)
        assert named in err, (args, err)
        assert everything(folder) == before, args


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ("fit digits", "--steps"),
        ("fit digits --steps 2.5", "--steps"),
        ("fit digits --steps 3 --stepz 3", "--stepz"),
        ("fit digits --steps 3 --restarts few", "--restarts"),
        ("fit digits --steps 3 --size 64 a", "--size"),
        ("evaluate digits", "--against"),
        ("nothing", "nothing"),
        ("", "subcommand"),
    ],
)
def test_an_option_that_cannot_be_parsed_is_named(run, tmp_path, args, named):
    code, out, err = run(*args.split())
    assert (code, out) == (2, "")
    assert named in err.replace("\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_ours_is_no_mistake_of_the_user(run, monkeypatch):
    def broken(*args, **options):
        return 1 / 0

    monkeypatch.setattr("specjax.fitting.compare.compare", broken)
    with pytest.raises(ZeroDivisionError) as caught:
        run("compare", "digits", "--steps", 3)
    assert "report" in caught.value.__notes__[0]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("module", "args", "extra"),
    [
        ("flax", ("sample", "r"), "train"),
        ("flax", ("train", "x.npy", "-o", "t"), "train"),
        ("pyarrow", ("sweep", "s.toml"), "sweep"),
        ("flax", ("train-features", "digits"), "evaluate"),
    ],
)  # fmt: skip
def test_a_missing_extra_is_one_line_that_names_it(tmp_path, module, args, extra):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(50, 3)))
    (tmp_path / "s.toml").write_text('spectra = ["x.npy"]\nsteps = [3]\n')
    code = f"import sys; sys.modules[{module!r}] = None; from specjax.cli import main; main({args})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert f"specjax[{extra}]" in done.stderr


def test_help_may_be_cut_off_by_a_pager():
    code = "from specjax.cli import main; main(['probe', '--help'])"
    done = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    done.stdout.close()  # whoever read is gone before a word is written
    with done.stderr as stderr:
        assert stderr.read() == ""
    done.wait()
