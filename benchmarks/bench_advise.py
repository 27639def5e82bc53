"""What does ``sx.advise`` cost, in time and memory, beside NumPy's covariance of the same data?"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from bench_spectrum import gather, medians, peak_megabytes
from common import clock, options, write


def child_numpy(path: Path) -> dict:
    """Take ``cov`` of the whole array in float64."""

    def covariance() -> np.ndarray:
        x = np.load(path)
        return np.cov((x.reshape(len(x), -1) * (2 / 255) - 1).T)

    return {"seconds": clock(covariance)[0]}


def child_advise(path: Path) -> dict:
    """Advise from the file, memory-mapped: spectrum, bootstrap and all numbers."""
    import specjax as sx

    before = peak_megabytes()
    seconds, advice = clock(lambda: sx.advise(path, progress=False))
    return {
        "seconds": seconds,
        "after_import_megabytes": before,
        "configuration": advice.configuration("edm"),
    }


def child_clips(path: Path) -> dict:
    """Advise from clips [N, T, H, W], by the stationary spectrum over their three axes."""
    import specjax as sx

    method = "shift-invariant"
    seconds, advice = clock(lambda: sx.advise(path, layout="NTHW", method=method, progress=False))
    shifts = {str(one.steps): one.parameters["shift"][0] for one in advice.by_steps}
    return {"seconds": seconds, "shifts": shifts}


CHILDREN = {"numpy": child_numpy, "advise": child_advise, "clips": child_clips}


def gather_clips(path: Path, count: int, frames: int, side: int) -> tuple[int, ...]:
    """Write grey clips of windows that move over photographs, a pixel or two a frame."""
    from sklearn.datasets import load_sample_images

    photos = [photo.mean(-1) / 127.5 - 1 for photo in load_sample_images().images]
    rng, clips = np.random.default_rng(0), np.empty((count, frames, side, side), np.float32)
    for clip in clips:
        photo, speed = photos[rng.integers(len(photos))], rng.integers(-2, 3, 2)
        room = np.array(photo.shape) - side - 2 * frames
        corner = frames + rng.integers(0, room)
        for k, frame in enumerate(clip):
            top, left = corner + (k - frames // 2) * speed
            frame[:] = photo[top : top + side, left : left + side]
    np.save(path, clips)
    return clips.shape


def run_child(kind: str, path: Path) -> dict:
    """Run a fresh process, whose peak memory is its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", kind, str(path)],
        stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    return json.loads(done.stdout)


def main(argv: list[str] | None = None) -> dict:
    given = {"data": "patches", "data_dir": None, "samples": 50_000, "side": 32,
             "clips": 64, "frames": 16}  # fmt: skip
    args = options(argv, __doc__, repeat=3, **given)
    with tempfile.TemporaryDirectory() as folder:
        path, moving = Path(folder) / "x.npy", Path(folder) / "clips.npy"
        clips = gather_clips(moving, args.clips, args.frames, args.side)
        if Path(args.data).suffix == ".npy":
            np.save(path, np.load(args.data)[: args.samples])
        else:
            gather(args.data, args.data_dir, args.samples, args.side, path)
        shape = np.load(path, mmap_mode="r").shape
        runs: dict[str, list[dict]] = {name: [] for name in CHILDREN}
        for _ in range(args.repeat):
            for name in CHILDREN:
                runs[name].append(run_child(name, moving if name == "clips" else path))
    ratio = statistics.median(
        one["seconds"] / other["seconds"]
        for one, other in zip(runs["advise"], runs["numpy"], strict=True)
    )
    result = {
        "data": Path(args.data).name,
        "samples": shape[0],
        "shape": list(shape[1:]),
        **{name: medians(of_one) for name, of_one in runs.items()},
        "advise_over_numpy_seconds": ratio,
        "clips_shape": list(clips),
    }
    return write("advise", result, args.folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        made = CHILDREN[sys.argv[2]](Path(sys.argv[3]))
        print(json.dumps({**made, "peak_megabytes": peak_megabytes()}))
    else:
        main()
