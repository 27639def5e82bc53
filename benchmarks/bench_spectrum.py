"""What does one pass over a dataset cost, in time and memory, beside NumPy in the same run?"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import clock, options, write

BATCH = 1000


def peak_megabytes() -> float:
    """Give the peak of this process alone: getrusage's would begin with that of the parent."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes or in kilobytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    return next(int(x.split()[1]) for x in lines if x.startswith("VmHWM")) * 1024 / 1e6


def child_numpy(path: Path) -> dict:
    """Take ``cov`` of the whole array in float64, and ``eigh``."""

    def covariance() -> np.ndarray:
        x = np.load(path)
        return np.cov((x.reshape(len(x), -1) * (2 / 255) - 1).T)

    seconds, found = clock(covariance)
    eigen_seconds, (eigenvalues, _) = clock(np.linalg.eigh, found)
    np.save(path.with_suffix(".numpy.npy"), eigenvalues[::-1])
    return {"accumulate_seconds": seconds, "eigen_seconds": eigen_seconds}


def child_specjax(path: Path) -> dict:
    import specjax as sx

    before = peak_megabytes()
    batches = samples_of(path)
    seconds, moments = clock(lambda: sx.Moments.from_samples(batches, data_range=(0, 255)))
    eigen_seconds, spectrum = clock(sx.Spectrum.from_moments, moments)
    np.save(path.with_suffix(".specjax.npy"), spectrum.eigenvalues)
    return {
        "accumulate_seconds": seconds,
        "eigen_seconds": eigen_seconds,
        "after_import_megabytes": before,
        "precision": moments.precision,
    }


def samples_of(path: Path):
    """Read the file's samples in batches, as they are needed."""
    with open(path, "rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        size = int(np.prod(shape[1:]))
        for start in range(0, shape[0], BATCH):
            rows = min(BATCH, shape[0] - start)
            yield np.fromfile(file, dtype, rows * size).reshape(rows, *shape[1:])


def child_reader(data: str, data_dir: str) -> dict:
    """Read the dataset itself, decoding its files on the way."""
    import specjax as sx

    return {"seconds": clock(lambda: sx.data.open(data, data_dir=data_dir).spectrum())[0]}


CHILDREN = {"numpy": child_numpy, "specjax": child_specjax}


def run_child(*arguments: str) -> dict:
    """Run a fresh process, whose peak memory is its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", *arguments],
        stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    return json.loads(done.stdout)


def child(kind: str, *arguments: str) -> None:
    made = child_reader(*arguments) if kind == "reader" else CHILDREN[kind](Path(arguments[0]))
    print(json.dumps({**made, "peak_megabytes": peak_megabytes()}))


def gather(data: str, data_dir: str | None, count: int, side: int, path: Path) -> int:
    """Write the first samples as one uint8 file; give how many there are."""
    import specjax as sx

    if data_dir is not None:
        parts = [np.asarray(batch) for batch in sx.data.open(data, data_dir=data_dir).samples]
        x = np.concatenate(parts)[:count]
    else:
        from sklearn.datasets import load_sample_images

        from specjax.data.builtin import cut_patches

        x = cut_patches(load_sample_images().images, count, side, 0)
    np.save(path, x)
    return len(x)


def medians(runs: list[dict]) -> dict:
    return {
        name: statistics.median(run[name] for run in runs) if isinstance(value, float) else value
        for name, value in runs[0].items()
    }


def largest_deviation(path: Path) -> float:
    """Give the relative deviation of eigenvalues down to 1e-6 of the largest."""
    want = np.load(path.with_suffix(".numpy.npy"))
    got = np.load(path.with_suffix(".specjax.npy"))
    large = want > 1e-6 * want[0]
    return float(np.abs(got[large] / want[large] - 1).max())


def main(argv: list[str] | None = None) -> dict:
    # --data tfds:cifar10 --data-dir FOLDER for real images; --side is that of patches.
    given = {"data": "patches", "data_dir": None, "samples": 50_000, "side": 32}
    args = options(argv, __doc__, repeat=3, **given)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        count = gather(args.data, args.data_dir, args.samples, args.side, path)
        shape = np.load(path, mmap_mode="r").shape[1:]
        runs: dict[str, list[dict]] = {name: [] for name in CHILDREN}
        for _ in range(args.repeat):
            for name in CHILDREN:
                runs[name].append(run_child(name, str(path)))
        deviation = largest_deviation(path)
    result = {
        "data": args.data,
        "samples": count,
        "shape": list(shape),
        **{name: medians(of_one) for name, of_one in runs.items()},
        "largest_relative_deviation": deviation,
    }
    totals = [
        result[name]["accumulate_seconds"] + result[name]["eigen_seconds"] for name in CHILDREN
    ]
    result["numpy_over_specjax_seconds"] = totals[0] / totals[1]
    if args.data_dir is not None:
        result["from_the_dataset"] = run_child("reader", args.data, args.data_dir)
    return write("spectrum", result, args.folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
