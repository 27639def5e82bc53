"""Learning whole plans: levels, and what is done with the denoiser's answers."""

from specjax.learning.judge import TERMS
from specjax.learning.ladder import Verdict, learn_all, verdicts
from specjax.learning.learn import learn

__all__ = ["TERMS", "Verdict", "learn", "learn_all", "verdicts"]
