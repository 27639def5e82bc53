"""How many images a second does training take, and what share of the device's arithmetic is that?

One update at CIFAR-10 size: DDPM's network (2006.11239, about 38 million parameters), bfloat16,
AdamW, average, on images that lie on the device. The arithmetic is counted from the network's
layers (convolutions, linear layers, attention: twice the multiplications of the forward pass,
times three for a gradient); what XLA counts in the compiled update stands beside it. On a CPU:

    python benchmarks/bench_training.py --width 16 --batch 16 --precision float32

The second question, ``--scan``: what does an update cost inside ``jax.lax.scan``, beside calls of
their own? (On a CPU XLA's convolutions have no threads inside a loop.)
"""

import time
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from common import parser, write

import specjax as sx
from specjax.nn import train_step as steps
from specjax.nn.config import ModelConfig, OptimiserConfig, TrainConfig
from specjax.nn.denoiser import initial_params, untrained
from specjax.nn.run import RunInfo
from specjax.nn.train_step import Batch
from specjax.nn.training import make_task

# Dense bfloat16 arithmetic that the maker states, per second.
LIMITS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}


def run_info(shape: tuple[int, ...], config: TrainConfig) -> RunInfo:
    return RunInfo(
        config=config, content="", shape=shape, class_names=(), source={}, sigma_data=0.5,
        spectrum=sx.Spectrum.power_law(64, 1.0), versions={},
    )  # fmt: skip


def task_for(shape: tuple[int, ...], config: TrainConfig) -> tuple[steps.Task, steps.TrainState]:
    run = run_info(shape, config)
    task = make_task(run, untrained(run).with_params)
    return task, steps.initial_state(task, initial_params(run))


def batch_of(shape: tuple[int, ...], n: int, k: int = 1) -> Batch:
    return Batch(jax.random.uniform(jax.random.key(0), (k, n, *shape), minval=-1), None)


def forward_flops(shape: tuple[int, ...], config: TrainConfig) -> float:
    """Of one sample: all products of matrices and convolutions in the traced network, times two."""
    network = untrained(run_info(shape, config))
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
    """Arithmetic a second: stated for known cards, else that of a matrix product here."""
    kind = jax.devices()[0].device_kind
    for name, flops in LIMITS.items():
        if name in kind:
            return {"flops": flops, "from": f"bfloat16, stated for {kind}"}
    n = 2048
    a = jnp.ones((n, n), precision)
    product = jax.jit(jnp.matmul)
    product(a, a).block_until_ready()
    begun = time.perf_counter()
    for _ in range(5):
        product(a, a).block_until_ready()
    flops = 5 * 2 * n**3 / (time.perf_counter() - begun)
    return {"flops": flops, "from": f"a {precision} product of {n} x {n} matrices on {kind}"}


def measured(args) -> dict:
    shape = (args.side, args.side, 3)
    config = TrainConfig(
        model=ModelConfig(
            width=args.width, multipliers=(1, 2, 2, 2), blocks=2, attention=(args.side // 2,)
        ),
        optimiser=OptimiserConfig(batch=args.batch, precision=args.precision),
    )
    task, state = task_for(shape, config)
    batch = batch_of(shape, args.batch, args.together)
    begun = time.perf_counter()
    update = jax.jit(partial(steps.update, task), donate_argnums=0).lower(state, batch).compile()
    compiled = time.perf_counter() - begun
    counted = update.cost_analysis() or {}
    state, _ = update(state, batch)
    jax.block_until_ready(state)
    seconds = []
    for _ in range(args.repeat):
        begun = time.perf_counter()
        state, metrics = update(state, batch)
        jax.block_until_ready((state, metrics))
        seconds.append((time.perf_counter() - begun) / args.together)
    median = float(np.median(seconds))
    model = 3 * forward_flops(shape, config) * args.batch
    bound = limit(args.precision)
    return {
        "parameters": sum(int(np.prod(x.shape)) for x in jax.tree.leaves(state.params)),
        "shape": shape,
        "batch": args.batch,
        "precision": args.precision,
        "updates_in_a_call": args.together,
        "compile_seconds": compiled,
        "seconds": median,
        "images_per_second": args.batch / median,
        "model_flops_per_update": model,
        "xla_flops_per_call": counted.get("flops"),
        "limit": bound,
        "utilisation": model / median / bound["flops"],
        "loss": float(np.mean(metrics["loss"])),
    }


def scanned(repeat: int) -> dict:
    """Ten updates of the default network on digits: in a scan, and as ten calls."""
    config = TrainConfig(optimiser=replace(OptimiserConfig(), batch=64))
    shape, k = (8, 8), 10
    task, state = task_for(shape, config)
    batches = batch_of(shape, 64, k)
    one = jax.jit(lambda s, b: steps.update(task, s, b))
    loop = jax.jit(lambda s, b: jax.lax.scan(lambda s, x: steps._one_update(task, s, x), s, b))

    def calls(s):
        for i in range(k):
            s, _ = one(s, Batch(batches.samples[i : i + 1], None))
        return jax.block_until_ready(s)

    ways = {"calls": calls, "scan": lambda s: jax.block_until_ready(loop(s, batches)[0])}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeat + 1):
        for name, way in ways.items():
            begun = time.perf_counter()
            way(state)
            if turn:
                seconds[name].append((time.perf_counter() - begun) / k)
    medians = {name: float(np.median(taken)) for name, taken in seconds.items()}
    parameters = sum(int(np.prod(x.shape)) for x in jax.tree.leaves(state.params))
    return {
        "parameters": parameters,
        "seconds_per_update": medians,
        "scan_over_calls": medians["scan"] / medians["calls"],
    }


def main(argv: list[str] | None = None) -> dict:
    made = parser(__doc__)
    made.add_argument("--width", type=int, default=128)
    made.add_argument("--side", type=int, default=32)
    made.add_argument("--batch", type=int, default=512)
    made.add_argument("--precision", default="bfloat16")
    made.add_argument("--together", type=int, default=1, help="updates in one call")
    made.add_argument("--scan", action="store_true", help="compare a scan with calls, too")
    args = made.parse_args(argv)
    result = {"update": measured(args)}
    if args.scan:
        result["scan"] = scanned(max(2, args.repeat // 4))
    return write("training", result, args.folder)


if __name__ == "__main__":
    main()
