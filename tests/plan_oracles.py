"""What tests of learned plans share: a plan's closed-form loss, objectives of a prior."""

from specjax.gaussian.losses import LOSSES
from specjax.gaussian.modes import modes_of
from specjax.gaussian.task import loss_of_plan
from specjax.learning.objectives import objectives_of
from specjax.learning.settings import LearnSettings, prior_from


def transfer_loss(plan, spectrum, loss="w2"):
    """The loss of a plan on all eigenvalues of a spectrum."""
    one = LOSSES[loss]
    modes = modes_of(spectrum, in_data_units=one.in_data_units)
    return float(loss_of_plan(plan, modes, one))


def objectives(prior, stochastic=False, **options):
    """The objectives of a prior, by the options of learn."""
    prior = prior_from(prior)
    settings = LearnSettings.resolve(**options).for_prior(prior, stochastic)
    return objectives_of(prior, settings)
