"""Learning whole plans: levels, and what is done with the denoiser's answers."""

from specjax.learning.judge import TERMS
from specjax.learning.learn import learn

__all__ = ["TERMS", "learn"]
