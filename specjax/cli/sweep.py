"""``specjax sweep`` and ``specjax recommend``: many fits at once, and what they advise."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from specjax.cli.console import print_json, progress, status
from specjax.cli.data import Data, GivenData, under
from specjax.cli.outputs import Reporting, Writing
from specjax.cli.processes import Processes
from specjax.files.forward_noise import ForwardNoise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from specjax.sweep import SweepResult


@dataclass(frozen=True, kw_only=True)
class Sweep(Reporting):
    """Fit the product of the axes in a sweep file; a sweep that was stopped goes on."""

    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE")]] = tyro.MISSING
    """a TOML file with spectra, steps, samplers, losses, ..."""
    out: Annotated[str | None, tyro.conf.arg(aliases=["-o"])] = None
    """the results folder; by default the file's name without .toml"""
    grid: str | None = None
    """the training grid that levels stay within: ddpm, sd, cosine, or a scheduler_config.json of
    diffusers; by default what the sweep file says"""
    processes: Processes = field(default_factory=Processes)
    json: bool = False
    """print JSON instead of tables"""

    def run(self) -> None:
        """Read the spectra, fit, draw, and print the tables."""
        self.check_outputs({"html": self.html})
        self.processes.join(a_device_a_core=True)
        from specjax.interop.on_grid import read_grid
        from specjax.report.figures import save_figure
        from specjax.report.sweep import print_sweep, sweep_blocks, sweep_json
        from specjax.report.use import code_of_sweep
        from specjax.sweep import sweep
        from specjax.sweep.files import read_sweep

        with status("reading the spectra"):
            options: dict[str, Any] = {} if self.grid is None else {"grid": read_grid(self.grid)}
            wanted = read_sweep(self.file, **options)
        out = Path(self.file).with_suffix("") if self.out is None else Path(self.out)
        with progress("sweep", "fits", long=True, first="compiling") as update:
            result = sweep(wanted, out=out, progress=lambda done, total: update(done, total))
        if result is None:  # another process has the table
            return
        figure = _figure(result)
        with status("drawing"):
            written = [] if figure is None else [str(save_figure(figure, out / "sweep.png"))]
            written += self.write_html(
                f"Sweep of {self.file}", sweep_blocks(result), [] if figure is None else [figure],
                code_of_sweep(str(out)),
            )  # fmt: skip
        if self.json:
            print_json(sweep_json(result, written))
        else:
            print_sweep(result, written)


def _figure(result: SweepResult) -> Figure | None:
    """Draw a sweep, if any of its fits can be drawn."""
    from specjax.report.figures import sweep_figure

    if not any(result.table.column("finite").to_pylist()):
        return None
    with status("drawing"):
        return sweep_figure(result.table)


@dataclass(frozen=True, kw_only=True)
class Recommend(Writing):
    """The fewest denoiser calls that reach a loss: with which sampler and schedule."""

    data: GivenData = field(default_factory=Data)
    target_loss: float = tyro.MISSING
    """what the loss is to come down to"""
    loss: str = "w2"
    """w2 (squared Wasserstein distance), kl, kl_reverse, l1 or relative"""
    sampler: tuple[str, ...] = ("ddim", "ddpm", "heun", "dpmpp_2m", "dpmpp_2m_sde", "lms")
    """one or several samplers to choose from"""
    alpha_bar_range: tuple[float, float] | None = None
    """NOISY CLEAN: the two ends, as of 'specjax fit'"""
    grid: str | None = None
    """the training grid that levels stay within: ddpm, sd, cosine, or a scheduler_config.json"""
    process: str = "vp"
    """vp, ve or flow"""
    noise: ForwardNoise = field(default_factory=ForwardNoise)
    denoiser_error: float = 0.0
    """what a network errs by, as a part of the ideal denoiser's own error: it counts in the loss"""
    max_steps: int = 64
    """the most steps that are tried"""
    out: Annotated[str | None, tyro.conf.arg(aliases=["-o"])] = None
    """the schedule file to write"""
    json: bool = False
    """print JSON instead of a table"""

    def run(self) -> None:
        """Fit every S, write the schedule of the first row, and print the table."""
        from specjax import files
        from specjax._core import distributed

        distributed.use_all_cores()
        from specjax.fitting.fit import fit
        from specjax.interop.on_grid import read_grid
        from specjax.report.recommend import print_recommendations, recommendations_json
        from specjax.sampling.samplers import sampler_of
        from specjax.spectra.few_samples import few_samples
        from specjax.sweep import recommend

        self.check_outputs({"out": self.out})
        opened = self.data.open()
        self.data.noise(opened, self.noise)
        grid = self.grid and read_grid(self.grid)
        spectrum = under(self.noise, self.data.spectrum(opened))
        with status("fitting") as say:
            rows = recommend(
                spectrum, self.target_loss, loss=self.loss, samplers=self.sampler,
                process=self.process, alpha_bar_range=self.alpha_bar_range,
                grid=grid, denoiser_error=self.denoiser_error, max_steps=self.max_steps,
                progress=say,
            )  # fmt: skip
        written = []
        if self.out is not None and rows:
            best = rows[0]
            learned = fit(
                spectrum, best.steps, sampler=sampler_of(best.sampler, **best.sampler_options),
                loss=self.loss, process=self.process, alpha_bar_range=self.alpha_bar_range,
                grid=grid, denoiser_error=self.denoiser_error, seed=self.data.seed,
            )  # fmt: skip
            written = [str(files.save(self.out, learned))]
        if self.json:
            print_json({**recommendations_json(rows, self.target_loss), "files": written})
        else:
            remarks = few_samples(spectrum)
            print_recommendations(rows, self.target_loss, self.loss, written, remarks)
