"""The samplers beside a learned one: the methods' own rules, the best constant, the exact score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from specjax.fitting.compare import pinned_families
from specjax.restoration.methods import Method, gaussian
from specjax.restoration.posterior import (
    RESTORATION_LOSSES,
    MeasuredModes,
    steering_of,
)
from specjax.sampling.samplers import plan as plan_of
from specjax.sampling.step import SamplerPlan, SteeredRow, advance
from specjax.schedules.level_range import LevelRange
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.response import wiener_gain

if TYPE_CHECKING:
    from specjax.restoration.fit import Measured, PosteriorShape

CUSTOMARY = "linear"
"""The family of levels of the published codes, DDPM's."""
KNOBS = tuple(float(10**x) for x in np.arange(-2, 2.01, 0.25))
"""What the best constant is chosen from."""


class Rival(NamedTuple):
    """A posterior sampler beside a learned one; without a plan it is the posterior itself."""

    value: float
    parts: dict[str, float]
    method: Method | None
    plan: SamplerPlan | None
    levels: str = ""


def own_weights(method: Method, plan: SamplerPlan, measured: MeasuredModes) -> np.ndarray:
    """Return the weights [K] of a method's own rule with its knob, along a plan of VP.

    Those of DPS divide by the norm of the residual: its root mean square over y and noise stands
    for it, call after call.

    Args:
      method: with a knob.
      plan: K rows in VP, for whose samples the rules are published; weights serve any process.
      measured: the directions.
    """
    if method.through is None:
        return np.full(plan.calls, method.knob if method.name.startswith("ddnm") else 1.0)
    pull, alpha = plan.pull[:, 0], np.asarray(plan.alpha)
    if method.name == "pigdm":
        return method.knob * alpha**2 / pull
    return _by_norms(method, plan, measured)


def _steered(plan: SamplerPlan, weights: np.ndarray) -> SamplerPlan:
    return replace(plan, steer=weights[:, None] * plan.pull)


def _by_norms(method: Method, plan: SamplerPlan, measured: MeasuredModes) -> np.ndarray:
    """Return weights [K] of ``knob / (alpha |y - H d| pull)``, call after call.

    The registers are followed as affine maps: columns of the start, of mu, of y and, with noise in
    the steps, of each call's.
    """
    modes, h, steering = measured.modes, measured.gain, steering_of(plan, measured, method)
    calls, weights = plan.calls, np.zeros(plan.calls)
    units = np.eye(3 + (calls if plan.stochastic else 0))[:, :, None]
    r = np.zeros((plan.registers, len(units), modes.dimension))
    r[0, 0] = plan.start
    for k in range(calls):
        row = jax.tree.map(lambda x, k=k: x[k], plan.rows)
        gain, offset = wiener_gain(modes.eigenvalues, row.alpha, row.sigma)
        d = gain * r[0] + offset * units[1]
        residual = units[2] - h * d
        of_mean = (residual[1] + h * residual[2]) ** 2 * modes.mean_power
        noise = (np.delete(residual, (1, 2), 0) ** 2).sum(0)
        squares = modes.weights * (residual[2] ** 2 * measured.total + noise) + of_mean
        weights[k] = method.knob / (row.alpha * np.sqrt(squares.sum()) * row.pull[0])
        z = units[3 + k] + np.zeros_like(d) if plan.stochastic else None
        plain = row.alpha, row.sigma, row.keep, row.pull, row.push
        steered = SteeredRow(*plain, weights[k] * row.pull)
        r = np.asarray(advance(r, steered, d, z, steering.response[k] * residual))
    return weights


def rivals(
    shape: PosteriorShape, levels: LevelRange, measured: Measured, nodes: Measured
) -> dict[str, Rival]:
    """Compute the samplers beside a learned one, see ``PosteriorResult.baselines``."""
    families = {name: make(shape.steps) for name, make in pinned_families(levels).items()}

    def tried(method: Method, names: Sequence[str], on: Measured) -> Iterator[Rival]:
        for name in names:
            yield _rival(shape, families[name], name, method, nodes, on)

    method, names = shape.method, tuple(families)
    with np.errstate(all="ignore"):
        (customary,) = tried(method, (CUSTOMARY,), measured)
        constants = (one for knob in KNOBS for one in tried(method(knob=knob), names, nodes))
        constant, score = (
            next(tried(best.method, (best.levels,), measured))
            for best in (_best(constants), _best(tried(gaussian, names, nodes)))
        )
    return {
        "customary": customary,
        "constant": constant,
        "exact score": score,
        "posterior": _posterior(shape, measured),
    }


def _best(found: Iterable[Rival]) -> Any:
    return min(found, key=lambda one: one.value if np.isfinite(one.value) else np.inf)


def _rival(
    shape: PosteriorShape, schedule: NoiseSchedule, name: str, method: Method,
    nodes: Measured, on: Measured,
) -> Rival:  # fmt: skip
    weights = own_weights(method, plan_of(shape.sampler, schedule, "vp"), nodes.diagonal)
    plan = _steered(plan_of(shape.sampler, schedule, shape.process), weights)
    parts = {x: float(y) for x, y in on.parts(plan, method).items()}
    value = sum(weight * parts[part] for part, weight in shape.loss)
    return Rival(value, parts, method, plan, name)


def _posterior(shape: PosteriorShape, measured: Measured) -> Rival:
    """Return the posterior itself as a rival: it has no distance, and twice the least MSE."""
    parts = dict.fromkeys(RESTORATION_LOSSES, 0.0)
    parts["mse"] = 2 * float(measured.least_mse)
    value = sum(weight * parts[part] for part, weight in shape.loss)
    return Rival(value, parts, None, None)
