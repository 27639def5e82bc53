"""The closed-form schedule of a spectrum, for any number of steps.

For DDIM and many steps the error of log std of an eigenvalue is ``-E / (2 S)`` with
``E = integral u'(t)^2 q(u) dt``, ``u = log s``, ``q = lambda s^2 / (lambda + s^2)^2``. The loss
``sum w importance E^2`` is least where the density of levels over u is
``dt/du ~ sqrt(sum w importance E q)``, a fixed point in the few numbers E. One density serves
every S, up to and including a noise-free end: for one eigenvalue it is ``s = sqrt(lambda) tan``
of equally spaced angles, the exact optimum.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, follows_the_rule
from specjax.gaussian.losses import Loss, loss_of
from specjax.gaussian.modes import Modes, modes_of
from specjax.schedules.schedule import NoiseSchedule, alpha_bar_to_logsnr
from specjax.spectra.spectrum import Spectrum

_CELLS = 48
_POINTS, _WEIGHTS = (np.polynomial.legendre.leggauss(4) + np.array([[1.0], [0.0]])) / 2  # on [0, 1]
_ITERATIONS = 20
_NEWTON = 3
_TAIL = 12.0  # in log s below the smallest eigenvalue: from there on the density is ~ s


@partial(jax.jit, static_argnames="loss")
def spectral_levels(
    modes: Modes, loss: Loss, times: Array, noisy: Array, clean: Array
) -> jax.Array:
    """Compute logsnr [n] at times [n] from 0 (``noisy``) to 1 (``clean``, may be +inf); traceable.

    Time, the integral of the density over falling u, is computed by a Gauss rule in each cell of a
    grid and inverted by Newton's method within the cell. Below the grid the density is
    proportional to ``s``, whose integral over u is ``s``.
    """
    lam = jnp.asarray(modes.eigenvalues)
    points, weights = jnp.asarray(_POINTS, lam.dtype), jnp.asarray(_WEIGHTS, lam.dtype)
    positive = lam > 0
    log_lam = jnp.log(jnp.where(positive, lam, 1))
    importance = jnp.asarray(modes.weights) * loss.importance(lam) * positive
    u_noisy, u_end = -jnp.asarray(noisy, lam.dtype) / 2, -jnp.asarray(clean, lam.dtype) / 2
    least = jnp.minimum(jnp.where(positive, log_lam, jnp.inf).min() / 2, u_noisy)
    u_clean = jnp.maximum(u_end, least - _TAIL)
    edges = jnp.linspace(u_noisy, u_clean, _CELLS + 1)
    width = (u_noisy - u_clean) / _CELLS

    def spread(u: jax.Array) -> jax.Array:
        x = log_lam - 2 * u[..., None]
        return jax.nn.sigmoid(x) * jax.nn.sigmoid(-x)  # [..., d]

    def density(q: jax.Array, energy: jax.Array) -> jax.Array:
        return jnp.sqrt(q @ (importance * energy)) + jnp.finfo(lam.dtype).tiny

    q, q_below = spread(edges[:-1, None] - width * points), spread(u_clean)
    endless = jnp.isinf(u_end)

    def improve(_: int, energy: jax.Array) -> jax.Array:
        g, below = density(q, energy), density(q_below, energy)
        total = width * (g @ weights).sum() + jnp.where(endless, below, 0)
        spent = width * jnp.einsum("cp,cpd->d", weights / g, q)
        return jnp.sqrt(energy * total * (spent + jnp.where(endless, q_below / below, 0)))

    energy = jnp.ones_like(lam)
    if loss.quadratic:
        energy = jax.lax.fori_loop(0, _ITERATIONS, improve, energy)
    passing = width * density(q, energy) @ weights
    time = jnp.concatenate([jnp.zeros(1, lam.dtype), jnp.cumsum(passing)])
    below = density(q_below, energy)
    whole = time[-1] + jnp.where(endless, below, 0)
    wanted = jnp.asarray(times, lam.dtype) * whole
    cell = jnp.clip(jnp.searchsorted(time, wanted, side="right") - 1, 0, _CELLS - 1)
    top = edges[cell]

    def newton(_: int, u: jax.Array) -> jax.Array:
        g = density(spread(top[:, None] - (top - u)[:, None] * points), energy)
        late = time[cell] + (top - u) * (g @ weights) - wanted
        return jnp.clip(u + late / density(spread(u), energy), edges[cell + 1], top)

    u = jax.lax.fori_loop(0, _NEWTON, newton, jnp.interp(wanted, time, edges))
    u = jnp.where(wanted > time[-1], u_clean + jnp.log((whole - wanted) / below), u)
    return jnp.where(times == 0, noisy, jnp.where(times == 1, clean, -2 * u))


def spectral(
    spectrum: Spectrum | Modes,
    steps: int,
    *,
    loss: str | Loss = "w2",
    alpha_bar_range: tuple[float, float] = checks.DEFAULT_ALPHA_BAR_RANGE,
) -> NoiseSchedule:
    """Compute the closed-form schedule of a spectrum: no optimisation, any number of steps.

    From S = 5 on its W2 is at most 0.1 % above the numerical optimum of DDIM on the exponential
    covariance and on digits; on natural patches it is 1.1 % above at S = 5, 0.3 % at S = 50.

    Args:
      spectrum: d eigenvalues.
      steps: S, the number of steps.
      loss: a name in LOSSES, or a loss of your own.
      alpha_bar_range: the two ends (noisy, clean).

    Raises:
      UserError: for an unknown loss, steps below 1, a range that is reversed or outside (0, 1].

    Example:
      >>> spectral(Spectrum([1.0]), 4).alpha_bar.round(3)
      array([0.   , 0.15 , 0.503, 0.855, 1.   ])
    """
    chosen = loss_of(loss)
    steps = checks.whole_number("steps", steps)
    noisy, clean = alpha_bar_to_logsnr(checks.alpha_bar_range(alpha_bar_range))
    nodes = modes_of(spectrum, in_data_units=chosen.in_data_units).quadrature(40)
    levels = follows_the_rule(padded_levels)(nodes, chosen, steps, noisy, clean)
    return NoiseSchedule(levels[: steps + 1])


def padded_levels(modes: Modes, loss: Loss, steps: int, noisy: Array, clean: Array) -> Array:
    """Compute logsnr [steps + 1], repeating the clean end so that most S share a compilation."""
    times = np.ones(max(128, 2 ** steps.bit_length()))
    times[:steps] = np.arange(steps) / steps
    return spectral_levels(modes, loss, times, noisy, clean)
