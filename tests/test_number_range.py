"""Numbers over forty decades against the same recursions with eighty digits.

Each direction is weighed so that it counts as much as every other one, or the largest eigenvalue
would hide what happens to the rest.
"""

import itertools

import numpy as np
import oracles
import pytest
from oracles import exactly
from test_transfer import TABLE

import specjax as sx

RTOL = 1e-9  # what is asked; sums of a few steps lose some 1e-13 of it
NEARLY_EXACT = 1e-8  # below this part of its unit a loss is the square of a rounded difference
DIGITS = 80  # of which 1 - D2 cancels up to 45


def drawn(rng):
    """Levels of which one step may span 20, an eigenvalue in each of five of forty decades."""
    steps = int(rng.integers(1, 9))
    widths = np.exp(rng.uniform(-4, 1.5, steps))
    widths[0] = rng.choice([widths[0], 20.0])
    levels = rng.uniform(-14, -4) + np.append(0, widths.cumsum())
    if steps > 1 and rng.random() < 0.5:
        levels[-1] = np.inf
    decades = -20 + 40 * (np.arange(8) + rng.random(8)) / 8
    mean = 10.0 ** rng.uniform(-12, 12, 8) * rng.choice([-1, 1], 8)
    return levels, 10.0**decades, mean


def exact_parts(loss, lam, mean, moments):
    """What each direction adds to a loss by its variance and by its mean, and the loss's unit."""
    variance, missed = moments.variance, mean * (1 - moments.mean_gain)
    root = oracles.sqrt(lam) - oracles.sqrt(variance)
    one, zero = lam**0, 0 * lam

    def excess(ratio):
        return (ratio - 1 - oracles.log(ratio)) / 2

    return {
        "w2": (root**2, missed**2, lam),
        "kl": (excess(lam / variance), missed**2 / variance / 2, one),
        "kl_reverse": (excess(variance / lam), missed**2 / lam / 2, one),
        "l1": (abs(lam - variance), zero, lam),
        "relative": (root**2 / lam, zero, one),
    }[loss]


def spectrum_of_equals(lam, mean, parts):
    """A spectrum whose directions all add about 1 to a loss, by variance and by mean."""
    spread, shift, unit = (np.asarray(x, float) for x in parts)
    least = NEARLY_EXACT * unit
    weights = 1 / np.maximum(spread, least)
    mean_weights = 1 / np.maximum(shift, 1e-100)
    return sx.Spectrum(lam, mean, weights, mean_weights)


def check(case, seed):
    (sampler, options), process = case
    levels, lam, mean = drawn(np.random.default_rng(seed))
    with oracles.digits(DIGITS):
        moments = oracles.responses(sampler, exactly(levels), exactly(lam), process, **options)
    method = sx.SAMPLERS[sampler](**options)
    for loss in sx.LOSSES:
        with oracles.digits(DIGITS):
            parts = exact_parts(loss, exactly(lam), exactly(mean), moments)
            spectrum = spectrum_of_equals(lam, mean, parts)
            wanted = float(
                (exactly(spectrum.weights) * parts[0]).sum()
                + (exactly(spectrum.mean_weights) * parts[1]).sum()
            )
        found = sx.loss(
            spectrum, sx.NoiseSchedule(levels), sampler=method, loss=loss, process=process
        )
        if np.isfinite(found):
            assert found == pytest.approx(wanted, rel=RTOL), (sampler, options, process, loss, seed)


CASES = list(itertools.product(TABLE, ["vp", "ve"]))


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(4))
def test_losses_over_forty_decades(seed):
    for number, case in enumerate(CASES):
        check(case, len(CASES) * seed + number)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4, 360))  # 10,000 of them
def test_losses_over_forty_decades_at_length(seed):
    test_losses_over_forty_decades(seed)
