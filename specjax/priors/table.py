"""The priors that are made of data, by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.noise.noise_spectrum import NoiseSpectrum, anisotropic
from specjax.priors.colored import Colored, whitened
from specjax.priors.empirical import Empirical
from specjax.priors.gaussian import Gaussian
from specjax.priors.mixture import Mixture
from specjax.priors.prior import Prior
from specjax.priors.scale_mixture import ScaleMixture
from specjax.priors.split import DatasetLike


class PriorKind(NamedTuple):
    """A row of the table: a class, whose ``from_samples`` makes a prior of data."""

    prior: Any
    summary: str


PRIORS: Mapping[str, PriorKind] = {
    "gaussian": PriorKind(Gaussian, "mean and covariance: a linear denoiser"),
    "scale_mixture": PriorKind(ScaleMixture, "one covariance, a contrast that varies"),
    "mixture": PriorKind(Mixture, "a Gaussian mixture"),
    "empirical": PriorKind(Empirical, "the finite dataset itself, each sample widened"),
}
"""The priors that are fitted to data, by name."""


def prior_of(
    kind: str,
    data: Any,
    *,
    held_out: float = 0.5,
    seed: int = 0,
    data_range: tuple[float, float] | None = None,
    noise: NoiseSpectrum | None = None,
    source: Mapping[str, Any] | None = None,
    **options: Any,
) -> Prior:
    """Fit a prior to samples.

    Args:
      kind: a name in :data:`PRIORS`.
      data: samples [N, ...] in the network's units, batches of them, or a dataset
        (:func:`specjax.data.open`, or anything with ``batches()``, ``data_range`` and ``source``).
        float64 stays, all else becomes float32.
      held_out: the fraction kept aside, of which ``.held_out`` is made; 0 gives None.
      seed: of the random split.
      data_range: (low, high) of samples that are mapped to [-1, 1]; integers need it.
      noise: of the forward process, white by default: the prior is then a :class:`Colored` one,
        made of whitened data. Noise in the data's own basis that has none yet gets that of all.
      source: provenance beside what is known.
      options: of the kind, see its ``from_samples``.

    Raises:
      UserError: for an unknown kind, options of another one, a range beside a dataset, noise on
        samples of another shape, a held-out fraction that leaves a part with less than two
        samples, NaN or infinite samples, and what ``from_samples`` refuses.

    Example:
      >>> prior = prior_of("gaussian", sx.data.open("digits"))
      >>> prior.shape, prior.source["samples"], prior.held_out.source["samples"]
      ((64,), 899, 898)
    """
    make = PRIORS[checks.one_of("kind", kind, PRIORS)].prior.from_samples
    known = [name for name in inspect.signature(make).parameters if name not in ("x", "split")]
    for name in options:
        if name not in known:
            raise UserError(f"{name} is no option of {kind!r}: it takes {', '.join(known)}")
    if isinstance(data, DatasetLike):
        if data_range is not None:
            raise UserError("data_range is given, but a dataset has its own: leave it out")
        data_range, source = data.data_range, {**data.source, **(source or {})}
        data = data.batches()
    noise, split = anisotropic(noise), {"held_out": held_out, "seed": seed}
    if noise is None:
        return make(data, **split, data_range=data_range, source=source, **options)
    samples, noise = whitened(data, noise, data_range)
    if noise.omitted and "dimension" in known:
        options = {"dimension": samples[0].size - noise.omitted, **options}
    stored_range = None if data_range is None else [float(end) for end in data_range]
    about = {"data_range": stored_range, **(source or {})}
    return Colored(make(samples, **split, source=about, **options), noise)
