"""``specjax record-spec``: where to call a network that Python cannot call, and what to write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from specjax import files
from specjax._core import checks
from specjax.cli.console import print_json
from specjax.cli.outputs import Writing
from specjax.cli.schedules import read_schedule


@dataclass(frozen=True, kw_only=True)
class RecordSpecCommand(Writing):
    """Say at which levels to call a network that Python cannot call, and what to record.

    Your program starts from noise (standard deviation "start"), calls the network at each alpha and
    sigma (x = alpha x0 + sigma eps) and makes the steps r <- keep r + pull answer. It writes the
    samples and answers of some 100 noises as .npz or .safetensors; sx.Recording.open reads that,
    and sx.learn makes a plan of it.
    """

    plan: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="[PLAN]")]] = None
    """a plan file, to record along it and see what it is worth; by default fine trajectories"""
    calls: int = 48
    """K, the calls of fine trajectories; a plan has its own"""
    grid: str | None = None
    """the training grid of the network, within which levels stay and which gives timesteps: ddpm,
    sd, cosine, flow, or a scheduler_config.json of diffusers"""
    alpha_bar_range: tuple[float, float] = checks.DEFAULT_ALPHA_BAR_RANGE
    """the two ends of fine trajectories; with CLEAN = 1.0 the last step returns the estimate"""
    process: str = "vp"
    """vp, ve or flow, of fine trajectories"""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "record-spec.json"
    """the file to write, for your program: alpha, sigma, keep and pull in full"""
    json: bool = False
    """print the file's content instead of a table"""

    def run(self) -> None:
        """Make the specification, write it, and print it."""
        from specjax.interop.on_grid import read_grid
        from specjax.learning import record_spec as specs
        from specjax.report import record_spec as report

        files.check_output(self.out, ".json")
        self.check_outputs({"out": self.out})
        grid = read_grid(self.grid) if self.grid else None
        if self.plan is not None:
            spec = specs.record_spec_of(read_schedule(self.plan), grid)
        else:
            spec = specs.record_spec(
                self.calls, grid=grid, alpha_bar_range=self.alpha_bar_range, process=self.process
            )
        version = specs.RECORD_SPEC_VERSION
        files.write(
            self.out, "record_spec", version, spec.header(), spec.arrays(), container="json"
        )
        if self.json:
            print_json({**spec.header(), **{k: x.tolist() for k, x in spec.arrays().items()}})
        else:
            report.print_record_spec(spec, self.out)
