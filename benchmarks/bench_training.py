"""How many images a second does training take, and what share of the device's arithmetic is that?

One update at CIFAR-10 size: DDPM's network (2006.11239, about 38 million parameters), bfloat16,
AdamW, average, on images that lie on the device. The arithmetic is counted from the network's
layers (convolutions, linear layers, attention: twice the multiplications of the forward pass,
times three for a gradient); what XLA counts in the compiled update stands beside it. On a CPU:

    python benchmarks/bench_training.py --width 16 --batch 16 --precision float32
"""

import jax
import jax.numpy as jnp
import numpy as np
from common import options, stated_limit, timed, write
from updates import Shape, Updates, median_seconds, network_for

from specjax.nn.config import ModelConfig, OptimiserConfig, TrainConfig

# Dense bfloat16 arithmetic that the maker states, per second.
LIMITS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}


def forward_flops(shape: Shape, config: TrainConfig) -> float:
    """Count products of matrices and convolutions in the traced network, times two, of a sample."""
    network = network_for(shape, config)
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    call = jax.make_jaxpr(lambda p, x: network.with_params(p)(x, 1.0, 1.0))(network.params, x)
    return sum(map(_flops, _equations(call.jaxpr)))


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        inner = [p for p in equation.params.values() if hasattr(p, "jaxpr") or hasattr(p, "eqns")]
        for each in inner:
            yield from _equations(getattr(each, "jaxpr", each))
        if not inner:
            yield equation


def _flops(equation) -> float:
    out = np.prod(equation.outvars[0].aval.shape)
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        sides = equation.invars[0].aval.shape
        return 2 * out * np.prod([sides[axis] for axis in contracted])
    if equation.primitive.name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        features = equation.params["dimension_numbers"].rhs_spec[0]
        return 2 * out * np.prod(kernel) / kernel[features]
    return 0.0


def limit(precision: str) -> dict:
    """Give arithmetic a second: stated for known cards, else that of a matrix product here."""
    stated = stated_limit(LIMITS)
    if stated:
        return {"flops": stated[0], "from": f"bfloat16, stated for {stated[1]}"}
    n, kind = 2048, jax.devices()[0].device_kind
    a = jnp.ones((n, n), precision)
    seconds = median_seconds(jax.jit(jnp.matmul), a, a, repeat=5)
    source = f"a {precision} product of {n} x {n} matrices on {kind}"
    return {"flops": 2 * n**3 / seconds, "from": source}


def main(argv: list[str] | None = None) -> dict:
    # --together is the number of updates in one call.
    given = {"width": 128, "side": 32, "batch": 512, "precision": "bfloat16", "together": 1}
    args = options(argv, __doc__, **given)
    shape, attention = (args.side, args.side, 3), (args.side // 2,)
    model = ModelConfig(width=args.width, multipliers=(1, 2, 2, 2), blocks=2, attention=attention)
    optimiser = OptimiserConfig(batch=args.batch, precision=args.precision)
    config = TrainConfig(model=model, optimiser=optimiser)
    update = Updates(shape, config, args.together)
    _, seconds, _ = timed(update, args.repeat)
    median = seconds / args.together
    flops, bound = 3 * forward_flops(shape, config) * args.batch, limit(args.precision)
    result = {
        "parameters": update.parameters,
        "shape": shape,
        "batch": args.batch,
        "precision": args.precision,
        "updates_in_a_call": args.together,
        "compile_seconds": update.compile_seconds,
        "seconds": median,
        "images_per_second": args.batch / median,
        "model_flops_per_update": flops,
        "xla_flops_per_call": (update.update.cost_analysis() or {}).get("flops"),
        "limit": bound,
        "utilisation": flops / median / bound["flops"],
        "loss": float(np.mean(update.metrics["loss"])),
    }
    return write("training", {"update": result}, args.folder)


if __name__ == "__main__":
    main()
