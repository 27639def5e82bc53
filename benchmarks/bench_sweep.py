"""How many converged schedules a minute, beside a loop of SciPy's SLSQP, and how near the limit?

DDIM and DDPM, W2 and KL, S = 20, 40 nodes (and 20 for the mean where there is one), mixed spectra:
digits, photographs, power laws, stretched exponentials, a white one. The whole of ``sx.sweep`` is
timed, to the Parquet table on disk. On a GPU it is the same command; ``--fits`` should then be
some millions.
"""

import tempfile

import jax
import numpy as np
from common import clock, options, stated_limit, timed, write
from peers import slsqp_of_nodes

import specjax as sx
from specjax._core.distributed import use_all_cores
from specjax.fitting.problem import log_loss
from specjax.gaussian.losses import loss_of
from specjax.sweep.groups import groups, pool, quadratures
from specjax.sweep.programs import local_mesh
from specjax.sweep.solve import batch_size

SAMPLERS, LOSSES, NOISY = ("ddim", "ddpm"), ("w2", "kl"), 4.0358e-5

# Arithmetic in float64 and memory traffic that the maker states, per second; a CPU's are measured.
LIMITS = {"H200": (33.5e12, 4.8e12), "H100": (33.5e12, 3.35e12), "A100": (9.7e12, 2.0e12)}


def mixed_spectra(count: int) -> dict[str, sx.Spectrum]:
    """Make real and synthetic spectra, all different."""
    rng = np.random.default_rng(0)
    found = {name: sx.data.open(name).spectrum().floor(1e-6) for name in ("digits", "patches")}
    found["white"] = sx.Spectrum(np.ones(64))
    for i in range(count - len(found)):
        d = int(10 ** rng.uniform(2, 3.5))
        if i % 3:
            law = sx.Spectrum.power_law(d, rng.uniform(0.5, 2.5), 10 ** rng.uniform(-1, 2))
        else:
            k = np.arange(d) / d
            law = sx.Spectrum(np.exp(-((rng.uniform(3, 14) * k) ** rng.uniform(0.3, 1.0))))
        found[f"spectrum {i}"] = law
    return found


def axes(fits: int, steps: int, most_spectra: int) -> dict:
    """Make a product of at least ``fits``: spectra, and ends at slightly different noise levels."""
    each = -(-fits // (len(SAMPLERS) * len(LOSSES)))
    spectra = min(each, most_spectra)
    noisy = NOISY * np.geomspace(0.5, 2, -(-each // spectra))
    return {
        "spectra": mixed_spectra(spectra),
        "steps": [steps],
        "samplers": list(SAMPLERS),
        "losses": list(LOSSES),
        "alpha_bar_ranges": [(float(end), 1.0) for end in noisy],
    }


def swept(wanted: dict) -> tuple[float, sx.SweepResult]:
    with tempfile.TemporaryDirectory() as folder:
        seconds, result = clock(lambda: sx.sweep(**wanted, out=f"{folder}/sweep"))
        assert result.table.num_rows == result.sweep.size  # read before the folder is removed
        return seconds, result


def loop_of_slsqp(wanted: dict, rows: list[dict]) -> dict:
    """Run SLSQP on the same nodes from the same start, one after another."""
    sweep = sx.Sweep(**wanted)
    made = quadratures(sweep)
    nodes = {
        (one.name, unit): made[i, unit]
        for i, one in enumerate(sweep.effective_spectra)
        for unit in (False, True)
        if (i, unit) in made
    }
    seconds, ratios, converged = [], [], 0
    for row in rows:
        ends = (row["alpha_bar_noisy"], row["alpha_bar_clean"])
        unit = loss_of(row["loss"]).in_data_units
        spectrum = nodes[row["spectrum"], unit]
        start = sx.spectral(spectrum, row["steps"], loss=row["loss"], alpha_bar_range=ends)
        run = slsqp_of_nodes(spectrum, row["sampler"], row["loss"], np.asarray(start.logsnr))
        seconds.append(run["seconds"])
        ratios.append(row["value"] / run["loss"])
        converged += run["converged"]
    return {
        "fits": len(rows),
        "seconds_per_fit": float(np.mean(seconds)),
        "converged": converged / len(rows),
        "per_minute": 60 / float(np.mean(seconds)),
        "loss_over_slsqp_largest": float(max(ratios)),
        "loss_over_slsqp_median": float(np.median(ratios)),
    }


def work(wanted: dict, iterations: dict[tuple[str, str], float]) -> list[dict]:
    """Count arithmetic and memory traffic of a value and gradient, as XLA does, per group."""
    sweep, mesh = sx.Sweep(**wanted), local_mesh()
    nodes, found = quadratures(sweep), []
    for group in groups(sweep):
        shape, _, shared, fits = pool([(group, np.arange(group.size))], nodes)
        width = shared.nodes.eigenvalues.shape[-1]
        size = batch_size(shape, 1, width, mesh, group.size) // mesh.size
        with jax.enable_x64(True):
            theta = np.zeros((size, shape.steps - 1))

            def gradient(spectrum, discretization, loss, theta, shape=shape, shared=shared):
                tables = jax.tree.map(jax.numpy.asarray, shared)
                function = log_loss(shape, tables.of(spectrum, discretization, loss))
                return jax.value_and_grad(function)(theta)

            rows = np.arange(size) % group.size
            at = (fits.spectrum[rows], fits.discretization[rows], fits.loss[rows], theta)
            compiled = jax.jit(jax.vmap(gradient)).lower(*at).compile()
        cost = compiled.cost_analysis()
        update = 8 * shape.steps**2  # the BFGS matrix: one product, one update
        sampler, loss = group.objective.sampler.name, group.objective.loss.name
        mean = iterations[sampler, loss]
        found.append(
            {
                "sampler": sampler,
                "loss": loss,
                "batch_per_device": size,
                "iterations": mean,
                "flops_per_fit": mean * (cost["flops"] / size + update),
                "bytes_per_fit": mean * cost["bytes accessed"] / size,
            }
        )
    return found


def limits() -> dict:
    """Give peak arithmetic and memory traffic: stated for a GPU, measured for a CPU."""
    stated = stated_limit(LIMITS)
    if stated:
        (flops, traffic), kind = stated
        return {"flops": flops, "bytes": traffic, "from": f"stated for {kind}"}
    a, big = np.random.default_rng(0).normal(size=(2000, 2000)), np.zeros(2**26)
    _, product, _ = timed(lambda: a @ a, 5)
    _, addition, _ = timed(lambda: np.add(big, 1.0, out=big), 5)
    return {
        "flops": 2 * 2000**3 / product,
        "bytes": 2 * big.nbytes / addition,
        "from": "measured: dgemm on all cores; x += 1 over 0.5 GB on one",
    }


def main(argv: list[str] | None = None) -> dict:
    # --slsqp counts the fits of the paired loop.
    args = options(argv, __doc__, fits=40_000, steps=20, spectra=250, slsqp=60)
    wanted = axes(args.fits, args.steps, args.spectra)
    for spectrum in wanted["spectra"].values():
        spectrum.quadrature()
    first, _ = swept(wanted)
    seconds, result = swept(wanted)
    table = result.table
    count, converged = table.num_rows, int(np.sum(table.column("converged").to_numpy()))
    means = table.group_by(["sampler", "loss"]).aggregate([("iterations", "mean")]).to_pylist()
    mean = {(row["sampler"], row["loss"]): row["iterations_mean"] for row in means}
    chosen = np.random.default_rng(1).choice(count, min(args.slsqp, count), replace=False)
    with jax.enable_x64(True):
        peer = loop_of_slsqp(wanted, table.take(chosen).to_pylist())
    groups, peak = work(wanted, mean), limits()
    share = {
        what: float(np.mean([g[f"{what}_per_fit"] for g in groups])) * count / seconds
        for what in ("flops", "bytes")
    }
    answer = {
        "fits": count,
        "steps": args.steps,
        "spectra": len(wanted["spectra"]),
        "nodes": next(iter(quadratures(sx.Sweep(**wanted)).values())).dimension,
        "seconds": seconds,
        "first_seconds_with_compilation": first,
        "converged": converged / count,
        "converged_per_minute": 60 * converged / seconds,
        "slsqp": peer,
        "ratio": 60 * converged / seconds / peer["per_minute"],
        "work": groups,
        "limits": peak,
        "flops_per_second": share["flops"],
        "bytes_per_second": share["bytes"],
        "share_of_arithmetic": share["flops"] / peak["flops"],
        "share_of_traffic": share["bytes"] / peak["bytes"],
    }
    return write("sweep", answer, args.folder)


if __name__ == "__main__":
    use_all_cores()
    main()
