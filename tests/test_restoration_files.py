"""Files of learned posterior samplers: round trips to the bit, and what they refuse.

What learning finds is tested elsewhere: here parameters are drawn.
"""

import json

import jax
import numpy as np
import pytest
from checks import one_line

import specjax as sx
from specjax import files
from specjax.restoration.fit import problem_of

SHAPE = (4, 3)
KERNEL = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])


def drawn(measurement, sampler="ddim", schedule=None, spectrum=None, method="pigdm", **options):
    rng = np.random.default_rng(0)
    if spectrum is None:
        samples = rng.normal(size=(60, *SHAPE)) + 0.3
        spectrum = sx.Spectrum.from_samples(samples, method="shift-invariant")
    options = {
        "loss": {"mse": 1.0, "perception": 2.0}, "process": "vp", "grid": None,
        "alpha_bar_range": (1e-3, 1.0), "denoiser_error": 0.1, "cells": 4, **options,
    }  # fmt: skip
    problem = problem_of(
        spectrum, measurement, 3, method=method, sampler=sampler, schedule=schedule, **options
    )
    count = 3 if schedule is not None else 5
    theta = rng.uniform(0.2, 0.6, count)
    history = np.array([2.0, 1.0])
    return problem.result(theta, converged=True, history=history, seconds=0.5)


CASES = {
    "a kernel that shifts": lambda: drawn(sx.measure.blur(KERNEL, SHAPE, sigma=0.3)),
    "levels that are given": lambda: drawn(
        sx.measure.noise(0.3), schedule="karras", method=sx.METHODS["diffpir"](knob=0.3)
    ),
    "a sampler with options": lambda: drawn(sx.measure.noise(0.3), sampler=sx.ddim(eta=0.5)),
    "gains in a basis": lambda: in_a_basis(),
    "a grid": lambda: drawn(
        sx.measure.gains([1.0, 0.2], sigma=0.1), spectrum=sx.Spectrum([2.0, 0.1]), grid="ddpm",
        schedule="karras", method="ddnm",
    ),
    "a mask": lambda: drawn(sx.measure.mask(np.arange(12).reshape(SHAPE) % 3 > 0, sigma=0.3)),
}  # fmt: skip


def in_a_basis():
    spectrum = sx.Spectrum.from_samples(np.random.default_rng(1).normal(size=(40, 5)))
    measured = sx.measure.gains(np.linspace(0, 1, 5), sigma=0.1, basis=spectrum.basis)
    return drawn(measured, spectrum=spectrum)


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=pytest.mark.thorough) if x == "a mask" else x for x in CASES]
)
def test_a_round_trip_keeps_all_to_the_bit(name, tmp_path):
    result = CASES[name]()
    back = sx.load(sx.save(tmp_path / "posterior.npz", result))
    assert isinstance(back, sx.PosteriorResult)
    same = ("steps", "sampler", "sampler_options", "process", "loss", "value", "parts", "method")
    for field in (*same, "converged", "seconds", "analysis"):
        assert getattr(back, field) == getattr(result, field)
    own, other = (
        jax.tree.leaves((x.plan, x.schedule.logsnr, x.weights, x.theta, x.history, x.measurement))
        for x in (result, back)
    )
    for a, b in zip(own, other, strict=True):
        np.testing.assert_array_equal(a, b)
    again = sx.save(tmp_path / "again.npz", back)
    with np.load(tmp_path / "posterior.npz") as one, np.load(again) as two:
        for key in set(one.files) | set(two.files) - {"header"}:
            if key != "header":
                np.testing.assert_array_equal(one[key], two[key])


def test_a_file_restores_as_what_was_learned_does(tmp_path):
    result = CASES["a kernel that shifts"]()
    y = np.random.default_rng(2).normal(size=(2, *SHAPE))
    denoise = sx.wiener(result.problem.spectrum)
    back = sx.load(sx.save(tmp_path / "posterior.npz", result))
    own, other = (sx.restore(x, denoise, y, progress=False) for x in (result, back))
    np.testing.assert_array_equal(own, other)


def changed(path, change):
    """Change a file as somebody would who knows how its checksum is made."""
    document = files.read(path, {"posterior": 1})
    header, arrays = dict(document.header), dict(document.arrays)
    change(header, arrays)
    header.pop("checksum")
    header["checksum"] = files.checksum(header, arrays)
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, header=text, **arrays)


def put(place, name, value):
    return lambda header, arrays: (header[place] if place else arrays).update({name: value})


@pytest.mark.parametrize(
    "change",
    [
        put("learned", "method", "best"),
        put("learned", "knob", "much"),
        put("learned", "alpha_bar_range", [0.0, 1.0]),
        put("learned", "cells", 0),
        put("measurement", "sigma", -1.0),
        put("measurement", "domain", "elsewhere"),
        put("measurement", "shape", [5, 5]),
        put(None, "theta", np.array([np.nan] * 5)),
        put(None, "theta", np.zeros(2)),
        put(None, "logsnr", np.array([1.0, 0.0])),
        put(None, "measurement/multipliers", np.array([["x"]])),
        lambda header, arrays: arrays.update({"rows/steer": arrays["rows/steer"] * 1.1}),
        lambda header, arrays: arrays.pop("spectrum/eigenvalues"),
        lambda header, arrays: header.pop("measurement"),
    ],
)
def test_a_bad_file_is_one_line(change, tmp_path):
    path = sx.save(tmp_path / "posterior.npz", CASES["a kernel that shifts"]())
    changed(path, change)
    assert "posterior.npz" in one_line(sx.load, path)


@pytest.mark.thorough
def test_what_no_file_can_hold_is_refused(tmp_path):
    linear = sx.measure.linear(lambda x: x, lambda y: y, (2,), sigma=0.1)
    result = drawn(linear, spectrum=sx.Spectrum([2.0, 0.1]), denoiser_error=0.0)
    with pytest.raises(sx.UserError, match="measurement"):
        sx.save(tmp_path / "posterior.npz", result)
    assert not list(tmp_path.iterdir())
