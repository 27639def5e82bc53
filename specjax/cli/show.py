"""``specjax show`` and ``specjax export``: what is in a schedule or plan, and in other forms."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from specjax.cli.console import print_json
from specjax.cli.schedules import read_schedule


@dataclass(frozen=True, kw_only=True)
class Show:
    """What is in a schedule or plan file, in every form."""

    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE")]] = tyro.MISSING
    """a schedule file, a plan file, or a list of sigmas"""
    grid: str = "ddpm"
    """the training grid of the timesteps: ddpm, sd or cosine"""
    json: bool = False
    """print JSON instead of a table"""

    def run(self) -> None:
        """Print it."""
        from specjax.report import show as report
        from specjax.schedules.grids import check_grid

        found, grid = read_schedule(self.file), check_grid(self.grid)
        if self.json:
            print_json(report.show_json(found, grid))
        else:
            report.print_show(found, grid)


@dataclass(frozen=True, kw_only=True)
class Export:
    """A schedule in the form of another program; the rows of a plan in plain forms."""

    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE")]] = tyro.MISSING
    """a schedule file, a plan file, or a list of sigmas"""
    to: str = tyro.MISSING
    """diffusers, k-diffusion, comfyui, csv, npz or json; a plan: csv, npz or json"""
    grid: str = "ddpm"
    """the training grid of the network: ddpm, sd, cosine, or none for a continuous level"""
    shift: float = 1.0
    """the flow-matching shift that the other program applies"""
    out: Annotated[str | None, tyro.conf.arg(aliases=["-o"])] = None
    """the file to write; by default text goes to standard output, npz to FILE's name"""

    def run(self) -> None:
        """Print it, or write it; remarks go to standard error."""
        from specjax import files
        from specjax.interop.export import export

        if self.out is not None:
            files.check_folder(self.out)
        grid = None if self.grid == "none" else self.grid
        made = export(read_schedule(self.file), self.to, grid=grid, shift=self.shift)
        for note in made.notes:
            print(f"note: {note}", file=sys.stderr)
        if isinstance(made.content, str) and self.out is None:
            sys.stdout.write(made.content)
            return
        content = made.content if isinstance(made.content, bytes) else made.content.encode()
        path = files.write_atomically(self.out or Path(self.file).stem + made.suffix, content)
        print(f"wrote {path}", file=sys.stderr)
