"""specjax: learn the sampling of diffusion models from the spectrum of the data.

See the README for a tour; ``specjax.schedule`` states the conventions.
"""

from specjax.denoisers import from_edm, from_eps, from_v, wiener
from specjax.losses import LOSSES
from specjax.result import FitResult
from specjax.samplers import SAMPLERS, plan
from specjax.schedule import NoiseSchedule
from specjax.spectral import spectral
from specjax.spectrum import Spectrum
from specjax.steps import SamplerPlan, advance
from specjax.transfer import Transfer, transfer

__version__ = "0.1.0"

__all__ = [
    "LOSSES",
    "SAMPLERS",
    "FitResult",
    "NoiseSchedule",
    "SamplerPlan",
    "Spectrum",
    "Transfer",
    "advance",
    "from_edm",
    "from_eps",
    "from_v",
    "plan",
    "spectral",
    "transfer",
    "wiener",
]
