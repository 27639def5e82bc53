"""``specjax show`` and ``specjax export``: what is in a schedule or plan, and in other forms."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from specjax.cli.console import print_json, say
from specjax.cli.outputs import Writing
from specjax.cli.schedules import read_schedule


@dataclass(frozen=True, kw_only=True)
class Show:
    """Show what is in a schedule or plan file, in every form."""

    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE")]] = tyro.MISSING
    """a schedule file, a plan file, or a list of sigmas"""
    grid: str | None = None
    """the training grid of the timesteps: ddpm, sd, cosine, flow, or a scheduler_config.json of
    diffusers; by default the one that was learned for, or ddpm (flow in flow matching)"""
    json: bool = False
    """print JSON instead of a table"""

    def run(self) -> None:
        """Print the schedule's origin, its levels and its corrections."""
        from specjax.interop.on_grid import read_grid
        from specjax.report import show as report

        result = read_schedule(self.file)
        usual = "flow" if result.process == "flow" else "ddpm"
        grid = result.grid if result.grid and not self.grid else read_grid(self.grid or usual)
        if self.json:
            print_json(report.show_json(result, grid))
        else:
            report.print_show(result, grid)


@dataclass(frozen=True, kw_only=True)
class Export(Writing):
    """A schedule in the form of another program; the rows of a plan in plain forms."""

    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE")]] = tyro.MISSING
    """a schedule file, a plan file, or a list of sigmas"""
    to: str = tyro.MISSING
    """diffusers, k-diffusion, comfyui, csv, npz or json; a plan: csv, npz or json"""
    grid: str | None = None
    """the training grid of the network: ddpm, sd, cosine, a scheduler_config.json of diffusers, or
    none for a continuous level; by default the one that was learned for, or ddpm"""
    shift: float | None = None
    """the flow-matching shift that the other program applies"""
    config: str | None = None
    """the scheduler_config.json of the pipeline, which says grid or shift in their place"""
    out: Annotated[str | None, tyro.conf.arg(aliases=["-o"])] = None
    """the file to write; by default text goes to standard output, npz to FILE's name"""

    def run(self) -> None:
        """Print the exported text or write it; notes go to standard error."""
        from specjax import files
        from specjax.interop.export import AS_LEARNED, export
        from specjax.interop.on_grid import read_config, read_grid

        self.check_outputs({"out": self.out})
        grid = (
            None
            if self.grid == "none"
            else AS_LEARNED
            if self.grid is None
            else read_grid(self.grid)
        )
        config = self.config and read_config(self.config, "config")
        exported = export(
            read_schedule(self.file), self.to, grid=grid, shift=self.shift, config=config or None
        )
        content = exported.content
        path: Path | None = None
        if self.out is not None or isinstance(content, bytes):
            path = Path(self.out or Path(self.file).stem + exported.suffix)
            self.check_outputs({"out": path})
            raw = content if isinstance(content, bytes) else content.encode()
            files.write_atomically(path, raw)
        for note in exported.notes:
            say(f"note: {note}")
        if path is None:
            sys.stdout.write(str(content))
        else:
            say(f"wrote {path}")
