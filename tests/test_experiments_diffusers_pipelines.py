from dataclasses import replace

import checks
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'specjax[interop]'")
pytest.importorskip("diffusers", reason="needs it: pip install 'specjax[interop]'")

pytestmark = [
    pytest.mark.usefixtures("beside_the_package"),
    # NumPy 2 on torch tensors, inside diffusers.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.mark.thorough
def test_a_network_is_trained_once_and_opened_as_a_pipeline(tmp_path, capsys):
    from experiments.diffusers_pipelines.train import PICTURE, SMALLEST, open_pipeline
    from specjax.interop.torch import denoiser

    open_pipeline(SMALLEST, tmp_path / "network")
    assert "update 4 of 4" in capsys.readouterr().out
    pipe = open_pipeline(SMALLEST, tmp_path / "network")
    assert "update" not in capsys.readouterr().out
    assert (tmp_path / "network" / PICTURE).read_bytes()[:4] == b"\x89PNG"
    other = replace(SMALLEST, updates=5)
    assert "network" in checks.one_line(open_pipeline, other, tmp_path / "network")

    box = denoiser(pipe.unet, shape=(1, 8, 8), grid=pipe.scheduler.config)
    x = np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype("f4")
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[400]
    alpha, sigma = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)
    with torch.no_grad():
        eps = pipe.unet(torch.tensor(x), 400).sample.numpy()
    np.testing.assert_allclose(box(x, alpha, sigma), (x - sigma * eps) / alpha, 1e-4, 1e-4)
