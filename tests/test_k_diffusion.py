"""Every sampler's list of sigmas, run by k-diffusion's own function.

The model is the ideal denoiser of a Gaussian. Functions are linear in the start, the mean and the
noise of each step, so a batch of probes (nothing, unit start, unit noise in step k) gives the exact
mean and variance of what they generate.
"""

import importlib
import importlib.util
import json
import sys
import types
from dataclasses import replace

import numpy as np
import pytest

from specjax import NoiseSchedule, Spectrum, transfer
from specjax.fitting.learned import LearnedResult
from specjax.interop.export import export
from specjax.sampling.samplers import SAMPLERS

torch = pytest.importorskip("torch", reason="needs torch: pip install -e '.[interop]'")

F64 = 1e-11  # relative: sums in another order, and LMS's coefficients by quadrature
SPECTRUM = Spectrum(np.geomspace(30.0, 1e-3, 8), mean=np.linspace(-2, 2, 8))
SIGMAS = [14.0, 6.0, 2.5, 1.1, 0.5, 0.2, 0.06, 0.0]
CASES = [
    ("ddim", {}),
    ("ddim", {"eta": 0.5}),
    ("ddim", {"eta": 1.0}),
    ("ddpm", {}),
    ("euler_ancestral", {}),
    ("euler_ancestral", {"eta": 0.3}),
    ("heun", {}),
    ("dpmpp_2m", {}),
    ("dpmpp_2m_sde", {}),
    ("dpmpp_2m_sde", {"eta": 0.0}),
    *(("lms", {"order": order}) for order in (1, 2, 3, 4)),
]


@pytest.fixture(scope="module")
def sampling():
    """``k_diffusion.sampling``, without the rest of the package, which imports far more."""
    found = importlib.util.find_spec("k_diffusion")
    if found is None:
        pytest.skip("needs it: pip install --no-deps k-diffusion torchsde torchdiffeq trampoline")
    package, utils = (types.ModuleType(f"k_diffusion{x}") for x in ("", ".utils"))
    package.__path__ = list(found.submodule_search_locations)
    utils.append_dims = lambda x, n: x[(..., *[None] * (n - x.ndim))]
    package.utils = utils
    sys.modules |= {"k_diffusion": package, "k_diffusion.utils": utils}
    yield importlib.import_module("k_diffusion.sampling")
    for name in [name for name in sys.modules if name.split(".")[0] == "k_diffusion"]:
        del sys.modules[name]


def given(sampler, options):
    return LearnedResult(
        schedule=NoiseSchedule.from_sigmas(SIGMAS), value=1.0, history=np.ones(1),
        sampler=sampler, sampler_options=options, process="ve",
    )  # fmt: skip


@pytest.mark.parametrize("process", ["vp", "ve"])
@pytest.mark.parametrize(("sampler", "options"), CASES)
def test_its_function_generates_what_transfer_predicts(sampling, sampler, options, process):
    result = replace(given(sampler, options), process=process)
    document = json.loads(export(result, "k-diffusion", grid=None).content)
    lam, mu = (torch.from_numpy(np.array(a)) for a in (SPECTRUM.eigenvalues, SPECTRUM.mean))
    step = 0

    def model(x, sigma):
        s2 = sigma[:, None] ** 2
        return (lam * x + s2 * mu) / (lam + s2)

    def unit_noise(sigma, sigma_next):
        nonlocal step
        noise = torch.zeros(2 + len(SIGMAS), 8, dtype=torch.float64)
        noise[2 + step] = 1.0
        step += 1
        return noise

    arguments = dict(document["arguments"])
    if document["function"] in ("sample_euler_ancestral", "sample_dpmpp_2m_sde"):
        arguments["noise_sampler"] = unit_noise
    x = torch.zeros(2 + len(SIGMAS), 8, dtype=torch.float64)
    x[1] = document["start_std"]
    sigmas = torch.tensor(document["sigmas"], dtype=torch.float64)
    run = getattr(sampling, document["function"])
    out = run(model, x, sigmas, disable=True, **arguments).numpy()
    std = np.sqrt(((out[1:] - out[0]) ** 2).sum(0))
    wanted = transfer(result.plan, SPECTRUM)
    np.testing.assert_allclose(std, np.sqrt(wanted.variance), rtol=F64, atol=F64)
    np.testing.assert_allclose(out[0], wanted.mean_gain * SPECTRUM.mean, rtol=F64, atol=F64)


def test_every_sampler_is_tried():
    tried = {getattr(case, "values", case)[0] for case in CASES}
    assert tried == set(SAMPLERS)
