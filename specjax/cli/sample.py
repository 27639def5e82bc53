"""``specjax sample``: samples of a trained network along any schedule."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import tyro

from specjax._core.checks import UserError
from specjax.cli.console import print_json, progress, status
from specjax.cli.guidance import remark_on_guidance
from specjax.cli.outputs import Writing
from specjax.cli.runs import RunSampling, plan_facts, run_facts


@dataclass(frozen=True, kw_only=True)
class Sample(Writing):
    """Samples of a trained network along any schedule: a picture, sounds or arrays."""

    run_folder: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]] = tyro.MISSING
    """a run folder by 'specjax train', or a denoiser in Python: FILE.py:NAME or MODULE:NAME"""
    n: int = 64
    """how many samples"""
    schedule: str | None = None
    """a schedule file, a plan file (which also says what each step does with the network's
    estimates), a list of sigmas, the name of a family, or spectral (the default): the closed-form
    schedule of the run's own spectrum"""
    steps: int | None = None
    """S, for a family and spectral (by default 50)"""
    sampling: Annotated[RunSampling, tyro.conf.arg(name="")] = field(default_factory=RunSampling)
    seed: int = 0
    """seed of the noise; sample i has the same noise whatever n, batch and devices"""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "samples.png"
    """.png (one picture of all), .npz (arrays and how they were made), .npy, .wav (one sound), or
    a new folder of numbered pictures or sounds"""
    json: bool = False
    """print JSON instead of text"""

    def run(self) -> None:
        """Open the run, draw samples along the plan, and write them."""
        from specjax.files.samples import check_target, write_samples
        from specjax.report.runs import print_samples
        from specjax.sampling.generate import generate

        check_target(self.out, self.n)
        self.check_outputs({"out": self.out}, folders=True)
        run = self.sampling.open(self.run_folder)
        check_target(self.out, self.n, run.shape, run.source)
        result = self.sampling.schedule_on(run, self.run_folder, self.schedule, self.steps)
        result = self.sampling.applied(result, self.schedule)
        labels = self.sampling.labels_for(run, self.n)
        run = self.sampling.guided(run, [result])
        remark_on_guidance([result], run, labels)
        start = time.perf_counter()
        with progress("sampling", "samples", long=True, first="compiling") as update:
            samples = generate(
                result.plan, run.denoiser(), self.n, run.shape, seed=self.seed, labels=labels,
                batch=self.sampling.batch, mesh=self.sampling.mesh(), noise=run.noise,
                progress=update,
            )  # fmt: skip
        seconds = time.perf_counter() - start
        _check_finite(samples)
        facts = {
            **run_facts(run, self.run_folder),
            **plan_facts(result, self.schedule),
            "n": self.n,
            "shape": list(run.shape),
            "seed": self.seed,
            "labels": None if labels is None else labels.tolist(),
        }
        with status("writing"):
            written = str(write_samples(self.out, samples, run.source, facts))
        if self.json:
            extremes = [float(samples.min()), float(samples.max())]
            timed = {"range": extremes, "seconds": round(seconds, 3), "files": [written]}
            print_json({**facts, **timed})
        else:
            print_samples(facts, seconds, written)


def _check_finite(samples: np.ndarray) -> None:
    bad = int((~np.isfinite(samples)).reshape(len(samples), -1).any(1).sum())
    if bad:
        raise UserError(
            f"{bad} of {len(samples)} samples are not finite, nothing was written: try another "
            "checkpoint (--checkpoint) or a schedule within the levels that the network knows"
        )
