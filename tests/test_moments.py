import functools
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import one_line
from jax.sharding import AxisType

from specjax import Moments, Spectrum
from specjax.spectra import device_sums

# Sums of products in float64, relative to the largest: rounding alone.
RTOL = 1e-12


def samples(n=500, d=24, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ (rng.normal(size=(d, d)) * np.logspace(0, -2, d)) + 5


def one_device():
    return jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))


def assert_is_covariance(moments, x, rtol=RTOL):
    flat = np.asarray(x, np.float64).reshape(len(x), -1)
    want = np.cov(flat.T)
    np.testing.assert_allclose(moments.covariance, want, rtol=0, atol=rtol * np.abs(want).max())
    np.testing.assert_allclose(moments.mean, flat.mean(0), rtol=rtol, atol=rtol)
    assert moments.count == len(x)


def test_shards_add_up():
    x = samples()
    shards = [Moments.from_samples(x[i:j]) for i, j in ((0, 7), (7, 300), (300, 500))]
    assert_is_covariance(functools.reduce(Moments.merge, shards), x)
    assert_is_covariance(functools.reduce(Moments.merge, shards[::-1]), x)


def test_merging_far_means_loses_nothing():
    far = np.round(samples() * 2**20) / 2**20 + 2.0**20
    parts = [far[:100], far[100:] + 2.0**22]
    merged = Moments.from_samples(parts[0]).merge(Moments.from_samples(parts[1]))
    assert_is_covariance(merged, np.concatenate(parts), rtol=1e-11)


def test_a_first_batch_far_from_the_rest_loses_nothing():
    x = samples()
    x[:3] += 1000
    assert_is_covariance(Moments.from_samples(iter([x[:3], x[3:]])), x)


def images(n=5000, seed=1):
    """uint8 over the whole range, correlated."""
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(128, 90, (n, 1, 1)) + rng.normal(0, 30, (n, 4, 3)), 0, 255).astype(
        np.uint8
    )


@pytest.mark.parametrize("mesh", [None, "one device"])
def test_sums_of_integers_are_exact(mesh):
    x = images()
    flat = x.reshape(len(x), -1).astype(np.int64)
    total = flat.sum(0)
    want = len(x) * flat.T @ flat - np.outer(total, total)  # N times the products, whole numbers
    on = {"mesh": one_device(), "precision": "split"} if mesh else {}
    moments = Moments.from_samples(x, data_range=(0, 255), **on)
    got = moments.products * (255 / 2) ** 2 * len(x)
    np.testing.assert_allclose(got, want, rtol=0, atol=4e-16 * want.max())
    np.testing.assert_allclose(moments.mean, total / len(x) * (2 / 255) - 1, rtol=1e-14, atol=1e-15)
    assert moments.precision == "exact (integers)"
    assert moments.shape == (4, 3)


def test_integers_are_as_their_floats():
    x = images()
    assert_is_covariance(
        Moments.from_samples(x, data_range=(-20, 300)), (x.astype(float) + 20) / 160 - 1
    )
    as_floats = Moments.from_samples(x, data_range=(0, 255), precision="float64")
    assert as_floats.precision == "float64"
    assert_is_covariance(as_floats, x / 127.5 - 1)


def test_large_blocks_of_the_largest_integers_are_exact():
    # All values at the ends: 1024 products of 2^14 are 2^24, the last whole number before gaps.
    x = np.zeros((4096, 3), np.uint8)
    x[1:, 1] = 255
    x[::2, 2] = 255
    assert_is_covariance(Moments.from_samples(x, data_range=(0, 255)), x / 127.5 - 1, rtol=4e-16)


def test_a_constant_dataset_of_integers_has_no_variance():
    for level in (0, 77, 255):
        x = np.full((3001, 4), level, np.uint8)
        assert not Moments.from_samples(x, data_range=(0, 255)).products.any()


def test_a_spectrum_from_moments_is_that_from_samples():
    x = samples()
    spectrum = Spectrum.from_moments(Moments.from_samples(x), shrinkage=0.25, source={"name": "x"})
    want = np.linalg.eigvalsh(0.75 * np.cov(x.T) + 0.25 * np.cov(x.T).trace() / 24 * np.eye(24))
    np.testing.assert_allclose(spectrum.eigenvalues, want[::-1], rtol=1e-10)
    known = {"name": "x", "samples": 500, "precision": "float64", "shrinkage": 0.25}
    assert known.items() <= spectrum.source.items()
    np.testing.assert_allclose(spectrum.lift(spectrum.mean), x.mean(0), rtol=1e-12)


def seven_decades(n=6000, d=80):
    """float32 samples with eigenvalues from 1 to 1e-7, turned, and a mean."""
    rng = np.random.default_rng(3)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    x = rng.normal(size=(n, d)) * np.logspace(0, -3.5, d) @ turn.T
    return (x + rng.normal(size=d)).astype(np.float32)


def relative_error(covariance, x, down_to=1e-6):
    want = np.linalg.eigvalsh(np.cov(x.astype(np.float64).T))
    got = np.linalg.eigvalsh(covariance)
    large = want > down_to * want.max()
    return np.abs(got[large] / want[large] - 1).max()


@pytest.mark.parametrize(("precision", "bound"), [("float64", 1e-9), ("split", 1e-4)])
def test_small_eigenvalues_survive_on_devices(precision, bound):
    x = seven_decades()
    moments = Moments.from_samples(x, mesh=one_device(), precision=precision)
    assert relative_error(moments.covariance, x) < bound
    assert precision in moments.precision


def test_small_eigenvalues_do_not_survive_plain_float32():
    x = seven_decades()
    away = jnp.asarray(x - x.mean(0))
    covariance = jnp.matmul(away.T, away, precision="highest") / (len(x) - 1)
    assert covariance.dtype == jnp.float32
    assert relative_error(np.asarray(covariance, np.float64), x) > 1e-3


def test_the_split_sums_follow_growing_samples():
    x = samples().astype(np.float32)
    x[200:] *= 1000
    x[400:] *= 1000
    moments = Moments.from_samples(
        (x[i : i + 50] for i in range(0, 500, 50)), mesh=one_device(), precision="split"
    )
    assert_is_covariance(moments, x, rtol=1e-6)
    small = Moments.from_samples(x * np.float32(1e-20), mesh=one_device(), precision="split")
    assert_is_covariance(small, x * np.float32(1e-20), rtol=1e-6)


def test_slices_are_what_bfloat16_holds_and_rebuild_the_samples():
    x = np.random.default_rng(0).uniform(-128, 128, 10_000).astype(np.float32)
    q = device_sums._slices(jnp.asarray(x), 3)
    assert (np.abs(q) <= 128).all()
    assert (q.astype(jnp.bfloat16).astype(jnp.float32) == q).all()
    back = np.asarray(q, np.float64).T @ 256.0 ** -np.arange(3)
    assert np.abs(back - x).max() <= 2.0**-17


def test_sums_of_pairs_have_48_bits():
    # 2^30 + k for k below 2^20: none of the parts can be dropped.
    parts = (2.0**30 * np.ones(1000) + np.arange(1000) ** 2).astype(np.float64)
    high = jnp.asarray(parts.astype(np.float32))
    low = jnp.asarray((parts - np.asarray(high, np.float64)).astype(np.float32))

    @jax.jit
    def total(high, low):
        start = (jnp.zeros(()), jnp.zeros(()))
        return jax.lax.scan(lambda s, x: (device_sums._add_pair(s, x), None), start, (high, low))[0]

    got = sum(float(x) for x in total(high, low))
    assert abs(got / parts.sum() - 1) < 2.0**-46


ON_EIGHT_DEVICES = """
import json, sys
import jax, numpy as np
from jax.sharding import AxisType
from specjax import Moments, Spectrum
x = np.load(sys.argv[1])
eight = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
grid = jax.make_mesh((2, 4), ("a", "b"), axis_types=(AxisType.Explicit, AxisType.Explicit))
one = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])
want = np.cov(x.T)
errors = {}
for name, mesh in (("eight", eight), ("grid", grid), ("one", one)):
    for precision in ("float64", "split"):
        made = Moments.from_samples(x, mesh=mesh, precision=precision)
        error = np.abs(made.covariance - want).max() / np.abs(want).max()
        errors[name + " " + precision] = float(error)
        assert made.count == len(x)
spectrum = Spectrum.from_samples((x[i : i + 77] for i in range(0, len(x), 77)), mesh=eight)
lam = np.linalg.eigvalsh(want)[::-1]
errors["spectrum"] = float(np.abs(spectrum.eigenvalues / lam - 1).max())
print(json.dumps(errors))
"""


@pytest.mark.thorough
def test_eight_devices_are_as_one_and_as_numpy(tmp_path):
    x = samples(n=9001, d=8)
    np.save(tmp_path / "x.npy", x)
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", ON_EIGHT_DEVICES, str(tmp_path / "x.npy")],
        env={**os.environ, **flags}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name, error in json.loads(done.stdout).items():
        # Split rounds samples to 24 bits of the largest: 1e-7 each, less on average.
        assert error < (2e-7 if "split" in name else 1e-10), name


A_PROCESS = """
import sys
import jax, numpy as np
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
from specjax import Moments
x = np.load(sys.argv[3])
mine = Moments.from_samples(x[:37] if jax.process_index() == 0 else x[37:])
everything = mine.over_processes()
np.savez(sys.argv[4], mean=everything.mean, covariance=everything.covariance, n=everything.count)
"""


@pytest.mark.thorough
def test_processes_add_up(tmp_path):
    x = samples(n=300, d=9)
    np.save(tmp_path / "x.npy", x)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    outs = [str(tmp_path / f"{i}.npz") for i in range(2)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", A_PROCESS, address, str(i), str(tmp_path / "x.npy"), outs[i]],
            env={**os.environ, "JAX_PLATFORMS": "cpu"}, stderr=subprocess.PIPE, text=True,
        )
        for i in range(2)
    ]  # fmt: skip
    try:
        for process in started:
            assert process.wait(120) == 0, process.stderr.read()
    finally:
        for process in started:
            process.kill()
            process.stderr.close()
    first, second = (np.load(out) for out in outs)
    for name in ("mean", "covariance", "n"):
        np.testing.assert_array_equal(first[name], second[name])
    np.testing.assert_allclose(first["covariance"], np.cov(x.T), rtol=0, atol=1e-12)
    np.testing.assert_allclose(first["mean"], x.mean(0), rtol=1e-13)
    assert first["n"] == 300


def test_one_process_is_all():
    moments = Moments.from_samples(samples())
    assert moments.over_processes() is moments


def test_errors_name_the_argument():
    moments, x = Moments.from_samples(samples()), samples()
    kinds = iter([images(), np.ones((3, 4, 3))])
    refused = {
        "(24,) and (3, 8)": lambda: moments.merge(Moments.from_samples(x.reshape(-1, 3, 8))),
        "precision = 'float32'": lambda: Moments.from_samples(x, precision="float32"),
        "precision = 'split'": lambda: Moments.from_samples(x, precision="split"),
        "float64": lambda: Moments.from_samples(kinds, data_range=(0, 255)),
        "shrinkage = 'oas'": lambda: Spectrum.from_moments(moments, shrinkage="oas"),
        "shrinkage = 2.0": lambda: Spectrum.from_moments(moments, shrinkage=2.0),
        "moments of 1 sample": lambda: Spectrum.from_moments(replace(moments, count=1)),
    }
    for words, call in refused.items():
        assert words in one_line(call)


MEMORY = """
import numpy as np
from specjax import Spectrum
from specjax.spectra import estimate
def peak():
    with open("/proc/self/status") as file:
        return next(int(x.split()[1]) * 1024 for x in file if x.startswith("VmHWM"))
estimate._CHUNK_BYTES = 2**20
d = 1024
rng = np.random.default_rng(0)
batches = lambda d, n: (rng.integers(0, 256, (100, d), np.uint8) for _ in range(n))
Spectrum.from_samples(batches(64, 20), data_range=(0, 255))  # threads and their buffers
before = peak()
Spectrum.from_samples(batches(d, 20), data_range=(0, 255))
print((peak() - before) / (8 * d * d))
"""


@pytest.mark.thorough
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux tells peak memory")
def test_memory_is_a_few_matrices():
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    # Products, covariance (then the vectors), two of LAPACK's; half a one of float32, and pieces.
    assert float(done.stdout) < 5.5
