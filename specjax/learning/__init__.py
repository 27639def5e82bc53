"""Learning whole plans: levels, and what is done with the denoiser's answers."""

from specjax.learning.objective import TERMS
from specjax.learning.curriculum import Verdict, learn_all, verdicts
from specjax.learning.learn import learn

__all__ = ["TERMS", "Verdict", "learn", "learn_all", "verdicts"]
