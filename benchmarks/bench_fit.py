"""How much faster is a warm fit than SciPy's SLSQP, at a loss no worse?

(a) On the full spectrum of natural patches (d = 3,072), S = 50, DDIM, W2, with exact gradients:
    of a loss for any sampler (specjax's own), and of one written for DDIM alone.
(b) The paper's way (finite differences, alpha_bar), on Sigma_ij = exp(-0.1 |i - j|), d = 50, and
    on the patches, for several S.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from common import clock, options, timed, write
from peers import best_of, ddim_w2, slsqp_exact, slsqp_paper

import specjax as sx

PAPER_RANGE = (4.0358e-5, 0.9999)


def exponential_covariance(d: int) -> sx.Spectrum:
    gap = np.abs(np.subtract.outer(np.arange(d), np.arange(d)))
    return sx.Spectrum.from_covariance(np.exp(-0.1 * gap))


def limit(spectrum: sx.Spectrum, steps: int, repeat: int) -> dict[str, float]:
    """Time the floor of the loop: one jitted value and gradient on the nodes."""
    nodes = spectrum.quadrature()
    schedule = sx.spectral(spectrum, steps)
    finite = schedule.logsnr[:-1]

    @jax.jit
    @jax.value_and_grad
    def objective(levels: jax.Array) -> jax.Array:
        whole = jnp.append(levels, jnp.inf)
        return sx.loss(nodes, sx.NoiseSchedule(whole))

    _, seconds, _ = timed(lambda: objective(finite), 10 * repeat)
    return {"nodes": nodes.dimension, "value_and_gradient_seconds": seconds}


def starts_of(spectrum: sx.Spectrum, steps: int, ends: tuple[float, float]) -> dict:
    """Give the schedules at which peers start: heuristics, and the closed form beside them."""
    made = {
        name: sx.family(name, steps, alpha_bar_range=ends)
        for name in ("uniform_logsnr", "karras", "cosine")
    }
    return {**made, "closed form": sx.spectral(spectrum, steps, alpha_bar_range=ends)}


def peers_of(spectrum: sx.Spectrum, steps: int, ends: tuple[float, float]) -> dict:
    """Run SLSQP for each loss and start."""
    lam, mean = np.asarray(spectrum.eigenvalues), np.asarray(spectrum.mean)
    losses = {
        "any sampler": lambda x: sx.loss(spectrum, sx.NoiseSchedule(x)),
        "DDIM only": lambda x: ddim_w2(lam, mean, x, jnp),
    }
    starts = starts_of(spectrum, steps, ends)
    return {
        peer: {name: slsqp_exact(loss, schedule.logsnr) for name, schedule in starts.items()}
        for peer, loss in losses.items()
    }


def exact_gradients(spectrum: sx.Spectrum, steps: int, repeat: int) -> dict:
    first, seconds, result = timed(lambda: sx.fit(spectrum, steps), repeat)
    runs = peers_of(spectrum, steps, result.alpha_bar_range)
    best = {
        peer: best_of([run for name, run in of.items() if name != "closed form"], 1e-6)
        for peer, of in runs.items()
    }
    parts = {
        "quadrature": lambda: dataclasses.replace(spectrum).quadrature(),
        "closed_form": lambda: sx.spectral(result.nodes, steps),
        "fit_on_nodes": lambda: sx.fit(result.nodes, steps),
        "full_loss": lambda: sx.loss(spectrum, result.schedule),
    }
    return {
        "dimension": spectrum.dimension,
        "steps": steps,
        "fit": {
            "seconds": seconds,
            "compile_seconds": first - seconds,
            "loss": result.value,
            "iterations": result.iterations,
            "converged": result.converged,
        },
        "parts": {
            **{f"{name}_seconds": timed(part, repeat)[1] for name, part in parts.items()},
            **limit(spectrum, steps, repeat),
        },
        "slsqp": runs,
        "ratio": {peer: run["seconds"] / seconds for peer, run in best.items()},
        "ratio_from_closed_form": {
            peer: of["closed form"]["seconds"] / seconds for peer, of in runs.items()
        },
        "loss_over_slsqp": result.value / min(run["loss"] for run in best.values()),
    }


def paper(name: str, spectrum: sx.Spectrum, steps: int, repeat: int, most_seconds: float) -> dict:
    first, seconds, result = timed(
        lambda: sx.fit(spectrum, steps, alpha_bar_range=PAPER_RANGE), repeat
    )
    lam, mean = np.asarray(spectrum.eigenvalues), np.asarray(spectrum.mean)
    start = sx.family("linear", steps, alpha_bar_range=PAPER_RANGE)
    run = slsqp_paper(lam, mean, start.alpha_bar, most_seconds)
    return {
        "data": name,
        "dimension": spectrum.dimension,
        "steps": steps,
        "fit": {"seconds": seconds, "compile_seconds": first - seconds, "loss": result.value},
        "slsqp": run,
        "ratio": run["seconds"] / seconds,
        "loss_over_slsqp": result.value / run["loss"],
    }


def main(argv: list[str] | None = None) -> dict:
    args = options(
        argv, __doc__, data="patches", steps=50, paper_steps=[20, 30, 40, 50], most_seconds=60.0
    )
    spectrum_seconds, spectrum = clock(lambda: sx.data.open(args.data).spectrum())
    spectrum = dataclasses.replace(spectrum, basis=None).floor(1e-12)
    rest = (args.repeat, args.most_seconds)
    narrow = paper("exponential", exponential_covariance(50), args.paper_steps[-1], *rest)
    wide = [paper(args.data, spectrum, steps, *rest) for steps in args.paper_steps]
    with jax.enable_x64(True):
        exact = exact_gradients(spectrum, args.steps, args.repeat)
    result = {
        "data": args.data,
        "spectrum_seconds": spectrum_seconds,
        "exact_gradients": exact,
        "paper": [narrow, *wide],
    }
    return write("fit", result, args.folder)


if __name__ == "__main__":
    main()
