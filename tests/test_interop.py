"""Plans outside specjax's own loops: the reader in the docs, and programs on k-diffusion."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from checks import one_line
from test_plan_file import CASES, learned, untouched

import specjax as sx
from specjax.interop.export import export
from specjax.interop.k_diffusion import sample_plan

DOCS = Path(__file__).parents[1] / "docs" / "plans.md"
EXPORT = Path(__file__).parents[1] / "docs" / "howto" / "export.md"
SHAPE = (5, 3)
F64 = 1e-12  # sums in another order; the largest numbers are first sigmas of about 50
CASES = {**CASES, "heun": untouched("heun"), "ancestral": untouched("euler_ancestral", eta=0.5)}


def denoise(x, alpha, sigma):
    """Bounded, not linear, and of nothing but arithmetic: runs on any library's arrays."""
    scaled = x / alpha
    level = 1 + (sigma / alpha) ** 2
    return scaled / (level + scaled * scaled) ** 0.5


def noises(key, calls):
    """The unit noises that sx.sample draws: the start, then one a call."""
    with jax.enable_x64(True):
        return [
            np.asarray(jax.random.normal(jax.random.fold_in(key, k), SHAPE, np.float64))
            for k in range(calls + 1)
        ]


def sampled(plan, key):
    with jax.enable_x64(True):
        return np.asarray(sx.sample(plan, denoise, key, SHAPE, dtype=np.float64))


def documented():
    """``run`` of the docs."""
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (block,) = (one for one in blocks if "def run(" in one)
    assert len(block.splitlines()) <= 25
    scope = {}
    exec(compile(block, "plans.md", "exec"), scope)
    return scope["run"]


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_the_reader_in_the_docs_runs_a_plan_file(tmp_path, name):
    result, key = CASES[name], jax.random.key(3)
    path = sx.save(tmp_path / "plan.json", result)
    drawn = iter(noises(key, result.plan.calls))
    found = documented()(path, denoise, lambda: next(drawn))
    np.testing.assert_allclose(found, sampled(result.plan, key), rtol=F64, atol=F64)


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].corrections is not None])
def test_ten_lines_of_numpy_run_exported_rows(tmp_path, monkeypatch, name):
    result, key = CASES[name], jax.random.key(3)
    monkeypatch.chdir(tmp_path)
    Path("rows.json").write_text(export(result, "json").content)
    blocks = re.findall(r"```python\n(.*?)```", EXPORT.read_text(), re.DOTALL)
    (block,) = (one for one in blocks if "rows.json" in one)
    scope = {"json": json, "np": np, "Path": Path}
    exec(compile(block, "export.md", "exec"), scope)
    drawn = iter(noises(key, result.plan.calls))
    start = next(drawn)
    draws = [z for z, push in zip(drawn, result.plan.push, strict=True) if push.any()]
    found = scope["run"](denoise, start, iter(draws).__next__)
    np.testing.assert_allclose(found, sampled(result.plan, key), rtol=F64, atol=F64)


def tensor(x):
    torch = pytest.importorskip("torch", reason="needs torch: pip install -e '.[interop]'")
    return torch.from_numpy(np.array(x))


KINDS = {"numpy": np.asarray, "jax": jax.numpy.asarray, "torch": tensor}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_sample_plan_is_sample(tmp_path, name, kind):
    result, key, make = CASES[name], jax.random.key(4), KINDS[kind]
    plan = result.plan_in("ve")
    start, *others = noises(key, plan.calls)
    seen = []

    def model(x, sigma, strength):
        assert sigma.shape == (SHAPE[0],)
        return strength * denoise(x, 1.0, sigma[:, None])

    with jax.enable_x64(True):
        x = make(start * float(plan.start))
        made = iter([make(z) for z, push in zip(others, plan.push, strict=True) if push.any()])
        found = sample_plan(
            model, x, sx.save(tmp_path / "plan.json", result), {"strength": 1.0}, seen.append,
            True, noise_sampler=lambda sigma, sigma_next: next(made),
        )  # fmt: skip
    assert type(found) is type(x)
    assert found.dtype == x.dtype
    np.testing.assert_allclose(np.asarray(found), sampled(plan, key), rtol=F64, atol=F64)
    assert [one["i"] for one in seen] == list(range(plan.calls))
    np.testing.assert_allclose([float(one["sigma"]) for one in seen], plan.sigma, rtol=1e-15)
    first = denoise(np.asarray(start) * plan.start, 1.0, plan.sigma[0])
    np.testing.assert_allclose(np.asarray(seen[0]["denoised"]), first, rtol=F64)


def test_plans_of_flow_matching_run_in_its_times():
    levels = sx.NoiseSchedule([-np.inf, -1.0, 1.0, 3.0, np.inf])
    result = replace(untouched("dpmpp_2m"), schedule=levels, process="flow")
    plan, key, seen = result.plan, jax.random.key(4), []

    def model(x, t):
        t = float(t[0])
        return 0.3 * x / ((1 - t) ** 2 * 0.3 + t**2) * (1 - t)  # of a Gaussian

    start = noises(key, plan.calls)[0]
    with jax.enable_x64(True):
        found = sample_plan(model, start, result, None, seen.append, True)
        wanted = sx.sample(plan, lambda x, alpha, t: alpha * 0.3 * x / (alpha**2 * 0.3 + t**2), key,
                           SHAPE, dtype=np.float64)  # fmt: skip
    np.testing.assert_allclose(found, wanted, rtol=F64, atol=F64)
    np.testing.assert_allclose(
        [one["sigma"] for one in seen], 1 / (1 + np.exp(levels.logsnr[:-1] / 2))
    )
    assert "process" in one_line(sample_plan, model, start, result, process="ve")


def test_plans_of_vp_and_ve_are_one_here():
    x = np.random.default_rng(0).normal(size=SHAPE)
    vp, ve = (learned(noise=False, process=process) for process in ("vp", "ve"))
    model = lambda x, sigma: denoise(x, 1.0, sigma[:, None])  # noqa: E731
    np.testing.assert_array_equal(sample_plan(model, x, vp), sample_plan(model, x, ve))


def test_the_noise_of_torch_is_its_own(tmp_path):
    torch = pytest.importorskip("torch", reason="needs torch: pip install -e '.[interop]'")
    result = learned()
    x = torch.zeros((20_000, 1), dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    levels = []

    def draw(sigma, sigma_next):
        levels.append((float(sigma), float(sigma_next)))
        return torch.randn_like(x)

    model = lambda x, sigma: 0 * x  # noqa: E731
    for more in ({}, {"noise_sampler": draw}):
        found = sample_plan(model, x, result, disable=True, **more)
        assert not found.requires_grad
        # All of the last step is the estimate, 0: what is left is its memory's, none.
        np.testing.assert_array_equal(found, 0)
    stopped = replace(result, schedule=sx.NoiseSchedule([*result.schedule.logsnr[:-1], 6.0]))
    wanted = sx.transfer(stopped.plan_in("ve"), sx.Spectrum([1e-300])).variance[0]
    found = sample_plan(model, 0 * x, stopped, disable=True)
    start = float(stopped.plan_in("ve").start)
    gains = np.prod([np.asarray(keep)[0, 0] for keep in stopped.plan_in("ve").keep])
    wanted = wanted - (start * gains) ** 2  # x starts at 0
    assert float(found.var()) == pytest.approx(wanted, rel=5 * (2 / 20_000) ** 0.5)
    sigmas = result.schedule.sigmas
    np.testing.assert_allclose(levels, np.stack([sigmas[:3], sigmas[1:4]], 1), rtol=1e-12)


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_half_precision_is_kept_in_single_between_calls(name):
    torch = pytest.importorskip("torch", reason="needs torch: pip install -e '.[interop]'")
    dtype, result, seen = getattr(torch, name), learned(noise=False), []

    def model(x, sigma):
        seen.append((x.dtype, sigma.dtype))
        return torch.ones_like(x)

    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = sample_plan(model, x, result, disable=True)
    wanted = sample_plan(model, x.double(), result, disable=True)
    assert found.dtype == dtype
    assert set(seen[:3]) == {(dtype, dtype)}
    np.testing.assert_allclose(found.double(), wanted, rtol=torch.finfo(dtype).eps)


@pytest.mark.thorough
def test_torch_is_not_imported_for_numpy():
    code = (
        "import sys, numpy as np; from specjax.interop.k_diffusion import sample_plan; "
        "from test_interop import learned; import specjax; "
        "sample_plan(lambda x, s: 0 * x, np.ones((2, 3)), learned(noise=False)); "
        "print(*[m for m in ('torch', 'diffusers', 'flax') if m in sys.modules])"
    )
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=here
    )
    assert done.stdout.split() == []


def test_mistakes_are_one_line(tmp_path):
    x = np.ones(SHAPE)
    schedule = sx.save(tmp_path / "s.json", sx.NoiseSchedule([0.0, 1.0]))
    for plan, message in (
        (schedule, "NoiseSchedule"),
        (tmp_path / "missing.json", "cannot read"),
        (3, "plan = int"),
        (learned(), "noise_sampler"),
    ):
        assert message in one_line(sample_plan, lambda x, sigma: x, x, plan)
