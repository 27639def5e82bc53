"""What tests of learned plans share: closed-form losses, objectives of a prior, its teacher."""

import jax
import numpy as np

import specjax as sx
from specjax.gaussian.losses import LOSSES
from specjax.gaussian.modes import modes_of
from specjax.gaussian.task import loss_of_plan
from specjax.learning.objectives import objectives_of
from specjax.learning.prior_from import prior_from
from specjax.learning.settings import LearnSettings


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


def squared_distances(result, prior, part):
    """Squared distances [n] of a plan's samples to the teacher's, by sx.sample and NumPy.

    Args:
      part: the objective of the noises, of :func:`objectives`.
    """
    noise = part.taught.noises.start
    made = sx.sample(result.plan, prior, jax.random.key(0), noise.shape, start=noise)
    gap = np.asarray(made, np.float64) - part.taught.target
    return (gap.reshape(len(gap), -1) ** 2).sum(1)
