"""How much faster is a warm fit than SciPy's SLSQP, at a loss no worse?

(a) On the full spectrum of natural patches (d = 3,072), S = 50, DDIM, W2, with exact gradients.
(b) The paper's way (finite differences, alpha_bar) on Sigma_ij = exp(-0.1 |i - j|), d = 50,
    S = 10, where it converges.
"""

import time

import jax
import numpy as np
from common import parser, timed, write
from peers import best_of, ddim_w2, slsqp_exact, slsqp_paper

import specjax as sx

PAPER_RANGE = (4.0358e-5, 0.9999)


def exponential_covariance(d: int) -> sx.Spectrum:
    gap = np.abs(np.subtract.outer(np.arange(d), np.arange(d)))
    return sx.Spectrum.from_covariance(np.exp(-0.1 * gap))


def limit(spectrum: sx.Spectrum, steps: int, repeat: int) -> dict[str, float]:
    """The floor of the loop: one jitted value and gradient on the nodes."""
    nodes = spectrum.quadrature()
    schedule = sx.spectral(spectrum, steps)
    finite = schedule.logsnr[:-1]

    @jax.jit
    @jax.value_and_grad
    def objective(levels: jax.Array) -> jax.Array:
        whole = jax.numpy.append(levels, jax.numpy.inf)
        return sx.loss(nodes, sx.NoiseSchedule(whole))

    _, seconds, _ = timed(lambda: jax.block_until_ready(objective(finite)), 10 * repeat)
    return {"nodes": nodes.dimension, "value_and_gradient_seconds": seconds}


def exact_gradients(spectrum: sx.Spectrum, steps: int, repeat: int) -> dict:
    first, seconds, result = timed(lambda: sx.fit(spectrum, steps), repeat)
    lam, mean = np.asarray(spectrum.eigenvalues), np.asarray(spectrum.mean)
    range_ = result.alpha_bar_range
    starts = {
        "uniform_logsnr": sx.family("uniform_logsnr", steps, alpha_bar_range=range_).logsnr,
        "karras": sx.family("karras", steps, alpha_bar_range=range_).logsnr,
        "cosine": sx.family("cosine", steps, alpha_bar_range=range_).logsnr,
        "closed form": sx.spectral(spectrum, steps).logsnr,
    }
    runs = {name: slsqp_exact(lam, mean, levels) for name, levels in starts.items()}
    without = best_of([run for name, run in runs.items() if name != "closed form"], 1e-6)
    return {
        "dimension": spectrum.dimension,
        "steps": steps,
        "fit": {
            "seconds": seconds,
            "compile_seconds": first - seconds,
            "loss": float(ddim_w2(lam, mean, result.schedule.logsnr, np)),
            "iterations": result.iterations,
            "converged": result.converged,
        },
        "parts": {
            "quadrature_seconds": timed(spectrum.quadrature, repeat)[1],
            "closed_form_seconds": timed(lambda: sx.spectral(result.nodes, steps), repeat)[1],
            "fit_on_nodes_seconds": timed(lambda: sx.fit(result.nodes, steps), repeat)[1],
            "full_loss_seconds": timed(lambda: sx.loss(spectrum, result.schedule), repeat)[1],
            **limit(spectrum, steps, repeat),
        },
        "slsqp": runs,
        "ratio": without["seconds"] / seconds,
        "ratio_from_closed_form": runs["closed form"]["seconds"] / seconds,
        "loss_over_slsqp": result.value / min(run["loss"] for run in runs.values()),
    }


def paper(spectrum: sx.Spectrum, steps: int, repeat: int, most_seconds: float) -> dict:
    first, seconds, result = timed(
        lambda: sx.fit(spectrum, steps, alpha_bar_range=PAPER_RANGE), repeat
    )
    lam, mean = np.asarray(spectrum.eigenvalues), np.asarray(spectrum.mean)
    starts = ("linear", "cosine", "linear_alpha_bar")
    levels = {name: sx.family(name, steps, alpha_bar_range=PAPER_RANGE) for name in starts}
    runs = {
        name: slsqp_paper(lam, mean, schedule.alpha_bar, most_seconds)
        for name, schedule in levels.items()
    }
    best = best_of(list(runs.values()), 1e-3)
    return {
        "dimension": spectrum.dimension,
        "steps": steps,
        "fit": {"seconds": seconds, "compile_seconds": first - seconds, "loss": result.value},
        "slsqp": runs,
        "ratio": best["seconds"] / seconds,
        "loss_over_slsqp": result.value / min(run["loss"] for run in runs.values()),
    }


def main(argv: list[str] | None = None) -> dict:
    made = parser(__doc__)
    made.add_argument("--data", default="patches")
    made.add_argument("--steps", type=int, default=50)
    made.add_argument("--paper-steps", type=int, default=10)
    made.add_argument("--most-seconds", type=float, default=120.0)
    args = made.parse_args(argv)
    began = time.perf_counter()
    spectrum = sx.data.open(args.data).spectrum()
    spectrum_seconds = time.perf_counter() - began
    with jax.enable_x64(True):
        result = {
            "data": args.data,
            "spectrum_seconds": spectrum_seconds,
            "exact_gradients": exact_gradients(spectrum.floor(1e-12), args.steps, args.repeat),
            "paper": paper(
                exponential_covariance(50), args.paper_steps, args.repeat, args.most_seconds
            ),
        }
    return write("fit", result, args.folder)


if __name__ == "__main__":
    main()
