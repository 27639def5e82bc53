import json
import math

import numpy as np
import oracles
import pytest

import specjax as sx

pytestmark = pytest.mark.usefixtures("beside_the_package")


@pytest.mark.slow
def test_the_smallest_run_goes_on_where_it_was_ended(tmp_path, capsys):
    from experiments.__main__ import main

    argv = ["run", "synthetic_gaussian", "--smallest"]
    argv += ["--results", str(tmp_path / "r"), "--work", str(tmp_path / "w")]
    main(argv)
    found = {path.stem: path.read_text() for path in tmp_path.glob("r/*.json")}
    assert {"white", "circulant_mean", "k2", "unit_k2", "exponential_mean"} <= found.keys()
    one = json.loads(found["exponential_mean"])
    fits = one["fits"]["ddim w2 vp 0.9999"]
    assert [len(fits["learned"]), len(one["checks"])] == [1, 2]
    np.testing.assert_allclose(fits["learned"], fits["full"], rtol=1e-6)  # 6 nodes are all there is
    assert (np.array(fits["learned"]) <= np.array(fits["cosine"])).all()
    (tmp_path / "r/white.json").unlink()
    capsys.readouterr()
    main(argv)
    assert " white\n" in (printed := capsys.readouterr().out)
    assert "circulant" not in printed
    again = {path.stem: path.read_text() for path in tmp_path.glob("r/*.json")}
    assert json.loads(again["white"])["fits"] == json.loads(found["white"])["fits"]
    main(argv)
    assert capsys.readouterr().out == ""


def test_the_ring_has_its_eigenvalues_in_closed_form():
    from experiments.synthetic_gaussian.run import circulant

    place = np.arange(12)
    row = np.exp(-0.1 * np.minimum(place, 12 - place))
    np.testing.assert_allclose(
        circulant(12, 0.1).eigenvalues, np.fft.fft(row).real, rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("process", ["vp", "ve"])
def test_starting_from_the_true_marginal_is_what_the_step_by_step_oracle_makes_of_it(process):
    from experiments.synthetic_gaussian.measures import from_marginal

    lam, mu = np.array([9.0, 0.5]), np.array([3.0, -1.0])
    spectrum = sx.Spectrum(lam, mu)
    logsnr = np.array([-4.0, -1.0, 0.5, 3.0])
    schedule = sx.NoiseSchedule(logsnr)
    moments = from_marginal(sx.plan("ddim", schedule, process), spectrum, schedule, process)

    def denoise(x, alpha, sigma):
        return (alpha * lam * x + sigma**2 * mu) / (alpha**2 * lam + sigma**2)

    def run(x):  # in VP, of which VE is the sample over alpha
        return oracles.eta_family(denoise, x, logsnr, lambda k: 0.0, 0.0)

    A, B = (1 / (1 + np.exp(-x)) for x in (logsnr[0], logsnr[-1]))
    centre = run(math.sqrt(A) * mu)
    gain = run(math.sqrt(A) * mu + 1.0) - centre
    alpha = math.sqrt(B) if process == "ve" else 1.0
    np.testing.assert_allclose(
        moments.std, gain * np.sqrt(A * lam + 1 - A) / alpha, rtol=1e-6
    )  # float32 plans
    np.testing.assert_allclose(moments.mean_gain * mu, centre / alpha, rtol=1e-6)
    assert np.allclose(centre, math.sqrt(B) * mu, rtol=1e-12)  # the mean's bias is gone


def test_the_jackknife_is_unbiased_and_its_errors_are_true():
    from experiments.synthetic_gaussian.monte_carlo import jackknife, losses, sums_of

    spectrum = sx.Spectrum(np.array([4.0, 1.0, 0.3]), np.array([1.0, 0.0, 0.0]))
    mean, variance = np.array([0.8, 0.0, 0.0]), np.array([3.0, 1.2, 0.35])
    exact = losses(mean, variance, spectrum)
    by_hand = (2 - 3**0.5) ** 2 + (1 - 1.2**0.5) ** 2 + (0.3**0.5 - 0.35**0.5) ** 2 + 0.2**2
    assert exact[0] == pytest.approx(by_hand, rel=1e-12)
    scores, values = [], []
    for seed in range(200):
        x = mean + np.sqrt(variance) * np.random.default_rng(seed).normal(size=(300, 3))
        value, error = jackknife(sums_of(x, 20), spectrum)
        values.append(value)
        scores.append((value - exact) / error)
    values, scores = np.array(values), np.array(scores)
    off = (values.mean(0) - exact) / (values.std(0) / np.sqrt(200))
    assert np.abs(off).max() < 4
    assert np.abs(np.median(np.abs(scores), 0) - 0.6745).max() < 0.15  # of a standard normal


def test_shapes_are_those_of_known_curves():
    from experiments.synthetic_gaussian import measures

    t = np.linspace(0, 1, 101)
    cosine = np.cos((1 - 0.9 * t) * math.pi / 2) ** 2
    assert [measures.shape(x) for x in (t**2, np.sqrt(t), np.sin(t * math.pi / 2) ** 2)] == [
        "convex", "concave", "S",
    ]  # fmt: skip
    assert [measures.lean(x) for x in (t**2, np.sqrt(t), np.sin(t * 1.57) ** 2)] == [
        "convex", "concave", "even",
    ]  # fmt: skip
    assert measures.bow(t**2) == pytest.approx(1 / 2 - 1 / 3, abs=1e-4)
    assert measures.bow(np.sin(t * math.pi / 2) ** 2) == pytest.approx(0, abs=1e-12)
    assert measures.convex_share(t**2) == 1
    assert measures.convex_share(np.sqrt(t)) == 0
    assert measures.from_cosine(cosine) < 1e-12
    assert measures.from_cosine(t[1:]) > 0.05


def test_the_results_are_those_of_theory():
    from experiments.synthetic_gaussian.run import CONFIG, EXPERIMENT
    from experiments.synthetic_gaussian.summary import REFERENCE, read

    every = read(EXPERIMENT.results)
    for sampler, known in REFERENCE.items():  # 5 digits of an independent SLSQP
        for steps, value in known.items():
            mine = every["exponential"].of(sampler, "w2", "learned", steps) ** 0.5
            assert mine == pytest.approx(value, abs=6e-6)
    A, B = 4.0358e-5, 0.9999
    span = math.acos(A**0.5) - math.acos(B**0.5)
    for steps in CONFIG.steps:  # DESIGN: each step of equal angle costs log cos of it
        exact = 50 * (1 - math.cos(span / steps) ** steps) ** 2
        assert every["white"].of("ddim", "w2", "learned", steps) == pytest.approx(exact, rel=1e-5)
