"""Schedules judged by the samples that a network draws along them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax._core import checks
from specjax.evaluate.error_bars import Evaluation
from specjax.evaluate.evaluation import judged
from specjax.evaluate.pairwise import NotFiniteError
from specjax.evaluate.reference import Progress, Reference
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.sampling.generate import generate

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from specjax.sampling.step import SamplerPlan

SEEDS = 3


def evaluate_schedules(
    plans: Mapping[str, SamplerPlan],
    denoise: Callable[..., Any],
    reference: Reference,
    *,
    seeds: int = SEEDS,
    labels: Any = None,
    batch: int | None = None,
    mesh: Mesh | None = None,
    noise: NoiseSpectrum | None = None,
    progress: Progress | None = None,
) -> list[Evaluation]:
    """For each plan and each seed: n samples, measured against the reference.

    The noise of sample i of a seed is the same for every plan, and so is what it is compared with:
    plans differ by less than their error bars suggest, which hold for each alone.

    Args:
      plans: by name. denoise: as in :func:`specjax.sampling.generate.generate`, as are labels [n],
        batch, mesh and noise.
      reference: the data, with their floor and n. Its ``seed`` is that of the first set of
        samples, the next ones follow.
      seeds: how many sets of n samples; of one set the error bar is the jackknife's.
      progress: called with (samples drawn, their number).

    Returns:
      An :class:`Evaluation` for each plan, in order. Numbers are NaN for a plan whose samples are
      not finite.

    Raises:
      ValueError: for what :func:`specjax.sampling.generate.generate` refuses.

    Example:
      >>> data = np.random.default_rng(0).normal(size=(400, 4))
      >>> denoise = sx.wiener(sx.Spectrum.from_samples(data))  # or any denoise(x, alpha, sigma)
      >>> plans = {f"{n} steps": sx.plan("ddpm", sx.family("cosine", n)) for n in (2, 20)}
      >>> reference = Reference.of(data, measures=["frechet"])
      >>> coarse, fine = evaluate_schedules(plans, denoise, reference)
      >>> coarse.values["frechet"].value > fine.values["frechet"].value
      True
    """
    checks.whole_number("seeds", seeds)
    options = {"labels": labels, "batch": batch, "mesh": mesh, "noise": noise}
    total, found = len(plans) * seeds * reference.n, []
    for number, (name, plan) in enumerate(plans.items()):
        before = number * seeds * reference.n
        sets = _Drawn(plan, denoise, reference, seeds, options, before, total, progress)
        try:
            found.append(judged(reference, name, sets))
        except NotFiniteError:
            found.append(reference.unknown(name, seeds))
    return found


class _Drawn(Sequence[np.ndarray]):
    """Sets of samples that are drawn when they are looked at: only one is in memory."""

    def __init__(
        self,
        plan: SamplerPlan,
        denoise: Callable[..., Any],
        reference: Reference,
        seeds: int,
        options: Mapping[str, Any],
        before: int,
        total: int,
        progress: Progress | None,
    ) -> None:
        self.plan, self.denoise, self.reference = plan, denoise, reference
        self.seeds, self.options = seeds, options
        self.before, self.total, self.progress = before, total, progress

    def __len__(self) -> int:
        return self.seeds

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[number] for number in range(self.seeds))

    def __getitem__(self, number: Any) -> Any:
        n, before = self.reference.n, self.before + number * self.reference.n

        def tell(done: int, of: int) -> None:
            if self.progress:
                self.progress(before + done, self.total)

        return generate(
            self.plan, self.denoise, n, self.reference.shape,
            seed=self.reference.seed + number, progress=tell, **self.options,
        )  # fmt: skip
