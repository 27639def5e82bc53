"""Priors: what is known of the data, as exact denoisers.

From little to all: a :class:`Gaussian` (or a probed denoiser), a :class:`ScaleMixture`, a
:class:`Mixture`, the finite dataset itself (:class:`Empirical`), a :class:`Network`. Each is a
callable ``prior(x, alpha, sigma) -> E[x0 | x]``, a pytree, and carries ``held_out``, the same of
data that it has not seen. :class:`Colored` is any of them under noise with a spectrum. One of your
own is any object with the members of :class:`Prior`, see :mod:`specjax.priors.prior`.
"""

from specjax.priors.colored import Colored
from specjax.priors.empirical import Empirical
from specjax.priors.gaussian import Gaussian
from specjax.priors.mixture import Mixture
from specjax.priors.network import Network
from specjax.priors.prior import Prior
from specjax.priors.scale_mixture import ScaleMixture
from specjax.priors.table import PRIORS, prior_of

__all__ = [
    "PRIORS",
    "Colored",
    "Empirical",
    "Gaussian",
    "Mixture",
    "Network",
    "Prior",
    "ScaleMixture",
    "prior_of",
]
