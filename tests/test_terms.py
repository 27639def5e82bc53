"""Frequency terms in training: what they add, what is logged, what they take of the time."""

import json
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import one_line

import specjax as sx
from specjax.nn import (
    KeepingConfig,
    LossConfig,
    ModelConfig,
    OptimiserConfig,
    TrainConfig,
    open_run,
    train,
    train_step,
)
from specjax.nn.checkpoints import named
from specjax.nn.losses import frequency_terms, term_ramp
from specjax.nn.monitor import read_metrics, term_shares
from specjax.nn.train_step import Batch, Task, initial_state, update, validation_loss

TERMS = LossConfig(terms=("amplitude=0.1", "wavelet=0.05"), term_warmup=8, wavelet_scales=1)
OPTIMISER = OptimiserConfig(updates=20, batch=16, warmup=0, decay="constant", clip=1e9)
BATCH = Batch(jnp.asarray(np.random.default_rng(0).normal(size=(1, 16, 8)), jnp.float32), None)


class Gain(NamedTuple):
    """D(x) = a x on samples [8]."""

    params: dict
    sigma_data: float = 0.5
    shape: tuple[int, ...] = (8, 1)

    def __call__(self, x, alpha, sigma, labels=None, *, key=None):
        return self.params["a"] * x


def task(loss=TERMS, **changes):
    config = TrainConfig(loss=loss, optimiser=replace(OPTIMISER, **changes))
    return Task(Gain, 0, lambda u: 4 * u, config)


def updated(chosen, step=0):
    """The gradient of the first update, as AdamW has seen it, and the metrics."""
    state = initial_state(chosen, {"a": jnp.asarray(0.3)})._replace(step=jnp.asarray(step))
    state, metrics = jax.jit(partial(update, chosen))(state, BATCH)
    moments = jax.tree.leaves(state.optimiser, is_leaf=lambda x: hasattr(x, "mu"))
    mu = next(x.mu["a"] for x in moments if hasattr(x, "mu"))
    return 10 * float(mu), {name: float(value[0]) for name, value in metrics.items()}


def only(**weights):
    return replace(TERMS, terms=tuple(f"{k}={v}" for k, v in weights.items()), term_warmup=0)


@pytest.mark.slow
def test_the_gradient_is_the_weighted_sum():
    plain, without = updated(task(LossConfig()))
    parts = {"amplitude": 0.3, "wavelet": 2.0}
    alone = [updated(task(only(**{name: 1.0})))[0] - plain for name in parts]
    both, metrics = updated(task(only(**parts)))
    expected = plain + sum(w * each for w, each in zip(parts.values(), alone, strict=True))
    assert both == pytest.approx(expected, rel=1e-4)
    assert min(map(abs, alone)) > 0.01
    assert set(metrics) - set(without) == {"loss_amplitude", "loss_wavelet"}
    assert metrics["loss"] == pytest.approx(without["loss"], rel=1e-6)
    assert metrics["gradient_norm"] == pytest.approx(abs(both), rel=1e-4)


@pytest.mark.slow
def test_a_weight_of_zero_only_logs():
    plain, without = updated(task(LossConfig()))
    watched, metrics = updated(task(only(amplitude=0)))
    assert watched == pytest.approx(plain, rel=1e-6)
    assert metrics["loss_amplitude"] > 0
    assert metrics["loss"] == without["loss"]


@pytest.mark.slow
def test_weights_rise_over_the_warm_up():
    assert [float(term_ramp(TERMS, step)) for step in (0, 2, 8, 100)] == [0, 0.25, 1, 1]
    assert float(term_ramp(replace(TERMS, term_warmup=0), 0)) == 1
    # The noise is that of step 3.
    plain, full = (updated(task(loss), 3)[0] for loss in (LossConfig(), only(amplitude=1.0)))
    rising, _ = updated(task(replace(only(amplitude=1.0), term_warmup=12)), 3)
    assert rising - plain == pytest.approx((full - plain) / 4, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("looped", [False, True])
def test_a_batch_in_parts_has_the_same_terms(monkeypatch, looped):
    one, metrics = updated(task())
    monkeypatch.setattr(train_step, "on_cpu", lambda: not looped)  # an accelerator loops
    many, others = updated(task(accumulate=4))
    assert many == pytest.approx(one, rel=1e-4)
    assert others == pytest.approx(metrics, rel=1e-5)


@pytest.mark.slow
def test_validation_is_by_the_plain_loss():
    batch = Batch(BATCH.samples[0], None)
    plain, watched = (
        validation_loss(task(loss), {"a": jnp.asarray(0.3)}, batch)
        for loss in (LossConfig(), TERMS)
    )
    assert float(plain) == float(watched)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ("signal", [0.8, 0.5, 1 / 17]),  # sd^2 / (s^2 + sd^2) at s = sd / 2, sd, 4 sd
        ("edm", [np.sqrt(5) * 2, 2 * np.sqrt(2), np.sqrt(17) / 2]),  # sqrt(s^2 + sd^2) / (s sd)
        ("x0", [1, 1, 1]),
    ],
)
def test_levels_count_as_they_are_told_to(levels, expected):
    """A constant error of 1: the amplitude at frequency zero, 1 over sqrt(8) of it in the mean."""
    zero, one = jnp.zeros((3, 8, 1)), jnp.ones((3, 8, 1))
    config = replace(TERMS, term_levels=levels, terms=("amplitude=1",))
    sigma = 0.5 * jnp.asarray([0.5, 1.0, 4.0])
    for i in range(3):
        each = (x[i : i + 1] for x in (zero, one, sigma))
        found = frequency_terms(config, *each, 0.5)
        assert float(found["amplitude"]) == pytest.approx(expected[i] / np.sqrt(8), rel=1e-5)
    whole = float(frequency_terms(config, zero, one, sigma, 0.5)["amplitude"])
    assert whole == pytest.approx(np.mean(expected) / np.sqrt(8), rel=1e-5)


def test_shares_are_medians_over_lines():
    lines = [{"step": 1}, *({"share_amplitude": x} for x in (0.1, 0.5, 0.2)), {"loss": 1.0}]
    found = term_shares(lines, TERMS)
    assert found == {"amplitude": 0.2, "wavelet": None}


REFUSED = [
    ({"terms": ("amplitud=1",)}, "terms = 'amplitud'"),
    ({"terms": ("amplitude",)}, "terms = 'amplitude'"),
    ({"terms": ("amplitude=1", "amplitude=2")}, "terms = amplitude=1 amplitude=2"),
    *(
        ({"terms": (f"wavelet={weight}",)}, "terms: wavelet")
        for weight in ("-0.1", "NaN", "Infinity", "much", "true")
    ),
    ({"terms": ("wavelet=1",), "wavelet": "bior1.4"}, "wavelet = 'bior1.4'"),
    ({"term_levels": "eps"}, "term_levels = 'eps'"),
    ({"term_warmup": -1}, "term_warmup = -1"),
    ({"wavelet_scales": 0}, "wavelet_scales = 0"),
    ({"terms": ("wavelet=1",), "wavelet_scales": 4}, "wavelet_scales = 4"),
]


def test_what_is_not_allowed_is_refused_before_anything_is_written(tmp_path):
    for changes, match in REFUSED:
        config = replace(CONFIG, loss=replace(TERMS, **changes))
        assert match in one_line(train, DATA, tmp_path / "run", config)
        assert not (tmp_path / "run").exists()


CONFIG = TrainConfig(
    model=ModelConfig(width=8, multipliers=(1,)),
    loss=TERMS,
    optimiser=OPTIMISER,
    keeping=KeepingConfig(checkpoint_every=10, log_every=4, samples_every=0),
)
DATA = sx.data.open("digits", limit=100)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(DATA, tmp_path_factory.mktemp("terms") / "run", CONFIG)


@pytest.mark.slow
def test_a_run_logs_the_loss_and_its_terms(trained):
    lines = [line for line in read_metrics(trained.folder) if "loss" in line]
    assert [line["term_ramp"] for line in lines] == pytest.approx([3 / 8, 7 / 8, 1, 1, 1])
    for name in ("amplitude", "wavelet"):
        assert all(line[f"loss_{name}"] > 0 for line in lines)
        assert [f"share_{name}" in line for line in lines] == [False, True, True, True, True]
    found = term_shares(lines, CONFIG.loss)
    assert all(0 < share < 1 for share in found.values())
    written = b"".join(p.read_bytes() for p in (trained.folder / "tensorboard").glob("events*"))
    assert b"loss_amplitude" in written
    assert trained.config.loss == TERMS


@pytest.mark.slow
def test_a_run_with_terms_goes_on_with_the_same_bits(trained, tmp_path):
    def fall(step, total, text):
        if step == 16:
            raise RuntimeError("the machine falls down")

    with pytest.raises(RuntimeError):
        train(DATA, tmp_path / "run", CONFIG, progress=fall)
    again = train(DATA, tmp_path / "run", CONFIG)
    before, after = (named(open_run(run.folder, "last").network.params) for run in (trained, again))
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name])


@pytest.mark.slow
def test_a_run_with_other_terms_is_refused(trained):
    message = one_line(train, DATA, trained.folder, replace(CONFIG, loss=LossConfig()))
    assert "terms = () (('amplitude=0.1', 'wavelet=0.05') in the run)" in message


@pytest.mark.slow
def test_the_command_says_what_the_terms_take(run):
    small = (  # the program of the run above
        "train digits --limit 100 --width 8 --multipliers 1 --updates 20 --batch 16 --warmup 0 "
        "--decay constant --clip 1e9 --checkpoint-every 20 --log-every 10 --samples-every 0 "
        "--terms amplitude=0.1 wavelet=0.05 --term-warmup 8 --wavelet-scales 1 --json"
    )
    code, out, _ = run(*small.split(), "--out", "run")
    assert code == 0
    told = json.loads(out)["terms"]
    assert {name: each["weight"] for name, each in told.items()} == TERMS.weights
    assert all(0 < each["share_of_step_time"] < 1 for each in told.values())
    code, _, err = run("train", "digits", "--out", "other", "--terms", "amplitude=-1")
    assert (code, err.count("\n")) == (2, 1)
    assert "terms: amplitude = -1" in err
