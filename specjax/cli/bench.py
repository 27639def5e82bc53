"""``specjax bench``: learned plans beside the samplers and schedules of others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import numpy as np
import tyro

from specjax import files
from specjax.cli.console import print_json, progress, status
from specjax.cli.learn_priors import PriorOptions, curriculum_of
from specjax.cli.outputs import BESIDE, Reporting, picture_of

_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class BenchCommand(Reporting):
    """Compare learned plans with the samplers and schedules of others, on your own denoiser."""

    through: PriorOptions = field(default_factory=PriorOptions)
    calls: tuple[int, ...] = (3, 4, 5, 6, 8, 10)
    """of the denoiser; a plan is learned for each number"""
    learned: tuple[str, ...] = ("plan",)
    """what is learned: plan, and levels, coefficients or pas (a weight a step) alone"""
    rivals: tuple[str, ...] = ()
    """DDIM, Heun, DPM-Solver++(2M), DPM-Solver++(3M), UniPC-2, UniPC-3, DEIS-3, iPNDM-3; all by
    default"""
    measure: str = "geometric_mean"
    """geometric_mean or mean, of the squared distances to fine solutions, by which plans are
    learned and the schedules of rivals chosen"""
    n: int | None = None
    """noises that a plan is learned on, and as many held out; by default 512, or 128 for a
    network"""
    judging: int = 256
    """noises that judge"""
    seeds: int = 3
    """each has noises of its own to learn on, to choose by and to judge by"""
    max_calls: int | None = None
    """answers of the denoiser that learning a plan may take; no bound by default"""
    process: str = "vp"
    """vp, ve or flow"""
    alpha_bar_range: tuple[float, float] | None = None
    """NOISY CLEAN: the two ends, as of 'specjax fit'"""
    grid: str | None = None
    """the training grid of the network, within which levels stay: ddpm, sd, cosine, or a
    scheduler_config.json of diffusers"""
    batch: int | None = None
    """samples in one call of the denoiser; by default what suits the device"""
    folder: str | None = None
    """where each part is kept as it is ready, and the learned plans: an interrupted bench goes on
    from there"""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "bench.json"
    """the file of all numbers to write"""
    plot: str | None = BESIDE
    """the picture to write (.png, .pdf, .svg), or None; by default OUT's name with .png"""
    json: bool = False
    """print JSON instead of tables"""

    def run(self) -> None:
        """Learn and judge, write the numbers and the picture, print the tables."""
        from specjax import bench
        from specjax.learning.settings import LearnSettings
        from specjax.report import bench as report
        from specjax.report.figures import bench_figure, save_figure
        from specjax.report.figures.save import check_path

        picture = picture_of(self.plot, self.out)
        if picture is not None:
            check_path(picture)
        self.check_outputs({"out": self.out, "plot": picture, "html": self.html})
        self.through.check()
        options = self._options()
        settings = LearnSettings.resolve(**options)
        through = self.through
        if not through.prior and not files.is_spectrum(through.source):
            through = replace(through, prior=_default_prior(through))
        prior = curriculum_of(through, settings.levels).last
        with progress("bench", "plans", long=True) as update:
            found = bench(
                prior, self.calls, learned=self.learned, rivals=self.rivals or None,
                measure=self.measure, judging=self.judging, seeds=self.seeds, folder=self.folder,
                max_calls=self.max_calls, progress=update, **options,
            )  # fmt: skip
        document = report.bench_json(found)
        files.write(self.out, "bench", _VERSION, document, {}, container="json")
        written = [self.out]
        if picture is not None or self.html is not None:
            with status("drawing"):
                figure = bench_figure(found)
                if picture is not None:
                    written.append(str(save_figure(figure, picture)))
                title = f"Bench of {self.through.source}"
                written += self.write_html(title, report.bench_blocks(found), [figure], {})
        if self.json:
            print_json({**document, "files": written})
        else:
            report.print_bench(found, written)

    def _options(self) -> dict[str, Any]:
        """Return the options of the learning."""
        from specjax.interop.on_grid import read_grid

        labels = self.through.labels
        return {
            "process": self.process, "alpha_bar_range": self.alpha_bar_range, "batch": self.batch,
            "grid": None if self.grid is None else read_grid(self.grid),
            "n": self.n, "seed": self.through.seed,
            "labels": np.asarray(labels, np.int32) if labels else None,
        }  # fmt: skip


def _default_prior(options: PriorOptions) -> tuple[str, ...]:
    """Return what is benched by default: a network itself, or the exact denoiser of data."""
    from specjax.cli.learn_priors import NETWORK, is_run

    return (NETWORK,) if is_run(options.source) else ("empirical",)
