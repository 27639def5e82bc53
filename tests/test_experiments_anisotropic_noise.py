import json

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("beside_the_package")


def judged(frechet):
    one = {"frechet": frechet, "outside": frechet, "spectrum_db": 1.0}
    bands = {"decibel": [0.0], "predicted_decibel": [0.0], "frequency": [0.1]}
    return {"ddim, 2 steps": {**one, **bands}}


def write(folder, values):
    """Fréchet distances by seed and variant."""
    for seed, variants in values.items():
        found = {n: {"noise": None, "judged": judged(x)} for n, x in variants.items()}
        document = {"seed": seed, "variants": found}
        (folder / f"digits-{seed}.json").write_text(json.dumps(document))


def test_variants_are_compared_seed_by_seed(tmp_path):
    from experiments.anisotropic_noise.summary import claims

    # seeds differ by 10, the pair by 1.0, 1.1 and 0.9: 1 +- 0.058, and Student's 4.3 of that
    values = {0: (11.0, 10.0), 1: (21.1, 20.0), 2: (30.9, 30.0), 3: (41.0, None)}
    names = ("isotropic", "power law, -0.06")
    pairs = {
        seed: {n: x for n, x in zip(names, pair, strict=True) if x is not None}
        for seed, pair in values.items()
    }
    write(tmp_path, pairs)
    (one,) = [x for x in claims(tmp_path) if "(r + 0.01)^-0.06" in x.claim]
    assert one.verdict == "yes"
    assert "lower by 1.00 ± 0.06 with the same seed (3 seeds)" in one.measured


def test_the_corrupted_band_is_where_the_noise_is_left_out():
    from experiments.anisotropic_noise.run import BAND, outside

    x = np.random.default_rng(0).normal(size=(50, 8, 8)).astype(np.float32)
    power = np.abs(np.fft.fft2(outside(x))).mean(0)
    one = np.fft.fftfreq(8)
    radius = np.hypot(*np.meshgrid(one, one)) / np.hypot(0.5, 0.5)  # 1 at the corner
    inside = (radius >= BAND[0]) & (radius <= BAND[1])
    assert inside.any()
    assert power[inside].max() < 1e-4
    assert power[~inside].min() > 1
