"""Learning whole plans: levels, and what is done with the denoiser's answers.

:func:`learn` learns one plan through one prior; :func:`learn_all` plans of several steps through
several priors, a curriculum.
"""

from specjax.learning.curriculum import Verdict, learn_all, verdicts
from specjax.learning.learn import learn
from specjax.learning.on_network import ScheduleDistance, compare_on
from specjax.learning.terms import TERMS

__all__ = [
    "TERMS", "ScheduleDistance", "Verdict", "compare_on", "learn", "learn_all", "verdicts"
]  # fmt: skip
