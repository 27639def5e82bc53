"""Denoisers that err: what their errors add up to, what losses make of it, and what fits do."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import one_line

import specjax as sx
from specjax.gaussian.modes import modes_of

LAM, MEAN = np.array([4.0, 1.0, 0.1]), np.array([1.0, 0.0, 0.5])
PART = 0.2


def erring(part=PART):
    return modes_of(sx.Spectrum(LAM, mean=MEAN), denoiser_error=part)


def sampled(plan, count, rng):
    """Samples [count, 3] of a plan, row by row, by Wiener's answers with noise in them."""
    r = np.zeros((plan.registers, count, 3))
    r[0] = plan.start * rng.normal(size=(count, 3))
    for k in range(plan.calls):
        alpha, sigma = plan.alpha[k], plan.sigma[k]
        total = alpha**2 * LAM + sigma**2
        answer = (alpha * LAM * r[0] + sigma**2 * MEAN) / total
        answer += np.sqrt(PART * LAM * sigma**2 / total) * rng.normal(size=(count, 3))
        noise = rng.normal(size=(count, 3))
        r = np.stack([
            sum(plan.keep[k, i, j] * r[j] for j in range(plan.registers))
            + plan.pull[k, i] * answer + plan.push[k, i] * noise
            for i in range(plan.registers)
        ])  # fmt: skip
    return r[0]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("sampler", "process"),
    [("ddim", "vp"), ("dpmpp_2m", "ve"), ("heun", "vp"), ("ddpm", "ve"), ("lms", "vp")],
)
def test_errors_add_up_as_in_monte_carlo(sampler, process):
    schedule = sx.NoiseSchedule.from_sigmas([80.0, 9.0, 3.0, 1.5, 0.6, 0.2, 0.0])
    plan, count = sx.plan(sampler, schedule, process), 200_000
    found = sx.transfer(plan, erring())
    assert found.error is not None
    wanted = sampled(plan, count, np.random.default_rng(0)).var(0, ddof=1)
    # the standard error of the variance of count normal numbers is a part sqrt(2 / count) of it
    np.testing.assert_allclose(found.variance + found.error, wanted, rtol=5 * np.sqrt(2 / count))


def test_nothing_else_changes():
    plan = sx.plan("dpmpp_2m", sx.family("cosine", 6))
    with_error, without = sx.transfer(plan, erring()), sx.transfer(plan, sx.Spectrum(LAM, MEAN))
    assert without.error is None
    for name in ("gain", "mean_gain", "std", "variance"):
        np.testing.assert_array_equal(getattr(with_error, name), getattr(without, name))
    assert modes_of(sx.Spectrum(LAM), denoiser_error=0).denoiser_error is None


@pytest.mark.parametrize(
    ("loss", "counted"),
    [
        ("w2", lambda e, v: e),
        ("kl", lambda e, v: e / (2 * v)),
        ("kl_reverse", lambda e, v: e / (2 * LAM)),
    ],
)
def test_one_step_by_hand(loss, counted):
    """One step to a clean end returns the answer: its error is Wiener's times the part."""
    s = 2.0
    schedule = sx.NoiseSchedule.from_sigmas([s, 0.0])
    wiener = LAM * s**2 / (LAM + s**2)
    variance = sx.transfer(sx.plan("ddim", schedule), sx.Spectrum(LAM)).variance
    extra = sx.loss(erring(), schedule, loss=loss) - sx.loss(
        sx.Spectrum(LAM, MEAN), schedule, loss=loss
    )
    np.testing.assert_allclose(extra, counted(PART * wiener, variance).sum(), rtol=1e-12)


def test_errors_of_later_answers_are_independent():
    """DDIM's last of two steps: ``x = D(y_1)``, and y_1 carries the error of the first."""
    schedule = sx.NoiseSchedule.from_sigmas([3.0, 1.0, 0.0])
    first, last = (PART * LAM * s**2 / (LAM + s**2) for s in (3.0, 1.0))
    # Euler in sigma: y_1 = D + (1 / 3) (y_0 - D), so an error of D counts by 1 - 1 / 3
    want = last + (LAM / (LAM + 1) * (2 / 3)) ** 2 * first
    found = sx.transfer(sx.plan("ddim", schedule, "ve"), erring()).error
    np.testing.assert_allclose(found, want, rtol=1e-12)


@pytest.mark.thorough
def test_quadrature_counts_errors_as_the_whole_spectrum():
    spectrum = modes_of(sx.Spectrum.power_law(2000, 1.5), denoiser_error=0.1)
    schedule = sx.family("cosine", 8)
    for loss in ("w2", "kl"):
        whole, nodes = (
            sx.loss(x, schedule, sampler="dpmpp_2m", loss=loss)
            for x in (spectrum, spectrum.quadrature(40))
        )
        np.testing.assert_allclose(nodes, whole, rtol=1e-5)


def test_errors_count_in_units_of_the_data_under_a_noise():
    spectrum = sx.Spectrum(LAM)
    nu = np.array([2.0, 0.7, 0.3])
    noise = sx.NoiseSpectrum(np.sqrt(nu), (3,), "data")
    schedule = sx.NoiseSchedule.from_sigmas([2.0, 0.0])
    under = sx.effective(spectrum, noise)
    extra = sx.loss(under, schedule, denoiser_error=PART) - sx.loss(under, schedule)
    # in units of the data the noise of a direction is s^2 nu
    np.testing.assert_allclose(extra, PART * (LAM * 4 * nu / (LAM + 4 * nu)).sum(), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [8, 12])
def test_fits_that_extrapolate_converge_from_any_start(steps):
    """Without, most end at one of several minima that is nearly zero, far from the tolerance."""
    spectrum = sx.Spectrum.power_law(32, 2.0, 4.0)
    fits = [
        sx.fit(spectrum, steps, sampler="dpmpp_2m", restarts=count, denoiser_error=0.1)
        for count in (1, 8)
    ]
    assert all(one.converged for one in fits)
    np.testing.assert_allclose(fits[0].value, fits[1].value, rtol=1e-9)
    bare = sx.fit(spectrum, steps, sampler="dpmpp_2m", denoiser_error=0.0)
    plans = [sx.plan("dpmpp_2m", one.schedule) for one in (fits[0], bare)]
    errors = [sx.transfer(p, spectrum, denoiser_error=0.1).error.sum() for p in plans]
    assert errors[0] < errors[1]


@pytest.mark.slow
def test_a_sweep_is_of_the_same_fits():
    spectra = {"ideal": sx.Spectrum(LAM), "erring": sx.Spectrum(LAM)}
    found = sx.sweep(spectra, [4], samplers=["dpmpp_2m"], denoiser_error={"erring": PART})
    rows = found.table.to_pylist()
    for name, spectrum in spectra.items():
        part = PART if name == "erring" else 0.0
        single = sx.fit(spectrum, 4, sampler="dpmpp_2m", denoiser_error=part).value
        values = [row["value"] for row in rows if row["spectrum"] == name]
        errors = {row["denoiser_error"] for row in rows if row["spectrum"] == name}
        assert errors == {PART if name == "erring" else 0.0}
        np.testing.assert_allclose(values, [single], rtol=1e-6)


def test_gradients_flow_through_the_part():
    schedule = sx.NoiseSchedule.from_sigmas([2.0, 0.5, 0.0])

    spectrum = sx.Spectrum(jnp.asarray(LAM))

    def value(part):
        return sx.loss(spectrum, schedule, denoiser_error=part)

    slope = jax.grad(value)(jnp.asarray(0.3))
    plan = sx.plan("ddim", schedule)
    whole = sx.transfer(plan, sx.Spectrum(LAM), denoiser_error=1.0).error.sum()
    np.testing.assert_allclose(slope, whole, rtol=1e-5)


@pytest.mark.slow
def test_a_fit_is_the_same_from_its_file(tmp_path):
    fit = sx.fit(erring(), 3, sampler="dpmpp_2m")
    again = sx.load(sx.save(tmp_path / "s.json", fit))
    assert again.nodes.denoiser_error == PART
    judged = [sx.loss(x.nodes, sx.family("cosine", 3), sampler="dpmpp_2m") for x in (fit, again)]
    assert judged[0] == judged[1]
    ideal = sx.load(sx.save(tmp_path / "i.json", sx.fit(sx.Spectrum(LAM), 3)))
    assert ideal.nodes.denoiser_error is None


def test_fits_take_the_samplers_own_error_and_losses_none():
    spectrum = sx.Spectrum(LAM, MEAN)
    for name, sampler in sx.SAMPLERS.items():
        wanted = 0.0 if name in ("ddim", "ddpm", "euler_ancestral", "heun") else 0.1
        assert sampler.denoiser_error == wanted, name
        task = sx.GaussianTask.for_fit(spectrum, sampler=name)
        given = sx.GaussianTask.resolve(spectrum, sampler=name, denoiser_error=wanted)
        assert task.fingerprint == given.fingerprint
        assert sx.GaussianTask.resolve(spectrum, sampler=name).modes.denoiser_error is None
    for exact in (
        sx.GaussianTask.for_fit(spectrum, sampler="dpmpp_2m", denoiser_error=0.0),
        sx.GaussianTask.for_fit(spectrum, sampler="dpmpp_2m", loss="l1"),  # which counts none
        sx.GaussianTask.for_fit(modes_of(spectrum), sampler="dpmpp_2m"),
    ):
        assert exact.modes.denoiser_error is None
    options = sx.GaussianTask.for_fit(spectrum, sampler=sx.lms(order=2)).modes
    assert options.denoiser_error == 0.1


@pytest.mark.thorough
def test_a_fit_and_a_comparison_without_options_are_those_with_the_error():
    spectrum = sx.Spectrum(LAM, MEAN)
    bare, given, exact = (
        sx.fit(spectrum, 3, sampler="dpmpp_2m", **more)
        for more in ({}, {"denoiser_error": 0.1}, {"denoiser_error": 0.0})
    )
    assert bare.value == given.value > exact.value
    assert exact.value == float(sx.loss(spectrum, exact.schedule, sampler="dpmpp_2m"))
    assert sx.compare(spectrum, 3, sampler="dpmpp_2m", learned=bare).learned is bare
    said = one_line(sx.compare, spectrum, 3, sampler="dpmpp_2m", learned=exact)
    assert "denoiser_error" in said
    assert "error of 0.1" in repr(bare)
    assert "error of" not in repr(exact)


def test_what_cannot_take_it_says_so():
    spectrum = sx.Spectrum(LAM)
    for wrong in (-1, np.nan, np.inf, [0.1, 0.1, 0.1], True):
        assert "denoiser_error" in one_line(sx.fit, spectrum, 3, denoiser_error=wrong)
    for loss in ("l1", "relative"):
        assert "denoiser_error" in one_line(sx.fit, spectrum, 3, loss=loss, denoiser_error=0.1)
    said = one_line(sx.fit_noise, spectrum, 3, basis="data", denoiser_error=0.1)
    assert "denoiser_error" in said


@pytest.mark.slow
def test_a_comparison_says_how_much_of_the_errors_a_schedule_lets_through():
    for loss in ("w2", "kl"):  # one step to a clean end: all schedules are the same
        assert sx.compare(sx.Spectrum(LAM), 1, loss=loss).amplification == pytest.approx(1)
    spectrum = sx.Spectrum.power_law(32, 2.0, 4.0)
    ideal, careful = (
        sx.compare(
            spectrum, 8, sampler="dpmpp_2m", alpha_bar_range=(4e-5, 1.0), denoiser_error=part
        )
        for part in (0.0, 0.1)
    )
    assert ideal.amplification > 2 > careful.amplification
    errors = {
        row.name: sx.transfer(
            sx.plan("dpmpp_2m", row.schedule), spectrum, denoiser_error=1.0
        ).error.sum()
        for row in ideal.rows
    }
    own = errors.pop("learned")
    assert ideal.amplification == pytest.approx(own / min(errors.values()), rel=1e-3)
    more = {"in 200 steps": sx.family("cosine", 200)}  # lets through less, and is no rival
    ddim = sx.compare(sx.Spectrum(LAM), 5, schedules=more)
    assert ddim.amplification == sx.compare(sx.Spectrum(LAM), 5).amplification


@pytest.mark.slow
def test_the_command_line_fits_with_the_error_and_warns_without(run):
    arguments = ["fit", "digits", "--steps", 5, "--sampler", "dpmpp_2m", "--plot", "None",
                 "--alpha-bar-range", 4e-5, 1, "--force"]  # fmt: skip
    out = run(*arguments, "--denoiser-error", 0)[1]
    assert "may not follow" in out
    assert "--denoiser-error" in out
    out = run(*arguments, "--loss", "l1")[1]  # which cannot count them
    assert "may not follow" in out
    assert "--denoiser-error" not in out
    out = run(*arguments)[1].replace("\n", " ")
    assert "denoiser: ideal, with an error of 0.1" in out
    assert "may not follow" not in out
    assert sx.load("schedule.json").nodes.denoiser_error == 0.1
    assert "denoiser: ideal, with an error of 0.1" in run("show", "schedule.json")[1]


def test_the_command_line_refuses_an_error_that_cannot_be(run, tmp_path):
    for wrong, text in ((["-1"], "denoiser_error = -1.0: give"), (["0.1", "--loss", "l1"], "'l1'")):
        code, out, err = run("fit", "digits", "--steps", 5, "--denoiser-error", *wrong)
        assert (code, out) == (2, "")
        assert text in err
        assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_sweep_file_says_it_of_all_spectra_or_of_one(tmp_path):
    from specjax.sweep.files import read_sweep

    (tmp_path / "one.toml").write_text(
        'spectra = [{ power_law = [1.0], dimension = 4, denoiser_error = 0.2 }, "digits"]\n'
        "steps = [2]\n"
    )
    assert read_sweep(tmp_path / "one.toml").denoiser_error == {"power law 1.0": 0.2}
    (tmp_path / "all.toml").write_text(
        'spectra = ["digits"]\nsteps = [2]\ndenoiser_error = 0.1\nfloor = 0.5\n'
    )
    of_all = read_sweep(tmp_path / "all.toml")
    assert of_all.denoiser_error == {"digits": 0.1}
    (found,) = of_all.spectra.values()
    assert found.eigenvalues.min() == 0.5
    (tmp_path / "both.toml").write_text(
        'spectra = [{ data = "digits", denoiser_error = 0 }, { power_law = 1.0, dimension = 4 }]\n'
        "steps = [2]\ndenoiser_error = 0.1\n"
    )
    assert read_sweep(tmp_path / "both.toml").denoiser_error == {"power law 1.0": 0.1}
    (tmp_path / "bad.toml").write_text('spectra = ["digits"]\nsteps = [2]\ndenoiser_error = -1\n')
    with pytest.raises(ValueError, match="denoiser_error = -1"):
        read_sweep(tmp_path / "bad.toml")


@pytest.mark.slow
def test_recommendations_count_the_error(run, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(200, 3)) * [2, 1, 0.3])
    arguments = ("recommend", "x.npy", "--target-loss", 0.3, "--sampler", "dpmpp_2m", "--json")
    plain, counted = (
        json.loads(run(*arguments, *more)[1])["rows"][0] for more in ((), ("--denoiser-error", 0.1))
    )
    assert counted["steps"] > plain["steps"]
    spectrum = sx.Spectrum.from_samples(np.load(tmp_path / "x.npy"))
    fit = sx.fit(spectrum, counted["steps"], sampler="dpmpp_2m", denoiser_error=0.1)
    assert counted["value"] == pytest.approx(fit.value, rel=1e-6)
    assert (plain["denoiser_error"], counted["denoiser_error"]) == (None, 0.1)
    rival = sx.compare(
        spectrum, counted["steps"], sampler="dpmpp_2m", learned=fit, denoiser_error=0.1
    )
    # that has the closed form among its rows, too
    assert counted["amplification"] <= rival.amplification * (1 + 1e-6)
    out = run(*arguments[:-1], "--denoiser-error", 0.1)[1]
    assert "error of 0.1" in out
    code, _, err = run(*arguments, "--denoiser-error", "-1")
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.thorough
def test_a_probe_and_its_groups_keep_the_error():
    lam = np.geomspace(4.0, 0.01, 300)
    x = np.random.default_rng(0).normal(size=(40, 300)) * np.sqrt(lam)
    found = sx.probe(sx.wiener(sx.Spectrum(lam)), x, sx.Spectrum(lam), levels=np.linspace(-8, 8, 9))
    attached = modes_of(sx.Spectrum(lam), denoiser=found, denoiser_error=PART)
    assert attached.denoiser_error == PART
    nodes = attached.quadrature(8)
    assert nodes.dimension < 300
    schedule = sx.family("cosine", 5)
    whole, few = (sx.loss(one, schedule, sampler="dpmpp_2m") for one in (attached, nodes))
    np.testing.assert_allclose(few, whole, rtol=1e-3)
    ideal = sx.loss(sx.Spectrum(lam), schedule, sampler="dpmpp_2m", denoiser_error=PART)
    np.testing.assert_allclose(whole, ideal, rtol=1e-2)  # the probe of Wiener's is Wiener's


@pytest.mark.slow
def test_gradients_in_the_levels_are_those_of_differences():
    spectrum = modes_of(sx.Spectrum(LAM), denoiser_error=0.5)
    levels = np.array([-6.0, -2.0, 0.5, 2.0, 5.0])

    def value(x):
        return sx.loss(spectrum, sx.NoiseSchedule(x), sampler="dpmpp_2m")

    with jax.enable_x64(True):
        slope = np.asarray(jax.grad(value)(jnp.asarray(levels)))
    step = 1e-5
    differences = [
        (value(levels + step * e) - value(levels - step * e)) / (2 * step) for e in np.eye(5)
    ]
    np.testing.assert_allclose(slope, differences, rtol=1e-6, atol=1e-8)


def test_the_dtype_of_the_spectrum_is_kept():
    spectrum = modes_of(sx.Spectrum(LAM.astype(np.float32)), denoiser_error=PART)
    schedule = sx.NoiseSchedule(np.array([-6.0, 0.0, 5.0], np.float32))
    single = sx.transfer(sx.plan("dpmpp_2m", schedule), spectrum).error
    assert single.dtype == np.float32
    double = sx.transfer(sx.plan("dpmpp_2m", sx.NoiseSchedule([-6.0, 0.0, 5.0])), erring()).error
    np.testing.assert_allclose(single, double, rtol=1e-5)
