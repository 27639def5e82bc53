"""How long does one wait the first time? New processes with nothing compiled, cold and warm apart.

Each part runs in a process of its own, with no compilation cache (the command line has an empty
one). Python keeps the bytecode of modules, as it does by default. The peer of the first fit is the
paper's way, SciPy's SLSQP on finite differences, in the same process.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import clock, options, timed, write

MIXED_STEPS = (3, 4, 5, 6, 8, 10, 12, 15, 20, 25)
MIXED_SAMPLERS = ("ddpm", "ddim", "dpmpp_2m", "heun", "lms")


def fits(steps: int, most: int) -> dict:
    """Fit the digits for the first time; then other steps, losses and spectra."""
    import jax

    begun = time.perf_counter()
    import specjax as sx

    digits = sx.data.open("digits").spectrum().floor(1e-6)
    imported = time.perf_counter() - begun
    first, _ = clock(lambda: sx.fit(digits, steps))
    others = {
        "other_steps": lambda: sx.fit(digits, max(steps - 3, 1)),
        "other_loss": lambda: sx.fit(digits, steps, loss="kl"),
        "other_spectrum": lambda: sx.fit(sx.Spectrum.power_law(1024, 1.5), steps),
        "same_again": lambda: sx.fit(digits, steps),
    }
    found = {f"{name}_seconds": clock(call)[0] for name, call in others.items()}
    many = clock(lambda: [sx.fit(digits, s) for s in range(3, most + 1)])[0]

    from peers import slsqp_paper

    # Its parametrisation has no noise-free end: both are given the paper's ends.
    ends = (4.0358e-5, 0.9999)
    lam, mean = np.asarray(digits.eigenvalues), np.asarray(digits.mean)
    paper = slsqp_paper(lam, mean, sx.family("linear", steps, alpha_bar_range=ends).alpha_bar, 60.0)
    own = sx.fit(digits, steps, alpha_bar_range=ends).value
    return {
        "jax": jax.__version__, "steps": steps, "import_and_spectrum_seconds": imported,
        "first_seconds": first, **found, "most": most, "all_steps_seconds": many,
        "paper": paper, "loss_over_paper": own / paper["loss"],
    }  # fmt: skip


def mixed(spectra: int) -> dict:
    """Sweep mixed fits: every sampler, both losses, ten numbers of steps."""
    import specjax as sx

    some = {"digits": sx.data.open("digits").spectrum().floor(1e-6)}
    for k in range(spectra - 1):
        some[f"power law {k}"] = sx.Spectrum.power_law(1024, 0.8 + 0.4 * k)
    axes = {"samplers": list(MIXED_SAMPLERS), "losses": ["w2", "kl"]}
    seconds, result = clock(lambda: sx.sweep(some, list(MIXED_STEPS), **axes))
    again, _ = clock(lambda: sx.sweep(some, list(MIXED_STEPS), **axes))
    return {
        "fits": result.table.num_rows, "seconds": seconds, "again_seconds": again,
        "converged": float(np.mean(result.table.column("converged").to_numpy())),
    }  # fmt: skip


def learning(steps: int) -> dict:
    """Learn plans on the digits themselves."""
    import specjax as sx

    data = np.concatenate(list(sx.data.open("digits").batches()))
    prior = sx.priors.Empirical.from_samples(data)
    first, _ = clock(lambda: sx.learn(prior, steps))
    again, _ = clock(lambda: sx.learn(prior, steps))
    other, _ = clock(lambda: sx.learn(prior, steps + 1))
    warm, _ = clock(lambda: sx.learn(prior, steps + 1))
    return {
        "steps": steps, "first_seconds": first, "again_seconds": again,
        "other_steps_seconds": other, "other_steps_again_seconds": warm,
    }  # fmt: skip


def kept(steps: int) -> dict:
    """Fit for the first time in a process that keeps compiled programs in its current folder."""
    import specjax as sx

    sx.enable_cache("cache")
    digits = sx.data.open("digits").spectrum().floor(1e-6)
    return {"first_seconds": clock(lambda: sx.fit(digits, steps))[0]}


PARTS: dict[str, Callable[..., dict]] = {
    "fits": fits, "mixed": mixed, "learning": learning, "kept": kept
}  # fmt: skip


def environment() -> dict[str, str]:
    """Return the environment without what keeps, or forbids to keep, things between processes."""
    unset = ("JAX_COMPILATION_CACHE_DIR", "PYTHONDONTWRITEBYTECODE")
    return {k: x for k, x in os.environ.items() if k not in unset}


def apart(part: str, *args: int, folder: str | None = None) -> dict:
    """Run a part in a new process (of a folder), without JAX's cache, and return what it found."""
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import bench_cold;"
        "print(json.dumps(bench_cold.PARTS[sys.argv[2]](*map(int, sys.argv[3:]))))"
    )
    begun = time.perf_counter()
    run = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), part, *map(str, args)],
        env=environment(), check=True, stdout=subprocess.PIPE, text=True, cwd=folder,
    )  # fmt: skip
    found: dict = json.loads(run.stdout.splitlines()[-1])
    return {**found, "process_seconds": time.perf_counter() - begun}


def kept_apart(steps: int, repeat: int) -> dict:
    """Time the first fit of processes that share a folder of programs: the first, later ones."""
    with tempfile.TemporaryDirectory() as folder:
        every = [apart("kept", steps, folder=folder)["first_seconds"] for _ in range(repeat + 1)]
    return {"first_seconds": every[0], "later_seconds": float(np.median(every[1:]))}


def command(arguments: list[str], repeat: int) -> dict:
    """Time a command as a whole process: with an empty cache, and with what that left."""
    with tempfile.TemporaryDirectory() as folder:
        own = {**environment(), "XDG_CACHE_HOME": f"{folder}/cache"}

        def run() -> None:
            subprocess.run(
                [sys.executable, "-m", "specjax", *arguments], cwd=folder, env=own,
                check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip

        first, later, _ = timed(run, repeat)
    return {"command": " ".join(["specjax", *arguments]), "first": first, "second": later}


def imports() -> dict:
    """Time imports: of JAX, and of specjax with it."""

    def seconds(what: str) -> float:
        code = (
            f"import time; t = time.perf_counter(); import {what}; print(time.perf_counter() - t)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment(), check=True, stdout=subprocess.PIPE
        )
        return float(done.stdout)

    runs = [(seconds("jax"), seconds("jax, specjax; specjax.fit")) for _ in range(3)]
    jax, both = np.min(runs, 0).tolist()
    return {"jax_seconds": jax, "with_specjax_seconds": both}


def main(argv: list[str] | None = None) -> dict:
    args = options(argv, __doc__, repeat=3, steps=10, most=32, spectra=5, plan_steps=5)
    fit = ["fit", "digits", "--steps", str(args.steps), "--force"]
    result = {
        "imports": imports(),
        "fits": apart("fits", args.steps, args.most),
        "kept": kept_apart(args.steps, args.repeat),
        "mixed": apart("mixed", args.spectra),
        "learning": apart("learning", args.plan_steps),
        "commands": [command(fit, args.repeat), command(["--help"], args.repeat)],
    }
    return write("cold", result, args.folder)


if __name__ == "__main__":
    main()
