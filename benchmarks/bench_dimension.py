"""Does the time to fit grow with the dimension, beyond the one-off spectrum?"""

import dataclasses

from common import options, timed, write

import specjax as sx


def row(dimension: int, steps: int, repeat: int) -> dict:
    spectrum = sx.Spectrum.power_law(dimension, 1.2, scale=100.0)
    _, quadrature_seconds, nodes = timed(
        lambda: dataclasses.replace(spectrum).quadrature(40), min(repeat, 3)
    )
    _, seconds, result = timed(lambda: sx.fit(nodes, steps), repeat)
    _, loss_seconds, loss = timed(lambda: float(sx.loss(spectrum, result.schedule)), min(repeat, 3))
    return {
        "dimension": dimension,
        "fit_seconds": seconds,
        "iterations": result.iterations,
        "converged": result.converged,
        "quadrature_seconds": quadrature_seconds,
        "full_loss_seconds": loss_seconds,
        "loss": loss,
        "loss_on_nodes_over_full": result.node_value / loss,
    }


def main(argv: list[str] | None = None) -> dict:
    dimensions = [64, 1024, 16_384, 262_144, 1_000_000]
    args = options(argv, __doc__, dimensions=dimensions, steps=20)
    sx.fit(sx.Spectrum.power_law(40, 1.2).quadrature(40), args.steps)
    rows = [row(dimension, args.steps, args.repeat) for dimension in args.dimensions]
    per_iteration = [one["fit_seconds"] / (one["iterations"] + 1) for one in rows]
    seconds = [one["fit_seconds"] for one in rows]
    result = {
        "steps": args.steps,
        "rows": rows,
        "largest_over_smallest_dimension": seconds[-1] / seconds[0],
        "slowest_over_fastest": max(seconds) / min(seconds),
        "slowest_over_fastest_per_iteration": max(per_iteration) / min(per_iteration),
    }
    return write("dimension", result, args.folder)


if __name__ == "__main__":
    main()
