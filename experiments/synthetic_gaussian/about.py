"""What the list of experiments says of this one."""

from experiments.registry import About, Part
from experiments.synthetic_gaussian.config import CONFIG
from experiments.synthetic_gaussian.run import file_of
from experiments.synthetic_gaussian.spectra import spectra

ABOUT = About(
    "On Gaussians learned schedules beat every heuristic, with the shapes of 2502.00180",
    (Part("24 covariances", tuple(map(file_of, spectra(CONFIG))), 25),),
)
