"""The closed-form schedule of a spectrum, for any number of steps.

For DDIM and many steps the error of log std of an eigenvalue is ``-E / (2 S)`` with
``E = integral u'(t)^2 q(u) dt``, ``u = log s``, ``q = lambda s^2 / (lambda + s^2)^2``. The loss
``sum w importance E^2`` is least where the density of levels over u is
``dt/du ~ sqrt(sum w importance E q)``, a fixed point in the few numbers E. One density serves
every S, up to and including a noise-free end: for one eigenvalue it is ``s = sqrt(lambda) tan``
of equally spaced angles, the exact optimum.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from specjax import _check
from specjax._values import Array, follows_the_rule
from specjax.losses import LOSSES, Loss
from specjax.schedule import NoiseSchedule, alpha_bar_to_logsnr
from specjax.spectrum import Spectrum

_GRID = 512
_ITERATIONS = 20
_TAIL = 12.0  # in log s below the smallest eigenvalue: e^-12 of its density is left out


def spectral_levels(
    spectrum: Spectrum, loss: Loss, steps: int, noisy: Array, clean: Array
) -> jax.Array:
    """logsnr [steps + 1] between two ends (``clean`` may be +inf). Traceable."""
    lam = jnp.asarray(spectrum.eigenvalues)
    positive = lam > 0
    log_lam = jnp.log(jnp.where(positive, lam, 1))
    importance = jnp.asarray(spectrum.weights) * loss.importance(lam) * positive
    u_noisy = -jnp.asarray(noisy, lam.dtype) / 2
    least = jnp.minimum(jnp.where(positive, log_lam, jnp.inf).min() / 2, u_noisy)
    u_clean = jnp.maximum(-jnp.asarray(clean, lam.dtype) / 2, least - _TAIL)
    u = jnp.linspace(u_noisy, u_clean, _GRID)
    q = jax.nn.sigmoid(x := log_lam[:, None] - 2 * u) * jax.nn.sigmoid(-x)  # [d, grid]
    width = (u_noisy - u_clean) / (_GRID - 1)
    trapezoid = jnp.full(_GRID, width).at[jnp.array([0, -1])].multiply(0.5)

    def density(energy: jax.Array) -> jax.Array:
        g = jnp.sqrt((importance * energy) @ q) + jnp.finfo(lam.dtype).tiny
        return g / (g @ trapezoid)

    def improve(_: int, energy: jax.Array) -> jax.Array:
        return jnp.sqrt(energy * (q @ (trapezoid / density(energy))))

    energy = jnp.ones_like(lam)
    if loss.quadratic:
        energy = jax.lax.fori_loop(0, _ITERATIONS, improve, energy)
    g = density(energy)
    time = jnp.concatenate([jnp.zeros(1, lam.dtype), jnp.cumsum((g[1:] + g[:-1]) / 2 * width)])
    levels = -2 * jnp.interp(jnp.linspace(0, 1, steps + 1), time / time[-1], u)
    return levels.at[0].set(noisy).at[-1].set(clean)


def spectral(
    spectrum: Spectrum,
    steps: int,
    *,
    loss: str = "w2",
    alpha_bar_range: tuple[float, float] = _check.DEFAULT_ALPHA_BAR_RANGE,
) -> NoiseSchedule:
    """The closed-form schedule of a spectrum: no optimisation, any number of steps.

    Within 0.2 % of the numerical DDIM optimum from S = 5 on.

    Args:
      spectrum: d eigenvalues. steps: S. loss: a name in LOSSES. alpha_bar_range: (noisy, clean).

    Raises:
      ValueError: for an unknown loss, steps below 1, a range that is reversed or outside (0, 1].

    Example:
      >>> spectral(Spectrum([1.0]), 4).alpha_bar.round(3)
      array([0.   , 0.15 , 0.503, 0.854, 1.   ])
    """
    found = LOSSES[_check.one_of("loss", loss, LOSSES)]
    _check.whole_number("steps", steps)
    noisy, clean = alpha_bar_to_logsnr(_check.alpha_bar_range(alpha_bar_range))
    nodes = spectrum.quadrature()

    @follows_the_rule
    def levels(eigenvalues: Array, weights: Array) -> jax.Array:
        traced = jax.tree.map(lambda x: x, nodes)
        return spectral_levels(traced, found, steps, noisy, clean)

    return NoiseSchedule(levels(nodes.eigenvalues, nodes.weights))
