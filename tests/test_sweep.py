"""Sweeps against single fits, SciPy, themselves cut otherwise, and kills."""

import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from test_fit import Peer

import specjax as sx
from specjax._core.checks import UserError
from specjax.report.figures import sweep_figure
from specjax.sweep import groups, lock
from specjax.sweep.files import read_sweep

NOISY = 4.0358e-5
FIXED, FREE = (NOISY, 0.9999), (NOISY, 1.0)
STEPS = [3, 5, 6]  # one program, padded to 6
# The same program on other devices or beside other fits: rounding only.
SAME = {"rtol": 1e-10, "atol": 1e-10}
LOGSNR_ATOL, VALUE_RTOL = 1e-6, 1e-9  # beside a fit, whose program is another one


def spectra():
    k = np.arange(1, 36)
    return {
        "digits": sx.data.open("digits").spectrum(),
        "law": sx.Spectrum.power_law(400, 1.0),
        "zeros": sx.Spectrum(np.append(k**-1.5, np.zeros(5))),
        "five": sx.Spectrum([4.0, 1.0, 0.5, 0.1, 0.02], mean=[1.0, 0, 0, 0.3, 0]),
    }


def clusters():
    return {"clusters": sx.Spectrum(np.repeat([300.0, 0.5, 1e-3, 1e-4], 10))}


SPECTRA = {**spectra(), **clusters()}
solver = sys.modules["specjax.sweep.solve"]  # specjax.sweep itself is the function


def swept(**options):
    return sx.sweep(spectra(), STEPS, **{"alpha_bar_ranges": [FIXED], **options})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sweep") / "w2"


@pytest.fixture(scope="module")
def w2(folder):
    return swept(out=folder, block_rows=5)


@pytest.fixture(scope="module")
def kl():
    return swept(losses=["kl"], alpha_bar_ranges=[FREE])


@pytest.fixture(scope="module")
def several_minima():
    return sx.sweep(clusters(), [3, 5], losses=["kl"], alpha_bar_ranges=[FIXED])


def rows_of(result):
    return [row for row in result.table.to_pylist() if row["error"] is None]


def assert_same(table, other):
    assert table.schema.equals(other.schema)
    assert table.num_rows == other.num_rows
    for name in set(table.column_names) - {"seconds"}:
        own, its = table.column(name).to_pylist(), other.column(name).to_pylist()
        if name == "logsnr":
            for a, b in zip(own, its, strict=True):
                np.testing.assert_allclose(a, b, **SAME)
        elif isinstance(own[0], float):
            np.testing.assert_allclose(own, its, **SAME, err_msg=name)
        else:
            assert own == its, name


# Rows.


def test_rows_are_the_product(w2):
    asked = [(name, s) for name in spectra() for s in STEPS]
    assert [(row["spectrum"], row["steps"]) for row in rows_of(w2)] == asked
    assert w2.fits == w2.sweep.size == len(asked)
    assert w2.failed == 0
    for row in rows_of(w2):
        spectrum = SPECTRA[row["spectrum"]]
        assert (row["dimension"], row["fingerprint"]) == (
            spectrum.dimension, spectrum.fingerprint,
        )  # fmt: skip
        assert (row["sampler"], row["sampler_options"], row["loss"]) == ("ddim", "{}", "w2")
        assert (row["alpha_bar_noisy"], row["alpha_bar_clean"]) == FIXED
        assert (row["process"], row["seed"], row["restarts"], row["nodes"]) == ("vp", 0, 1, 40)
    law = [row["exponent"] for row in rows_of(w2) if row["spectrum"] == "law"]
    np.testing.assert_allclose(law, 1.0, rtol=1e-12)


def check_row_beside_a_fit(row):
    ends = (row["alpha_bar_noisy"], row["alpha_bar_clean"])
    single = sx.fit(
        SPECTRA[row["spectrum"]], row["steps"], loss=row["loss"], alpha_bar_range=ends
    )  # fmt: skip
    np.testing.assert_allclose(row["logsnr"], single.schedule.logsnr, rtol=0, atol=LOGSNR_ATOL)
    assert row["value"] == pytest.approx(single.node_value, rel=VALUE_RTOL)
    assert row["converged"] == single.converged


@pytest.mark.thorough
@pytest.mark.parametrize("made", ["w2", pytest.param("kl", marks=pytest.mark.slow)])
def test_rows_are_single_fits(made, request):
    rows = rows_of(request.getfixturevalue(made))
    for row in rows:
        if row["spectrum"] in ("law", "zeros"):  # 40 nodes both, so one compilation
            check_row_beside_a_fit(row)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["w2", "kl"])
@pytest.mark.parametrize("ends", [FIXED, FREE])
def test_every_row_is_a_single_fit(loss, ends):
    found = sx.sweep(SPECTRA, STEPS, losses=[loss], alpha_bar_ranges=[ends])
    rows = rows_of(found)
    assert len(rows) == 3 * (5 if loss == "w2" else 3)
    assert {row["restarts"] for row in rows} == {1, 8}
    for row in rows:
        check_row_beside_a_fit(row)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "options", "process"),
    [("ddpm", {}, "ve"), ("ddim", {"eta": 0.5}, "vp"), ("heun", {}, "vp"), ("lms", {}, "vp")],
)
def test_rows_of_other_samplers_are_single_fits(sampler, options, process):
    law = SPECTRA["law"]
    given = {"name": sampler, **options}
    found = sx.sweep({"law": law}, STEPS, samplers=[given], processes=[process])
    for row in rows_of(found):
        single = sx.fit(
            law, row["steps"], sampler=sx.SAMPLERS[sampler](**options), process=process,
            denoiser_error=0.0,
        )  # fmt: skip
        np.testing.assert_allclose(row["logsnr"], single.schedule.logsnr, rtol=0, atol=1e-5)
        assert row["value"] == pytest.approx(single.node_value, rel=VALUE_RTOL)


@pytest.mark.thorough
@pytest.mark.parametrize("made", ["w2", "kl", "several_minima"])
def test_rows_are_never_worse_than_slsqp(made, request):
    for row in rows_of(request.getfixturevalue(made)):
        ends = (row["alpha_bar_noisy"], row["alpha_bar_clean"])
        peer = Peer(SPECTRA[row["spectrum"]], "ddim", row["loss"], ends)
        assert row["converged"]
        assert row["slope"] <= 1e-6
        own, _ = peer.value(-np.array(row["logsnr"]) / 2)
        np.testing.assert_allclose(row["value"], own, rtol=1e-9)
        assert row["value"] <= (1 + 1e-6) * peer.best(row["steps"])


@pytest.mark.thorough
@pytest.mark.parametrize("made", ["w2", "kl"])
def test_heuristics_are_their_losses(made, request):
    for row in rows_of(request.getfixturevalue(made)):
        ends = (row["alpha_bar_noisy"], row["alpha_bar_clean"])
        spectrum, steps = SPECTRA[row["spectrum"]], row["steps"]
        nodes = spectrum.quadrature(40)
        closed = sx.spectral(spectrum, steps, loss=row["loss"], alpha_bar_range=ends)
        want = {"spectral": float(sx.loss(nodes, closed, sampler="ddim", loss=row["loss"]))}
        for name in sx.SCHEDULES:
            schedule = sx.family(name, steps, alpha_bar_range=ends)
            want[name] = float(sx.loss(nodes, schedule, sampler="ddim", loss=row["loss"]))
        got = {name: row[f"heuristic_{name}"] for name in want}
        assert got == pytest.approx(want, rel=1e-9)
        del want["spectral"]  # it looks at the data
        assert row["best_heuristic"] == min(want, key=want.get)
        assert row["best_heuristic_value"] == got[row["best_heuristic"]]


def test_a_loss_that_cannot_take_zeros_fails_those_rows_only(kl):
    rows = kl.table.to_pylist()
    assert kl.failed == 6
    for row in rows:
        bad = row["spectrum"] in ("digits", "zeros")
        assert (row["error"] is not None) == bad
        assert row["finite"] == row["converged"] == (not bad)
        if bad:
            assert re.match(r"loss = 'kl' is infinite with \d zero eigenvalue", row["error"])
            assert np.isnan(row["value"])
            assert row["logsnr"] is None


# How fits are batched changes nothing.


@pytest.mark.thorough
def test_lanes_and_how_long_they_run_change_nothing(w2, monkeypatch):
    monkeypatch.setattr(solver, "_CACHE_BYTES", 2**14)
    sizes = set()
    counted = solver.batch_size
    monkeypatch.setattr(
        solver, "batch_size", lambda *args: sizes.add(counted(*args)) or counted(*args)
    )
    assert_same(swept().table, w2.table)
    assert max(sizes) < 12  # lanes take several fits
    monkeypatch.setattr(sys.modules["specjax.sweep.programs"], "_CHUNK", 3)
    solver.descent_program.cache_clear()
    assert_same(swept().table, w2.table)
    solver.descent_program.cache_clear()


def test_without_a_folder_the_table_is_the_same(w2):
    calls = []
    found = swept(progress=lambda *call: calls.append(call))
    assert found.folder is None
    assert_same(found.table, w2.table)
    assert calls[-1] == (12, 12)


def saved(path):
    path.mkdir(parents=True)
    for i, (name, spectrum) in enumerate(spectra().items()):
        sx.save(path / f"{i}-{name}.npz", spectrum)
    return path


# A part of a sweep in another process: spectra from files, options of sweep() as a dictionary.
AGAIN = """
import sys, time
from pathlib import Path
from specjax._core import distributed
spectra, out, *address = sys.argv[1:]
if address:
    distributed.join(address[0], 2, int(address[1]))
import jax
import specjax as sx
from specjax.sweep.folder import ResultsFolder
spectra = {p.stem[2:]: sx.load(p) for p in sorted(Path(spectra).iterdir())}
write = ResultsFolder.write
"""
SWEEP = f"sx.sweep(spectra, {STEPS}, alpha_bar_ranges=[{FIXED}], out=out, block_rows=BLOCK_ROWS)\n"


def start(code, *args, block_rows, **environment):
    code = AGAIN + code.replace("SWEEP", SWEEP.replace("BLOCK_ROWS", str(block_rows)))
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)], env={**os.environ, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


TOGETHER = """
def noted(self, block, table, **kind):
    if block.number == 2:
        time.sleep(3)
    write(self, block, table, **kind)
    print("wrote", block.number, flush=True)
ResultsFolder.write = noted
result = SWEEP
print("devices", jax.local_device_count(), "result", result is not None)
print("there", len(list(Path(out).glob("table/*.parquet"))))
"""


@pytest.mark.slow
def test_two_processes_of_four_devices(w2, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    given, out = saved(tmp_path / "spectra"), tmp_path / "out"
    both = [
        start(TOGETHER, given, out, address, i, block_rows=3, JAX_NUM_CPU_DEVICES="4")
        for i in range(2)
    ]
    said = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    for i, (printed, _) in enumerate(said):
        # What the collectives' C library says of its connections, it says when it likes.
        lines = [line for line in printed.splitlines() if not line.startswith("[Gloo]")]
        assert lines[:2] == [f"wrote {i}", f"wrote {i + 2}"]
        # The second waits for the slow part of the first: jax.distributed ends all some minutes
        # after one has left.
        assert lines[2:] == [f"devices 4 result {i == 0}", "there 4"]
    import pyarrow.parquet as pq

    assert_same(pq.read_table(out / "table"), w2.table)


@pytest.mark.slow
def test_eight_devices(w2, tmp_path):
    given, out = saved(tmp_path / "spectra"), tmp_path / "out"
    process = start(
        "print(jax.device_count())\nSWEEP", given, out, block_rows=12, JAX_NUM_CPU_DEVICES="8"
    )
    printed, errors = process.communicate(timeout=240)
    assert (process.returncode, printed) == (0, "8\n"), errors
    import pyarrow.parquet as pq

    assert_same(pq.read_table(out / "table"), w2.table)


# The folder.

KILLED = """
import pyarrow.parquet as pq
write_table, written = pq.write_table, []
def half(table, where, **options):
    if len(written) == 2:
        Path(where).write_bytes(b"PAR1 and no more")
        print("half", flush=True)
        time.sleep(600)
    write_table(table, where, **options)
    written.append(where)
pq.write_table = half
SWEEP
"""


@pytest.mark.thorough
def test_a_killed_sweep_goes_on(w2, tmp_path):
    given, out = saved(tmp_path / "spectra"), tmp_path / "out"
    process = start(KILLED, given, out, block_rows=1)
    try:
        assert process.stdout.readline() == "half\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    there = {path: path.stat() for path in out.glob("table/*.parquet")}
    assert sorted(path.name for path in there) == ["block-000000.parquet", "block-000001.parquet"]
    calls = []
    found = swept(out=out, block_rows=7, progress=lambda *call: calls.append(call))
    assert found.fits == 10
    assert (calls[0], calls[-1]) == ((2, 12), (12, 12))
    assert_same(found.table, w2.table)
    for path, before in there.items():
        after = path.stat()
        assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert len(list(out.glob("table/*.parquet"))) == 12  # of one row, as it was begun
    again = swept(out=out)
    assert again.fits == 0
    assert again.table.equals(found.table)


def test_a_folder_of_another_sweep(w2, folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    backwards = dict(reversed(spectra().items()))  # would be cut into other parts
    fewer = spectra()
    del fewer["law"]
    for given, options, name in [
        (spectra(), {"losses": ["l1"]}, "losses"),
        (spectra(), {"max_iterations": 9}, "max_iterations"),
        (spectra(), {"families": ["cosine"]}, "families"),
        (backwards, {}, "spectra"),
        (fewer, {}, "spectra"),
    ]:
        with pytest.raises(UserError, match=f"another sweep .*its {name}") as e:
            sx.sweep(given, STEPS, alpha_bar_ranges=[FIXED], out=folder, **options)
        assert "\n" not in str(e.value)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def refused(out, name, **options):
    with pytest.raises(UserError, match=name) as error:
        sx.sweep([sx.Spectrum([1.0])], [2], out=out, **options)
    assert "\n" not in str(error.value)


@pytest.mark.thorough
def test_folders_that_are_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("do not touch")
    for out in (tmp_path, tmp_path / "thesis.tex", tmp_path / "thesis.tex" / "out", "/proc/out"):
        refused(out, str(out))
    refused(tmp_path / "new", "block_rows = 0", block_rows=0)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    # What was killed before its first file is as good as new.
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / ".sweep.json.abc").write_text("{")
    assert sx.sweep([sx.Spectrum([1.0])], [1], out=tmp_path / "new").failed == 0


@pytest.mark.thorough
def test_a_damaged_folder(tmp_path):
    for content in (
        "{", "[]", "{}", '{"sweep": {}, "block_rows": "x"}', '{"sweep": {}, "block_rows": 2}',
        '{"sweep": {}, "block_rows": 0, "fingerprint": "a"}',
        '{"sweep": 3, "block_rows": 2, "fingerprint": "a"}', "\x00",
    ):  # fmt: skip
        (tmp_path / "sweep.json").write_text(content)
        refused(tmp_path, "sweep.json")
    out = tmp_path / "out"
    assert sx.sweep([sx.Spectrum([1.0])], [2], out=out).fits == 1
    block = out / "table" / "block-000000.parquet"
    block.write_bytes(block.read_bytes()[:100])
    with pytest.raises(UserError, match=block.name):
        _ = sx.sweep([sx.Spectrum([1.0])], [2], out=out).table


# One sweep a folder, and signs of life.


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(lock, "_PERIOD", 0.05)
    monkeypatch.setattr(lock, "_SILENCE", 1.0)


def claim(path, **holder):
    path.mkdir()
    (path / ".process-0").write_text(json.dumps(holder))
    return path


def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.thorough
def test_a_folder_that_another_process_writes_is_refused(tmp_path, hasty):
    out = tmp_path / "out"
    code = (
        "import sys, time; from pathlib import Path; from specjax.sweep import lock\n"
        "lock._PERIOD = 0.05; Path(sys.argv[1]).mkdir()\n"
        "with lock.sign_of_life(Path(sys.argv[1], '.process-0'), exclusive=True):\n"
        "    print('held', flush=True); time.sleep(600)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(out)], stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"held\n"
        refused(out, f"out = .*process {other.pid} on {socket.gethostname()}")
    finally:
        other.kill()
        other.communicate()
    assert not (out / "sweep.json").exists()
    assert sx.sweep([sx.Spectrum([1.0])], [2], out=out).fits == 1  # the killed one is taken over
    assert not list(out.glob(".*"))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "holder",
    [
        {"host": "elsewhere", "pid": 1},
        {"host": socket.gethostname(), "pid": os.getpid()},  # was given to another program since
        {},
    ],
)
def test_what_shows_no_sign_of_life_is_taken_over(tmp_path, hasty, holder):
    with lock.sign_of_life(claim(tmp_path / "out", **holder) / ".process-0", exclusive=True):
        assert json.loads((tmp_path / "out" / ".process-0").read_text())["pid"] == os.getpid()


def test_a_dead_process_of_this_host_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(lock.time, "sleep", None)
    path = claim(tmp_path / "out", host=socket.gethostname(), pid=dead_process()) / ".process-0"
    with lock.sign_of_life(path, exclusive=True):
        pass
    assert not path.exists()


@pytest.mark.thorough
@pytest.mark.parametrize("process", [0, 1])
def test_nobody_waits_for_a_process_that_is_gone(tmp_path, hasty, monkeypatch, process):
    monkeypatch.setattr(jax, "process_index", lambda: process)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr("specjax._core.distributed.meet", lambda: None)
    if process:  # process 0 begins, and is killed
        claim(tmp_path / "out", host="elsewhere", pid=1)
    with pytest.raises(UserError, match=f".process-{1 - process}"):
        sx.sweep([sx.Spectrum([1.0])], [2, 3], block_rows=1, out=tmp_path / "out")
    fitted = [path.name for path in tmp_path.glob("out/table/*")]
    assert fitted == ([] if process else ["block-000000.parquet"])


# Readers of Parquet.


def test_columns_in_pandas(w2, folder):
    pd = pytest.importorskip("pandas")
    check_columns(pd.read_parquet(folder / "table").to_dict("list"), w2.table)


def test_columns_in_polars(w2, folder):
    pl = pytest.importorskip("polars")
    for source in (folder / "table", folder / "table" / "*.parquet"):
        check_columns(pl.read_parquet(source).to_dict(as_series=False), w2.table)


def test_columns_in_duckdb(w2, folder):
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(f"select * from '{folder / 'table'}/*.parquet'")
    rows = zip(*found.fetchall(), strict=True)
    check_columns(dict(zip(found.columns, rows, strict=True)), w2.table)


def check_columns(columns, table):
    assert list(columns) == table.column_names
    for name, want in table.to_pydict().items():
        if name == "logsnr":
            for got, levels in zip(columns[name], want, strict=True):
                np.testing.assert_array_equal(np.asarray(got), levels)
        elif name == "error":
            assert all(x is None or x != x for x in columns[name])
        else:
            np.testing.assert_array_equal(list(columns[name]), want)


# What Sweep refuses.

ONE = {"one": sx.Spectrum([1.0])}


def test_bad_axes():
    for axes, name in [
        ({"spectra": {}}, "spectra"),
        ({"spectra": {"x": [1.0]}}, "spectra"),
        ({"steps": []}, "steps"),
        ({"steps": 5}, "steps"),
        ({"steps": [2, 0]}, "steps = 0"),
        ({"steps": [2, 3, 2]}, "steps has 2"),
        ({"samplers": "ddim"}, "samplers"),
        ({"samplers": ["dimm"]}, "sampler = 'dimm'.*'ddim'"),
        ({"samplers": ["ddim", {"name": "ddim"}]}, "samplers has .*'ddim'"),
        ({"samplers": [{"eta": 1}]}, "samplers"),
        ({"samplers": [{"name": "ddim", "etta": 1}]}, "etta"),
        ({"samplers": [{"name": "ddim", "eta": [0.0, 2.0]}]}, "eta = 2.0"),
        ({"samplers": [{"name": "ddpm", "variance": "bta"}]}, "'beta'"),
        ({"losses": ["kll"]}, "loss = 'kll'"),
        ({"losses": ["w2", "w2"]}, "losses has 'w2'"),
        ({"processes": ["vpp"]}, "process = 'vpp'"),
        ({"alpha_bar_ranges": [0.1, 0.9]}, "alpha_bar_range = 0.1"),
        ({"families": ["cosin"]}, "'cosine'"),
        ({"families": []}, "families"),
        ({"seeds": [0, 1]}, "restarts"),
        ({"seeds": [0, 1], "restarts": 3}, "restarts"),
        ({"seeds": [-1]}, "seeds = -1"),
        ({"restarts": 0}, "restarts = 0"),
        ({"nodes": 0}, "nodes = 0"),
        ({"max_iterations": 0}, "max_iterations = 0"),
        ({"tolerance": -1.0}, "tolerance = -1.0"),
        ({"denoiser_error": {"two": 0.1}}, "denoiser_error = 'two'"),
        ({"denoiser_error": 0.1, "losses": ["l1"]}, "denoiser_error"),
    ]:
        with pytest.raises(UserError, match=name) as error:
            sx.Sweep(**{"spectra": ONE, "steps": [2], **axes})
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="losses"):
        sx.sweep(sx.Sweep(ONE, [2]), losses=["kl"])


def test_seeds_with_random_starts_and_lists_of_options():
    made = sx.Sweep(
        ONE, [2, 3], seeds=[0, 1], restarts=4, losses=["w2", "kl"],
        samplers=["ddpm", {"name": "ddim", "eta": [0, 0.5]}, {"name": "lms", "order": 2}],
    )  # fmt: skip
    assert made.size == 2 * 2 * 2 * 4
    assert made.samplers == (
        sx.ddpm(), sx.ddim(eta=0), sx.ddim(eta=0.5), sx.SAMPLERS["lms"](order=2)
    )  # fmt: skip


class Halved:
    """A sampler of one's own: DDIM by another name, with an option."""

    name, options = "halved", (("part", 0.5),)

    def rows(self, steps):
        return sx.ddim().rows(steps)


@pytest.mark.slow
def test_samplers_losses_and_families_of_ones_own(tmp_path):
    loss = dataclasses.replace(sx.LOSSES["w2"], name="mine", summary="")
    straight = sx.Family("straight", lambda t: 10 - 20 * t)
    wanted = sx.Sweep(
        ONE, [3], samplers=[Halved()], losses=[loss], families=["cosine", straight],
        alpha_bar_ranges=[FIXED],
    )  # fmt: skip
    found = sx.sweep(wanted, out=tmp_path / "out")
    (row,) = found.table.to_pylist()
    assert (row["sampler"], row["sampler_options"]) == ("halved", '{"part": 0.5}')
    assert (row["loss"], row["calls"]) == ("mine", 3)
    names = {name for name in found.table.column_names if name.startswith("heuristic_")}
    assert names == {"heuristic_spectral", "heuristic_cosine", "heuristic_straight"}
    schedule = sx.family(straight, 3, alpha_bar_range=FIXED)
    assert row["heuristic_straight"] == pytest.approx(float(sx.loss(ONE["one"], schedule)))
    single = sx.fit(ONE["one"], 3, alpha_bar_range=FIXED)
    assert row["value"] == pytest.approx(single.value, rel=1e-9)
    assert sweep_figure(found.table).axes
    Halved.options = (("part", 0.25),)
    with pytest.raises(UserError, match="samplers"):
        sx.sweep(wanted, out=tmp_path / "out")


def test_levels_of_families_are_made_once_and_in_pieces(monkeypatch):
    made = []
    counted = sx.Family("counted", lambda t: (np.ndim(t) and made.append(t)) or 10 - 20 * t)
    wanted = sx.Sweep(ONE, [3, 4, 5, 6], families=[counted], losses=["w2", "l1", "relative"])
    nodes = groups.quadratures(wanted)

    def families():
        return [
            groups.pool([(group, np.arange(group.size))], nodes).shared.families
            for group in groups.groups(wanted)
        ]

    once = families()
    calls = len(made)
    assert len(once) == 3
    assert once[0].shape == (4, 1, 7)
    monkeypatch.setattr(groups, "_FAMILY_BYTES", 2 * 8 * 7)  # those of two discretizations
    pieces = families()
    assert len(made) == 2 * calls
    np.testing.assert_array_equal(np.concatenate([pieces[0], pieces[3]]), once[0])
    assert groups._family_levels.cache_info().maxsize == 1


@pytest.mark.thorough
def test_names_of_a_list():
    law = [sx.Spectrum.power_law(3, a) for a in (1.0, 2.0, 3.0)]
    odd = sx.Spectrum([1.0], source={"name": "power law 1"})
    made = sx.sweep([*law[:1], *law[1:2], odd, law[2], sx.Spectrum([2.0])], [1]).sweep
    assert list(made.spectra.values())[2] is odd
    assert len(made.spectra) == 5
    assert next(iter(made.spectra)) == "power law"
    assert list(made.spectra)[-1] == "spectrum 4"


# Sweep files.


def written(tmp_path, text):
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    return path


def test_a_sweep_file(tmp_path):
    x = np.random.default_rng(0).normal(size=(50, 3)) * [1.0, 0.1, 1e-5]
    np.save(tmp_path / "x.npy", x)
    sx.save(tmp_path / "saved.npz", sx.Spectrum([2.0, 1e-9]))
    notes = []
    made = read_sweep(
        written(
            tmp_path,
            """
            spectra = ["x.npy", "saved.npz", { data = "x.npy", name = "shrunk", shrinkage = 0.5 },
                       { power_law = [1.0, 2], dimension = 7, scale = 3.0 }, { power_law = 0.5 }]
            steps = [2, 3]
            samplers = ["ddpm", { name = "ddim", eta = [0.0, 0.5] }]
            losses = ["kl"]
            alpha_bar_ranges = [[1e-4, 0.9]]
            max_iterations = 30
            floor = 1e-6
            """,
        ),
        notes.append,
    )
    covariance = np.cov(x.T)
    want = {
        "x.npy": np.linalg.eigvalsh(covariance),
        "saved.npz": [2.0, 1e-9],
        "shrunk": np.linalg.eigvalsh(covariance / 2 + np.trace(covariance) / 6 * np.eye(3)),
        "power law 1.0": 3.0 / np.arange(1, 8),
        "power law 2": 3.0 / np.arange(1, 8) ** 2,
        "power law 0.5": np.arange(1, 1001) ** -0.5,
    }
    assert list(made.spectra) == list(want)
    for name, eigenvalues in want.items():
        got = np.sort(made.spectra[name].eigenvalues)
        np.testing.assert_allclose(got, np.maximum(np.sort(eigenvalues), 1e-6), rtol=1e-9)
    assert made.steps == (2, 3)
    assert made.samplers == (sx.ddpm(), sx.ddim(eta=0.0), sx.ddim(eta=0.5))
    assert (made.losses, made.max_iterations) == ((sx.LOSSES["kl"],), 30)
    assert made.alpha_bar_ranges == ((1e-4, 0.9),)
    assert notes == ["x.npy", "saved.npz", "shrunk"]


def test_bad_sweep_files(tmp_path):
    sx.save(tmp_path / "s.npz", sx.Spectrum([1.0]))
    for text, name in [
        ("steps = [2", "sweep.toml"),
        ("steps = [2]", "spectra"),
        ("spectra = ['digits']", "steps"),
        ("spectra = ['digits']\nstep = [2]", "'steps'"),
        ("spectra = 'digits'\nsteps = [2]", "spectra"),
        ("spectra = []\nsteps = [2]", "spectra"),
        ("spectra = [3]\nsteps = [2]", "spectra has 3"),
        ("spectra = [{name = 'a'}]\nsteps = [2]", "spectra"),
        ("spectra = [{data = 'digits', power_law = 1}]\nsteps = [2]", "spectra"),
        ("spectra = ['digit']\nsteps = [2]", "'digits'"),
        ("spectra = ['digits', 'digits']\nsteps = [2]", "spectra has 'digits'"),
        ("spectra = [{data = 'digits', shrinkag = 1}]\nsteps = [2]", "'shrinkage'"),
        ("spectra = [{power_law = 1, dimensions = 3}]\nsteps = [2]", "'dimension'"),
        ("spectra = [{power_law = ['a']}]\nsteps = [2]", "power_law"),
        ("spectra = [{power_law = 1, dimension = 0}]\nsteps = [2]", "dimension = 0"),
        ("spectra = ['digits']\nsteps = 2", "steps = 2"),
        ("spectra = ['digits']\nsteps = [2]\nfloor = -1", "floor = -1"),
        ("spectra = [{data = 's.npz', rank = 2}]\nsteps = [2]", "rank"),
    ]:
        with pytest.raises(UserError, match=name) as error:
            read_sweep(written(tmp_path, text))
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"missing.toml"):
        read_sweep(tmp_path / "missing.toml")


# The fewest steps.


@pytest.mark.slow
def test_recommend_gives_the_fewest_steps(w2):
    law = SPECTRA["law"]
    five, six = (sx.fit(law, s, alpha_bar_range=FIXED).value for s in (5, 6))
    options = {"samplers": ["ddim", "heun"], "alpha_bar_range": FIXED, "max_steps": 6}
    said = []
    found = {
        row.sampler: row
        for row in sx.recommend(law, (five * six) ** 0.5, progress=said.append, **options)
    }
    ddim, heun = found["ddim"], found["heun"]
    assert said == ["S = 1 to 6: ddim, heun"]
    assert ddim.reached
    assert (ddim.steps, ddim.calls, ddim.schedule.steps) == (6, 6, 6)
    assert ddim.value == pytest.approx(six, rel=1e-9)
    assert ddim.best_heuristic_value > ddim.value
    assert heun.calls == 2 * heun.steps
    value = float(sx.loss(law, heun.schedule, sampler="heun"))
    assert heun.value == pytest.approx(value, rel=1e-6)
    # Out of reach: the best that each can do, over all S.
    for row in sx.recommend(law, 1e-9, **options):
        assert not row.reached
        if row.sampler == "ddim":
            assert (row.steps, row.value) == (6, pytest.approx(six, rel=1e-9))
    with pytest.raises(UserError, match="target_loss = 0"):
        sx.recommend(law, 0, **options)
    with pytest.raises(UserError, match="'heun'"):
        sx.recommend(law, 1, samplers=["huen"])


def test_the_best_may_be_of_an_earlier_window(monkeypatch):
    # A sampler whose loss rises with S: rows of an imagined sweep.
    module = sys.modules["specjax.sweep.recommend"]

    class Made:
        def __init__(self, rows):
            self.table = self
            self.to_pylist = lambda: rows

    def rising(spectra, steps, **options):
        return Made([
            {"sampler": "ddim", "sampler_options": "{}", "finite": True, "value": 1.0 + abs(s - 3),
             "steps": s, "calls": s, "converged": True, "best_heuristic": "cosine",
             "best_heuristic_value": 9.0, "logsnr": np.linspace(-9, 9, s + 1)}
            for s in steps
        ])  # fmt: skip

    monkeypatch.setattr(module, "sweep", rising)
    (row,) = sx.recommend(sx.Spectrum([1.0]), 0.5, samplers=["ddim"], max_steps=30)
    assert (row.reached, row.steps, row.value) == (False, 3, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "heun"])
@pytest.mark.parametrize("ends", [FIXED, FREE])
def test_one_step_fewer_does_not_reach_it(sampler, ends):
    law = SPECTRA["law"]
    target = 1.2 * sx.fit(law, 5, sampler=sampler, alpha_bar_range=ends).value
    (found,) = sx.recommend(law, target, samplers=[sampler], alpha_bar_range=ends)
    single = [
        sx.fit(law, s, sampler=sampler, alpha_bar_range=ends).value
        for s in range(1, found.steps + 1)
    ]
    assert found.reached
    assert single[-1] <= target
    assert min(single[:-1]) > target
    assert found.calls == found.steps * (2 if sampler == "heun" else 1) - (
        sampler == "heun" and ends == FREE
    )


@pytest.mark.thorough
def test_what_a_device_cannot_take_is_tried_in_halves(w2, monkeypatch):
    module = sys.modules["specjax.sweep.solve"]
    program, sizes = module.descent_program, []

    def scarce(shape, mesh):
        run = program(shape, mesh)

        def refusing(shared, tolerance, lanes, states):
            sizes.append(len(lanes.most))
            if len(lanes.most) > 1:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
            return run(shared, tolerance, lanes, states)

        return refusing

    monkeypatch.setattr(module, "descent_program", scarce)
    monkeypatch.setattr(module, "_CACHE_BYTES", 2**14)  # few lanes, halved again
    monkeypatch.setattr(module, "_WAVES", 1)
    assert_same(swept().table, w2.table)
    assert max(sizes) > 2
    assert sizes[-1] == 1


@pytest.mark.thorough
def test_an_interrupt_ends_the_threads_that_solve(monkeypatch):
    rounds, go_on = [], solver.Solver._descend
    monkeypatch.setattr(solver.Solver, "_descend", lambda *args: rounds.append(1) or go_on(*args))

    def interrupt(done, total):
        if done:
            raise KeyboardInterrupt

    options = {"restarts": 4, "seeds": range(100), "families": ["cosine"]}
    sx.sweep(ONE, [3], **options)
    whole = len(rounds)
    with pytest.raises(KeyboardInterrupt):
        sx.sweep(ONE, [3], **options, progress=interrupt)
    assert len(rounds) - whole < whole / 2  # and not to the end of its block


def test_a_broken_device_is_an_error_of_its_rows_and_tried_again(w2, monkeypatch, tmp_path):
    module = sys.modules["specjax.sweep.solve"]

    def broken(shape, mesh):
        def run(*given):
            raise jax.errors.JaxRuntimeError("INTERNAL: the device\nis gone")

        return run

    with monkeypatch.context() as patched:
        patched.setattr(module, "descent_program", broken)
        failed = swept(out=tmp_path / "out")
    assert set(failed.table.column("error").to_pylist()) == {"INTERNAL: the device is gone"}
    assert failed.failed == failed.table.num_rows == failed.fits
    assert list((tmp_path / "out" / "table").glob("*.failed.parquet"))
    again = swept(out=tmp_path / "out")
    assert_same(again.table, w2.table)
    assert not list((tmp_path / "out" / "table").glob("*.failed.parquet"))
