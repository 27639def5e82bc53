import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import by_default
from flax import nnx

from specjax.nn.denoiser import LEAST_LOGSNR, TARGETS, Labelled, NetworkDenoiser, network_shape
from specjax.nn.unet import Attention, Downsample, ResidualBlock, UNet, Upsample
from specjax.sampling.denoisers import logsnr_level

FLOAT32 = 2e-5  # rounding of a few hundred sums of numbers of order one


def drawn(make, seed=0, scale=0.2):
    """A module with all parameters drawn: what starts at zero hides mistakes."""
    graph, params = nnx.split(nnx.eval_shape(make))
    rng = np.random.default_rng(seed)
    filled = jax.tree.map(
        lambda x: jnp.asarray(scale * rng.normal(size=x.shape), jnp.float32), params
    )
    return nnx.merge(graph, filled)


def unet_of(shape=(8, 8, 1), seed=0, scale=0.2, **options):
    return drawn(
        lambda: UNet(shape, **{"width": 8, **options}, rngs=nnx.Rngs(0)), seed=seed, scale=scale
    )


def answer(module, *args):
    graph, params = nnx.split(module)
    return jax.jit(lambda params, *args: nnx.merge(graph, params)(*args))(params, *args)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "dtype"),
    by_default([((9, 7, 3), jnp.float32), ((25, 2), jnp.float32), ((25, 2), jnp.bfloat16)], 0, 2),
)
def test_sides_channels_and_dtypes(shape, dtype):
    unet = unet_of(shape, multipliers=(1, 2), blocks=1, attention=(-(-shape[0] // 2),), dtype=dtype)
    assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(nnx.state(unet)))
    x = jax.random.normal(jax.random.key(1), (3, *shape))
    out = answer(unet, x, jnp.array([-5.0, 0.0, 5.0]))
    assert (out.shape, out.dtype) == (x.shape, jnp.float32)
    # A sample knows nothing of the others in its batch, and the level is its own.
    alone = answer(unet, x[1:2], 0.0)
    tolerance = FLOAT32 if dtype == jnp.float32 else 0.1
    scale = float(jnp.abs(out).max())
    np.testing.assert_allclose(out[1:2], alone, atol=tolerance * scale)
    assert float(jnp.abs(answer(unet, x[1:2], 5.0) - alone).max()) > 0.02 * scale


@pytest.mark.slow
def test_bfloat16_computes_what_float32_does():
    x = jax.random.normal(jax.random.key(1), (4, 8, 8, 1))
    exact, rounded = (
        answer(unet_of(multipliers=(1,), dtype=dtype), x, 1.0)
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    error = jnp.sqrt(jnp.mean((exact - rounded) ** 2) / jnp.mean(exact**2))
    assert 1e-4 < error < 0.05  # eight bits of mantissa through some twenty layers


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_an_answer_of_zero_is_the_closed_form_of_no_knowledge(target):
    """As of an untrained network: it leaves the part of the input that the adapter keeps."""
    graph, params = nnx.split(unet_of())
    for name in ("kernel", "bias"):
        params["leave"][name] = jax.tree.map(jnp.zeros_like, params["leave"][name])
    denoise = jax.jit(NetworkDenoiser(params, graph, target, 0.5, (8, 8, 1)))
    x = jax.random.normal(jax.random.key(0), (5, 8, 8))
    alpha, sigma = 0.8, 0.6
    s2 = (sigma / alpha) ** 2
    kept = {
        "f": 0.25 / (s2 + 0.25), "eps": 1.0, "v": 1 / (1 + s2), "flow": 1 / (1 + np.sqrt(s2))
    }[target]  # fmt: skip
    np.testing.assert_allclose(denoise(x, alpha, sigma), kept * x / alpha, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_a_perfect_answer_gives_the_data_back(target):
    """x0 through the definition of what each target is."""
    x0, noise = jax.random.normal(jax.random.key(0), (2, 4, 8, 8, 1))
    s, sd = 1.7, 0.5
    alpha, sigma = 1 / np.sqrt(1 + s**2), s / np.sqrt(1 + s**2)

    def network(scaled, level):
        t = s / (1 + s)
        told = 30 * (0.5 - t) if target == "flow" else -2 * np.log(s)
        np.testing.assert_allclose(level, told, rtol=1e-6)
        if target == "eps":
            return noise
        if target == "flow":
            np.testing.assert_allclose(scaled, (1 - t) * x0 + t * noise, atol=1e-5)
            return noise - x0
        if target == "v":
            return alpha * noise - sigma * x0
        y = x0 + s * noise
        return (x0 - sd**2 / (s**2 + sd**2) * y) * np.sqrt(s**2 + sd**2) / (s * sd)

    denoise = TARGETS[target].denoiser(network, sd)
    found = denoise(alpha * x0 + sigma * noise, alpha, sigma)
    np.testing.assert_allclose(found, x0, atol=1e-5)


@pytest.mark.slow
def test_attention_is_the_softmax_of_products():
    attention = drawn(lambda: Attention(16, 8, dtype=jnp.float32, rngs=nnx.Rngs(0)), 3)
    x = jax.random.normal(jax.random.key(0), (2, 3, 5, 16))
    h = np.asarray(attention.norm(x), np.float64).reshape(2, 15, 16)
    qkv = h @ np.asarray(attention.qkv.kernel[...], np.float64) + np.asarray(
        attention.qkv.bias[...]
    )
    q, k, v = (part.reshape(2, 15, 2, 8) for part in np.split(qkv.reshape(2, 15, 6, 8), 3, 2))
    scores = np.einsum("nqhc,nkhc->nhqk", q, k) / np.sqrt(8)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    mixed = np.einsum("nhqk,nkhc->nqhc", weights, v).reshape(2, 15, 16)
    out = mixed @ np.asarray(attention.out.kernel[...]) + np.asarray(attention.out.bias[...])
    np.testing.assert_allclose(attention(x), x + out.reshape(x.shape), atol=FLOAT32)


@pytest.mark.slow
def test_film_scales_and_shifts_between_the_convolutions():
    block = drawn(
        lambda: ResidualBlock(8, 8, 12, 1, dropout=0.0, dtype=jnp.float32, rngs=nnx.Rngs(0))
    )
    x = jax.random.normal(jax.random.key(0), (2, 9, 8))
    features = jax.random.normal(jax.random.key(1), (2, 12))
    film = features @ block.film.kernel[...] + block.film.bias[...]
    scale, shift = film[:, None, :8], film[:, None, 8:]
    h = block.norm_out(block.conv_in(nnx.silu(block.norm_in(x))))
    expected = x + block.conv_out(nnx.silu(h * (1 + scale) + shift))
    np.testing.assert_allclose(block(x, features, None), expected, atol=FLOAT32)


@pytest.mark.slow
def test_dropout_needs_a_key():
    block = drawn(
        lambda: ResidualBlock(8, 8, 4, 2, dropout=0.5, dtype=jnp.float32, rngs=nnx.Rngs(0))
    )
    x, features = jax.random.normal(jax.random.key(0), (2, 4, 4, 8)), jnp.ones((2, 4))
    np.testing.assert_array_equal(block(x, features, None), block(x, features, None))
    first, second = (block(x, features, jax.random.key(i)) for i in range(2))
    assert float(jnp.abs(first - second).max()) > 0


@pytest.mark.thorough
@pytest.mark.parametrize("sides", [(8, 8), (7, 5), (25,)], ids=str)
def test_down_and_up_come_back_to_the_same_sides(sides):
    form = {"dtype": jnp.float32, "rngs": nnx.Rngs(0)}
    x = jnp.ones((1, *sides, 4))
    low = Downsample(4, len(sides), **form)(x)
    assert low.shape[1:-1] == tuple(-(-side // 2) for side in sides)
    up = Upsample(4, len(sides), **form)
    up.conv = lambda x: x
    assert up(low, sides).shape[1:-1] == sides
    np.testing.assert_array_equal(up(low, sides)[0, 0], up(low, sides)[0, 1])


@pytest.mark.slow
def test_the_size_of_the_cifar_network_is_that_of_ddpm():
    """2006.11239, appendix B: 35.7 million parameters; FiLM doubles their time projections."""
    unet = nnx.eval_shape(
        lambda: UNet((32, 32, 3), width=128, multipliers=(1, 2, 2, 2), attention=(16,),
                     rngs=nnx.Rngs(0))
    )  # fmt: skip
    count = sum(np.prod(p.shape) for p in jax.tree.leaves(nnx.state(unet)))
    assert 35e6 < count < 40e6


@pytest.mark.slow
def test_attention_is_at_the_sides_that_are_asked_for():
    """28, 14, 7, 4: two blocks on the way down and three on the way up at each of two of them."""
    unet = nnx.eval_shape(
        lambda: UNet((28, 28, 1), width=8, multipliers=(1, 1, 1, 1), attention=(14, 7),
                     rngs=nnx.Rngs(0))
    )  # fmt: skip

    def attending(parts):
        return [p.attention is not None for p in parts if hasattr(p, "attention")]

    assert attending(unet.down) == [False] * 2 + [True] * 4 + [False] * 2
    assert attending(unet.up) == [False] * 3 + [True] * 6 + [False] * 3


def test_heads_divide_the_channels():
    attention = drawn(lambda: Attention(56, 16, dtype=jnp.float32, rngs=nnx.Rngs(0)))
    assert attention.heads == 2  # 3 heads would not
    assert answer(attention, jnp.ones((1, 4, 56))).shape == (1, 4, 56)


@pytest.mark.slow
def test_labels_reach_the_network():
    graph, params = nnx.split(unet_of(multipliers=(1,), classes=3))
    network = NetworkDenoiser(params, graph, "f", 0.5, (8, 8, 1))
    call = jax.jit(lambda d, *args: d(*args))
    x = jax.random.normal(jax.random.key(0), (3, 8, 8))
    labels = jnp.array([2, 0, 1])
    told = call(network, x, 1.0, 1.0, labels)
    np.testing.assert_allclose(call(Labelled(network, labels), x, 1.0, 1.0), told, atol=1e-6)
    np.testing.assert_allclose(
        told[1:2], call(network, x[1:2], 1.0, 1.0, jnp.array([0])), atol=FLOAT32
    )
    untold = call(network, x, 1.0, 1.0)
    np.testing.assert_allclose(untold, call(network, x, 1.0, 1.0, jnp.full(3, 3)), atol=1e-6)
    assert float(jnp.abs(told - untold).max()) > 1e-3


@pytest.mark.slow
def test_a_denoiser_is_a_pytree():
    """Other parameters, the same program."""
    traced = []

    @jax.jit
    def run(denoise, x):
        traced.append(x.shape)
        return denoise(x, 1.0, 1.0)

    for seed in range(2):
        graph, params = nnx.split(unet_of(seed=seed))
        denoise = NetworkDenoiser(params, graph, "f", 0.5, (8, 8, 1))
        run(denoise, jnp.ones((2, 8, 8)))
    assert len(traced) == 1


@pytest.mark.parametrize(
    ("shape", "spatial", "seen"),
    [((8, 8), None, (8, 8, 1)), ((8, 8, 3), None, (8, 8, 3)), ((40,), None, (40, 1)),
     ((40, 2), 1, (40, 2))],
)  # fmt: skip
def test_what_the_network_sees(shape, spatial, seen):
    assert network_shape(shape, spatial) == seen


@pytest.mark.parametrize(("shape", "spatial"), [((2, 3, 4, 5), None), ((8, 8, 3), 1), ((8,), 2)])
def test_shapes_that_no_network_takes(shape, spatial):
    with pytest.raises(ValueError, match="spatial"):
        network_shape(shape, spatial)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["v", "flow"])
def test_a_network_is_told_of_pure_noise(target):
    """alpha = 0 for one of two samples: its estimate is what the definition says."""
    graph, params = nnx.split(unet_of())
    denoise = NetworkDenoiser(params, graph, target, 0.5, (8, 8, 1))
    x = jax.random.normal(jax.random.key(0), (2, 8, 8))
    found = jax.jit(denoise)(x, jnp.array([0.0, 0.6]), jnp.array([1.0, 0.8]))
    told = LEAST_LOGSNR if target == "v" else -15.0  # 30 (1/2 - t)
    answer = nnx.merge(graph, params)(x[:1, ..., None], jnp.array([told]))[..., 0]
    wanted = -answer if target == "v" else x[:1] - answer
    np.testing.assert_allclose(found[:1], wanted, rtol=1e-4, atol=1e-5)
    assert np.isfinite(found).all()


def test_the_level_is_logsnr():
    assert float(logsnr_level(jnp.exp(1.0))) == pytest.approx(-2.0)
