"""Modules of torch as denoisers, against closed forms and torch's own numbers."""

import importlib
from types import SimpleNamespace

import checks
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import specjax as sx

torch = pytest.importorskip("torch", reason="needs torch: pip install -e '.[interop]'")
interop = importlib.import_module("specjax.interop.torch")

LAM, MU = 2.0, 0.4
SHAPE = (2, 3)
LEVELS = [(0.6, 0.8), (0.02, 0.9998), (1.0, 4 / 3), (1.0, 0.05)]  # VP and VE
RTOL = {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}  # of numbers of order 1 to 3


def samples(n=5, seed=0):
    return np.random.default_rng(seed).normal(size=(n, *SHAPE)).astype(np.float32)


def posterior_mean(x, alpha, sigma):
    """Of one Gaussian number with mean MU and variance LAM."""
    return MU + alpha * LAM * (x - alpha * MU) / (alpha**2 * LAM + sigma**2)


class Ideal(torch.nn.Module):
    """The exact prediction for Gaussian data, told s itself in place of a timestep."""

    def __init__(self, prediction):
        super().__init__()
        self.prediction = prediction
        self.one = torch.nn.Parameter(torch.ones(()))

    def forward(self, x, s):
        s = s.to(x.dtype)[:, None, None] * self.one
        if self.prediction == "flow":  # x_t = (1 - t) x0 + t eps, v = eps - x0
            t = s / (1 + s)
            x0 = posterior_mean(x, 1 - t, t)
            return (x - (1 - t) * x0) / t - x0
        if self.prediction == "edm":  # 2206.00364, table 1, sigma_data = 0.5
            root = (s**2 + 0.25).sqrt()
            x0 = posterior_mean(x * root, 1.0, s)
            return (x0 - 0.25 / root**2 * x * root) * root / (0.5 * s)
        alpha, sigma = 1 / (1 + s**2).sqrt(), s / (1 + s**2).sqrt()
        x0 = posterior_mean(x, alpha, sigma)
        eps = (x - alpha * x0) / sigma
        return {"sample": x0, "epsilon": eps, "v_prediction": alpha * eps - sigma * x0}[
            self.prediction
        ]


def itself(s):
    return s


@pytest.mark.parametrize("make", ["denoiser", "differentiable"])
@pytest.mark.parametrize("prediction", interop.PREDICTIONS)
def test_every_prediction_of_an_ideal_network_gives_the_posterior_mean(prediction, make):
    more = {"shape": SHAPE, "batch": 2} if make == "denoiser" else {}
    denoise = getattr(interop, make)(Ideal(prediction), prediction, level=itself, **more)
    for alpha, sigma in LEVELS:
        x = alpha * samples() + sigma
        got = denoise(x, alpha, sigma)
        # eps from x loses what s enlarges: rounding of x / sigma, times s.
        rtol = RTOL["float32"] * max(1, sigma / alpha)
        np.testing.assert_allclose(got, posterior_mean(x, alpha, sigma), rtol, rtol)
        assert isinstance(got, np.ndarray if make == "denoiser" else jax.Array)


class Recorder(torch.nn.Module):
    """A module that keeps what it was called with, and answers as it is told."""

    def __init__(self, answer=lambda x: 0 * x, dtype=torch.float32):
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones((), dtype=dtype))
        self.dropout = torch.nn.Dropout(0.5)
        self.answer, self.seen = answer, []

    def forward(self, x, timestep, class_labels=None, **more):
        self.seen.append(SimpleNamespace(
            x=x, timestep=timestep, class_labels=class_labels, more=more,
            training=[part.training for part in self.modules()], inference=x.is_inference(),
        ))  # fmt: skip
        return self.answer(x)


BETAS = np.linspace(1e-4, 0.02, 1000)


@pytest.mark.parametrize(
    "grid",
    [
        "ddpm",
        sx.GRIDS["ddpm"],
        {"beta_schedule": "linear", "prediction_type": "epsilon"},
        SimpleNamespace(config={"beta_schedule": "linear"}),
        "file",
    ],
    ids=["name", "grid", "config", "scheduler", "file"],
)
def test_timesteps_are_those_of_the_grid(grid, tmp_path):
    if grid == "file":
        grid = str(tmp_path / "scheduler_config.json")
        (tmp_path / "scheduler_config.json").write_text('{"beta_schedule": "linear"}')
    module = Recorder()
    denoise = interop.denoiser(module, shape=SHAPE, grid=grid)
    alpha_bar = np.cumprod(1 - BETAS)
    for t in (0, 500, 999):
        alpha, sigma = np.sqrt(alpha_bar[t]), np.sqrt(1 - alpha_bar[t])
        for scale in (1, 1 / alpha):  # VP, VE
            denoise(samples(), alpha * scale, sigma * scale)
            seen = module.seen[-1]
            np.testing.assert_allclose(seen.timestep, np.full(5, t), atol=1e-3)
            np.testing.assert_allclose(seen.x, samples() / scale, 1e-5, 1e-5)


def test_levels_beyond_the_noisy_end_of_the_grid_are_refused():
    denoise = interop.denoiser(Recorder(), shape=SHAPE, grid="ddpm")
    most = float(np.sqrt((1 - np.prod(1 - BETAS)) / np.prod(1 - BETAS)))
    for sigma in (1e-3, most, 1.1 * most):
        denoise(samples(), 1.0, sigma)
    assert "ddpm" in checks.one_line(denoise, samples(), 1.0, 2 * most)


@pytest.mark.parametrize(
    ("prediction", "level", "want"),
    [
        ("flow", None, 4 / 7),
        ("edm", None, np.log(4 / 3) / 4),
        ("flow", lambda s: 1000 * s / (1 + s), 4000 / 7),
        ("epsilon", lambda s: round(1000 * s), 1333),
    ],
)
def test_levels_are_what_the_network_knows(prediction, level, want):
    module = Recorder()
    interop.denoiser(module, prediction, shape=SHAPE, level=level)(samples(), 0.6, 0.8)
    seen = module.seen[0].timestep
    np.testing.assert_allclose(seen, np.full(5, want), rtol=1e-6)
    assert seen.dtype == (torch.int64 if want == 1333 else torch.float32)


@pytest.mark.parametrize("dtype", RTOL)
def test_a_module_is_called_in_its_dtype_without_gradients_and_in_evaluation_mode(dtype):
    kind = getattr(torch, dtype)
    module = Recorder(lambda x: x / 2, kind)
    module.train()
    module.dropout.eval()
    denoise = interop.denoiser(module, shape=SHAPE, level=itself)
    x = samples()
    got = denoise(x, 0.6, 0.8)
    want = (x - 0.8 * x / 2) / 0.6
    np.testing.assert_allclose(got, want, RTOL[dtype], RTOL[dtype])
    assert (got.dtype, denoise.precision) == (np.float32, torch.finfo(kind).eps)
    seen = module.seen[0]
    assert (seen.x.dtype, seen.inference, seen.training) == (kind, True, [False, False])
    assert [part.training for part in module.modules()] == [True, False]  # as it was


def test_evaluation_mode_ends_with_an_error_too():
    module = Recorder(lambda x: 1 / 0).train()
    with pytest.raises(ZeroDivisionError):
        interop.denoiser(module, shape=SHAPE, level=itself)(samples(), 0.6, 0.8)
    assert all(part.training for part in module.modules())


ANSWERS = {
    "a tensor": lambda x: x,
    "an object": lambda x: SimpleNamespace(sample=x),
    "a tuple": lambda x: (x, "more"),
    "variances behind": lambda x: torch.cat([x, 0 * x + 7], 1),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_of_modules_are_understood(name):
    denoise = interop.denoiser(
        Recorder(ANSWERS[name]), "sample", shape=SHAPE, level=itself, learned_variance=True
    )
    np.testing.assert_allclose(denoise(samples(), 0.6, 0.8), samples(), rtol=1e-6)


BAD_ANSWERS = {
    "a dictionary": (lambda x: {"x": x}, "dict"),
    "an empty tuple": (lambda x: (), "tuple"),
    "what would be broadcast": (lambda x: x[:, :1], "(5, 1, 3)"),
    "variances of which nothing was said": (lambda x: torch.cat([x, x], 1), "learned_variance"),
    "infinite": (lambda x: x / 0, "infinite"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_bad_answers_are_refused_in_one_line(name):
    answer, what = BAD_ANSWERS[name]
    denoise = interop.denoiser(Recorder(answer), shape=SHAPE, level=itself)
    assert what in checks.one_line(denoise, samples(), 0.6, 0.8)


def test_a_configuration_says_the_prediction_and_the_variances():
    config = {"beta_schedule": "linear", "prediction_type": "sample", "variance_type": "learned"}
    module = Recorder(lambda x: torch.cat([x, x + 1], 1))
    denoise = interop.denoiser(module, shape=SHAPE, grid=config)
    np.testing.assert_allclose(denoise(samples(), 0.6, 0.8), samples(), rtol=1e-6)


def test_labels_conditions_and_other_arguments_reach_the_module():
    module = Recorder()
    options = {"shape": SHAPE, "level": itself, "batch": 3}
    plan = sx.plan("ddim", sx.NoiseSchedule([-1.0, np.inf]))

    def draw(denoise, **told):
        module.seen.clear()
        sx.generate(plan, denoise, 5, SHAPE, **told)
        return module.seen

    seen = draw(interop.denoiser(module, **options), labels=np.arange(5))
    assert [one.class_labels.tolist() for one in seen] == [[0, 1, 2], [3, 4]]
    assert seen[0].class_labels.dtype == torch.int64
    seen = draw(interop.denoiser(module, labels="y", **options), labels=np.arange(5))
    assert seen[1].more["y"].tolist() == [3, 4]
    told = {"text": np.ones((5, 2, 4)), "mask": np.array([True, False] * 2 + [True])}
    seen = draw(interop.denoiser(module, kwargs={"scale": 3}, **options), conditions=told)
    assert seen[1].more["mask"].tolist() == [False, True]
    assert seen[1].more["text"].dtype == torch.float32
    assert (seen[1].more["text"].shape, seen[1].more["scale"]) == ((2, 2, 4), 3)
    seen = draw(interop.denoiser(module, kwargs=lambda m: {"rows": m}, **options))
    assert [one.more["rows"] for one in seen] == [3, 2]


def test_networks_of_flow_matching_are_called_at_their_times():
    module = Recorder()
    box = interop.denoiser(module, grid={"num_train_timesteps": 1000, "shift": 3.0}, shape=SHAPE)
    x = np.ones((4, *SHAPE), np.float32)
    np.testing.assert_allclose(box(x, 0.25, 0.75), x)  # x0 = x - t v, of v = 0
    np.testing.assert_allclose(module.seen[-1].timestep, np.full(4, 750.0), rtol=1e-6)
    np.testing.assert_allclose(box(x, 0.5, 1.5), x / 2)  # in another scale


class InPlace(torch.nn.Module):
    def forward(self, x, level):
        return x.mul_(2)


@pytest.mark.parametrize("make", ["denoiser", "differentiable"])
def test_a_module_may_write_into_what_it_gets(make):
    more = {"shape": SHAPE} if make == "denoiser" else {}
    denoise = getattr(interop, make)(InPlace(), "flow", **more)
    x = jnp.asarray(samples())
    x_t, t = samples() / (1 + 4 / 3) / 0.6, 4 / 7
    np.testing.assert_allclose(denoise(x, 0.6, 0.8), x_t - t * 2 * x_t, rtol=1e-5, atol=1e-6)
    if make == "differentiable":
        got = jax.grad(lambda x: denoise(x, 0.6, 0.8).sum())(x)
        np.testing.assert_allclose(got, (1 - 2 * t) / (1 + 4 / 3) / 0.6 + 0 * x, rtol=1e-5)
    np.testing.assert_array_equal(x, samples())


NET = Ideal("epsilon")
BAD_ARGUMENTS = {
    "no module": ((lambda x, t: x,), {"level": itself}, "module"),
    "no such prediction": ((NET, "eps"), {"level": itself}, "epsilon"),
    "no level": ((NET, "epsilon"), {}, "grid"),
    "grid and level": ((NET, "epsilon"), {"grid": "ddpm", "level": itself}, "grid"),
    "no such grid": ((NET,), {"grid": "ddmp"}, "ddpm"),
    "no such file": ((NET,), {"grid": "nowhere.json"}, "nowhere.json"),
    "a grid of flow": ((NET, "flow"), {"grid": "sd"}, "grid"),
    "two predictions": (
        (NET, "epsilon"),
        {"grid": {"beta_schedule": "linear", "prediction_type": "v_prediction"}},
        "v_prediction",
    ),
    "a configuration without betas": ((NET,), {"grid": {"solver_order": 2}}, "beta_schedule"),
    "noise on times": ((NET, "epsilon"), {"grid": {"shift": 3.0}}, "prediction"),
    "a level beside times": ((NET,), {"grid": "flow", "level": itself}, "grid"),
    "time turned around": (
        (NET,),
        {"grid": {"shift": 1.0, "invert_sigmas": True}},
        "invert_sigmas",
    ),
    "no scale": ((NET, "edm"), {"sigma_data": 0}, "sigma_data"),
    "no shape": ((NET,), {"level": itself, "shape": 3}, "shape"),
    "no batch": ((NET,), {"level": itself, "batch": 0}, "batch"),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_arguments_are_refused(name):
    args, options, what = BAD_ARGUMENTS[name]
    options = {"shape": SHAPE, **options}
    assert what in checks.one_line(interop.denoiser, *args, **options)


class Small(torch.nn.Module):
    """A perceptron of x [n, 2, 3] and its level, with 6 hidden numbers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.outer = torch.nn.Linear(7, 6), torch.nn.Linear(6, 6)

    def forward(self, x, timestep):
        h = torch.cat([x.flatten(1), timestep.to(x.dtype)[:, None] / 1000], 1)
        return self.outer(torch.tanh(self.inner(h))).reshape(x.shape)


def twin(module):
    """The same function in JAX."""
    numbers = {name: jnp.asarray(p.detach().numpy()) for name, p in module.named_parameters()}

    def network(x, t):
        h = jnp.concatenate([x.reshape(len(x), -1), jnp.full((len(x), 1), t / 1000)], 1)
        h = jnp.tanh(h @ numbers["inner.weight"].T + numbers["inner.bias"])
        return (h @ numbers["outer.weight"].T + numbers["outer.bias"]).reshape(x.shape)

    return sx.from_eps(network, level=sx.GRIDS["ddpm"].timestep_of_sigma)


def test_gradients_are_those_of_the_same_function_in_jax():
    module = Small()
    module.train()
    denoise, want = interop.differentiable(module, grid="ddpm"), twin(module)

    def value(denoise):
        return lambda x, alpha, sigma: (denoise(x, alpha, sigma) ** 2).sum()

    args = (jnp.asarray(samples()), 0.6, 0.8)
    for transform in (lambda f: f, jax.jit):
        got = transform(jax.grad(value(denoise), (0, 1, 2)))(*args)
        for one, other in zip(got, jax.grad(value(want), (0, 1, 2))(*args), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert module.training
    assert all(p.grad is None for p in module.parameters())


@pytest.mark.parametrize("prediction", interop.PREDICTIONS)
def test_gradients_are_finite_differences(prediction):
    denoise = interop.differentiable(Ideal(prediction).double(), prediction, level=itself)
    weights, move = np.linspace(0, 1, 6).reshape(SHAPE), samples(seed=1).astype(float)

    def value(t, sigma):
        return (denoise(samples() + t * move, 0.6, sigma) * weights).sum()

    with jax.enable_x64(True):
        got, h = jax.grad(value, (0, 1))(0.0, 0.8), 1e-5
        want = (
            (value(h, 0.8) - value(-h, 0.8)) / (2 * h),
            (value(0.0, 0.8 + h) - value(0.0, 0.8 - h)) / (2 * h),
        )
    np.testing.assert_allclose(got, want, rtol=1e-7)  # differences of second order in float64


def test_labels_have_no_derivative_and_pass():
    class Labelled(torch.nn.Module):
        def forward(self, x, timestep, class_labels):
            return x * class_labels[:, None, None]

    denoise = interop.differentiable(Labelled(), "sample", level=itself)
    labels = jnp.arange(5)
    grad = jax.grad(lambda x: denoise(x, 0.6, 0.8, labels).sum())(jnp.asarray(samples()))
    np.testing.assert_allclose(grad, np.arange(5)[:, None, None] * np.ones(SHAPE), rtol=1e-6)


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "ddpm"])
def test_samples_are_those_of_the_same_function_in_jax(sampler):
    module, schedule = Small(), sx.NoiseSchedule([-6.0, -2.0, 0.5, 3.0, np.inf])
    plan = sx.plan(sampler, schedule)
    want = sx.generate(plan, twin(module), 7, SHAPE, seed=2)
    for denoise in (
        interop.denoiser(module, shape=SHAPE, batch=3, grid="ddpm"),
        interop.differentiable(module, grid="ddpm"),
    ):
        np.testing.assert_allclose(sx.generate(plan, denoise, 7, SHAPE, seed=2), want, 1e-4, 1e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_plan_samples_as_it_does_in_diffusers():
    diffusers = pytest.importorskip("diffusers", reason="needs it: pip install -e '.[interop]'")
    from specjax.interop.diffusers import PlanScheduler

    torch.manual_seed(0)
    module = diffusers.UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4, layers_per_block=1, num_class_embeds=3,
    )  # fmt: skip
    config = diffusers.DDPMScheduler(prediction_type="v_prediction").config
    fitted = sx.fit(sx.Spectrum([2.0, 0.5]), 4, grid="ddpm")
    denoise = interop.denoiser(module, shape=(1, 8, 8), grid=config)
    labels, start = np.array([0, 2, 1]), np.random.default_rng(0).normal(size=(3, 1, 8, 8))
    box = sx.BlackBox(lambda x, a, s: denoise(x, a, s, labels), (1, 8, 8))
    got = sx.sample(fitted.plan, box, jax.random.key(0), start.shape, start=start)
    scheduler = PlanScheduler.from_plan(fitted, config)
    x = torch.tensor(start, dtype=torch.float32)
    module.eval()
    with torch.no_grad():
        for t in scheduler.timesteps:
            answer = module(x, t, class_labels=torch.tensor(labels)).sample
            x = scheduler.step(answer, t, x).prev_sample
    # Timesteps of float32, whose sinusoids see 1e-4 of them.
    np.testing.assert_allclose(got, x, rtol=1e-3, atol=1e-3)
