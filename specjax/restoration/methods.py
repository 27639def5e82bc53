"""Methods of posterior sampling: the direction to a measurement, and each method's own weights.

With ``s = sigma / alpha``, ``J = alpha d denoise / d x`` and the residual ``r = y - H d``, the
directions are ::

    g = J H^T r                                          dps
    g = (1 + s^2) J H^T (H H^T + c)^-1 r                 pigdm, c = sigma_y^2 (1 + s^2) / s^2
    g = H^T (H H^T + c)^-1 r                             ddnm, c = 0.03^2
                                                         ddnm_plus, c by the singular value
                                                         diffpir, c = knob sigma_y^2 / s^2
    g = C H^T (H C H^T + sigma_y^2)^-1 r                 gaussian, C = lambda s^2 / (lambda + s^2)

and the posterior's estimate is ``d + w g``: a row of a plan has ``steer = w pull``, and the sampler
takes ``d + w g`` where it took d. DPS 2209.14687 (algorithm 1, with the gradient of the norm, as in
its code); Pi-GDM (Song et al., ICLR 2023, algorithm 1); DDNM 2212.00490 (its code drops singular
values h below 0.03, which are damped here; DDNM+'s factor is ``min(1, s h / sigma_y)``, with the
level's noise in place of the step's, and the noise is the sampler's); DiffPIR 2305.08995, eq. 12.
"gaussian" is the exact conditional score of Gaussian data, and needs no J of any denoiser.

Black boxes have no J: in its place stands that of data of unit variance, ``1 / (1 + s^2)``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from specjax._core import checks
from specjax._core.arrays import Array, namespace
from specjax._core.checks import UserError

_CUTOFF = 0.03  # of singular values, in DDNM's published code


@dataclass(frozen=True)
class Method:
    """A method of posterior sampling.

    Attributes:
      name: what tables call it.
      summary: a line for tables.
      damping: ``(e, alpha, sigma, sigma_y, knob)`` to c, with e of H H^T; None has no inverse.
      through: ``(alpha, sigma)`` to the scale of ``alpha J`` times alpha, None for methods that are
        not weighed by J.
      jacobian: whether J is the denoiser's, by reverse mode, and not that of unit variance.
      of_spectrum: whether the direction is that of the spectrum.
      divides: whether it divides by sigma_y.
      knob: the number that people tune, 1 as it is published.
    """

    name: str
    summary: str
    damping: Callable[..., Any] | None = None
    through: Callable[[Any, Any], Any] | None = None
    jacobian: bool = False
    of_spectrum: bool = False
    divides: bool = False
    knob: float = 1.0

    def __call__(self, *, knob: float | None = None, jacobian: bool | None = None) -> Method:
        """Return the method with another knob, or without the denoiser's Jacobian."""
        knob = self.knob if knob is None else checks.positive("knob", knob)
        if jacobian and self.through is None:
            raise UserError(f"jacobian = True: method {self.name!r} has none; leave it out")
        through = self.jacobian if jacobian is None else jacobian
        return dataclasses.replace(self, knob=knob, jacobian=through)

    def damping_at(self, alpha: Any, sigma: Any, sigma_y: Any) -> Callable[[Any], Any]:
        """Return the function c of the eigenvalues of H H^T at a level."""
        damping = self.damping
        assert damping is not None
        return lambda e: damping(e, alpha, sigma, sigma_y, self.knob)

    def response(self, lam: Array, h: Array, alpha: Array, sigma: Array, sigma_y: Any) -> Array:
        """Return ``g / (y - h d)`` per direction, with the denoiser of a Gaussian.

        Args:
          lam: [d], eigenvalues. h: [d], gains of the measurement.
          alpha, sigma: [K, 1], of the levels.
          sigma_y: [], the standard deviation of the measurement's noise.

        Returns:
          [K, d].
        """
        xp = namespace(lam, h, alpha, sigma)
        slope = lam / (alpha**2 * lam + sigma**2)
        if self.of_spectrum:
            return _ratio(xp, slope * sigma**2 * h, slope * (sigma * h) ** 2 + sigma_y**2)
        by = h + 0 * sigma
        if self.through is not None:
            unit = 1 / (alpha**2 + sigma**2)
            by = self.through(alpha, sigma) * (slope if self.jacobian else unit) * h
        if self.damping is None:
            return by
        return _ratio(xp, by, h**2 + self.damping_at(alpha, sigma, sigma_y)(h**2))


def _ratio(xp: Any, a: Array, b: Array) -> Array:
    return xp.where(b > 0, a / xp.where(b > 0, b, 1), 0)


def _of_pigdm(e: Any, alpha: Any, sigma: Any, sigma_y: Any, knob: float) -> Any:
    return (sigma_y / sigma) ** 2 * (alpha**2 + sigma**2)


def _of_ddnm(e: Any, alpha: Any, sigma: Any, sigma_y: Any, knob: float) -> Any:
    return _CUTOFF**2


def _of_ddnm_plus(e: Any, alpha: Any, sigma: Any, sigma_y: Any, knob: float) -> Any:
    xp = namespace(e, alpha, sigma)
    return _CUTOFF**2 + xp.maximum(xp.sqrt(e) * (sigma_y * alpha / sigma) - e, 0)


def _of_diffpir(e: Any, alpha: Any, sigma: Any, sigma_y: Any, knob: float) -> Any:
    return knob * (sigma_y * alpha / sigma) ** 2


dps = Method(
    "dps", "the gradient of the squared residual", through=lambda a, s: a**2, jacobian=True
)
"""DPS (2209.14687)."""
pigdm = Method(
    "pigdm", "the gradient of the whitened residual", _of_pigdm,
    through=lambda a, s: a**2 + s**2, jacobian=True, divides=True,
)  # fmt: skip
"""Pi-GDM (Song et al., ICLR 2023)."""
ddnm = Method("ddnm", "the pseudo-inverse's correction of the range", _of_ddnm)
"""DDNM (2212.00490)."""
ddnm_plus = Method("ddnm_plus", "the same, less where y is noisier than the sample", _of_ddnm_plus)
"""DDNM+ (2212.00490)."""
diffpir = Method("diffpir", "the proximal step of the residual", _of_diffpir, divides=True)
"""DiffPIR (2305.08995)."""
gaussian = Method(
    "gaussian", "the exact conditional score of Gaussian data", of_spectrum=True, divides=True
)
"""The exact conditional score of a Gaussian with the spectrum of the data."""

METHODS = {one.name: one for one in (dps, pigdm, ddnm, ddnm_plus, diffpir, gaussian)}
"""The methods of posterior sampling by name."""


def method_of(given: str | Method) -> Method:
    """Return the method of a name in METHODS, or the given one.

    Raises:
      UserError: for an unknown name, and for what is no method.
    """
    if isinstance(given, Method):
        return given
    if not isinstance(given, str):
        raise UserError(f"method = {given!r}: give a name in specjax.METHODS")
    return METHODS[checks.one_of("method", given, METHODS)]


def check_noise(method: Method, sigma_y: Any) -> None:
    """Refuse a measurement without noise where a method divides by it."""
    if method.divides and not float(sigma_y) > 0:
        raise UserError(
            f"sigma = 0: method {method.name!r} divides by the noise of the measurement: give a "
            "small sigma, such as 0.001, or one of "
            + ", ".join(name for name, one in METHODS.items() if not one.divides)
        )
