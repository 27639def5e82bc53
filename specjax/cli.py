"""The command line: ``specjax fit|compare|show|export``.

A user's mistake is one line on standard error and exit code 2; Ctrl-C is 130. Standard output
holds the result (a table, or JSON with ``--json``), standard error progress and remarks.
"""

from __future__ import annotations

import contextlib
import json as json_module
import os
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from specjax import _check
from specjax.console import fail, keep_compilations, one_line_errors, progress, status
from specjax.schedule import NoiseSchedule

if TYPE_CHECKING:
    from specjax.compare import Comparison
    from specjax.result import FitResult
    from specjax.spectrum import Spectrum

_CURVE_STEPS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120)


@dataclass(frozen=True, kw_only=True)
class _Data:
    """What is sampled, by what, and how it is judged."""

    data: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="DATA")]] = tyro.MISSING
    """built-in set (digits, patches) or .npy/.npz file of samples [N, ...]"""

    sampler: str = "ddim"
    """ddim, ddpm, euler_ancestral, heun, dpmpp_2m, dpmpp_2m_sde or lms"""
    sampler_options: tuple[str, ...] = ()
    """the sampler's own options, such as eta=0.5"""
    loss: str = "w2"
    """w2 (squared Wasserstein distance), kl, kl_reverse, l1 or relative"""
    alpha_bar_range: tuple[float, float] = _check.DEFAULT_ALPHA_BAR_RANGE
    """the two ends; with CLEAN = 1.0 the last step returns the denoised estimate"""
    process: str = "vp"
    """vp or ve"""
    restarts: int | None = None
    """how many of the best starts are followed (by default 1; 8 where several minima are likely)"""
    seed: int = 0
    """of random starts, and of where patches are cut"""

    data_range: tuple[float, float] | None = None
    """values that stand for -1 and 1 (integers need it; uint8 means 0 255)"""
    key: str | None = None
    """which array of an .npz that has several"""
    method: str = "exact"
    """exact covariance, or shift-invariant (by FFT, any size)"""
    shrinkage: str = "0"
    """weight of the scaled identity in the covariance, or ledoit-wolf or oas"""
    floor: float | None = None
    """lift smaller eigenvalues to this variance (kl and relative need them above 0)"""
    json: bool = False
    """print JSON instead of tables"""

    def check(self, steps: int) -> None:
        """Refuse what can be refused before the data are read."""
        from specjax.losses import LOSSES
        from specjax.samplers import plan

        _check.whole_number("steps", steps)
        _check.one_of("loss", self.loss, LOSSES)
        if self.restarts is not None:
            _check.whole_number("restarts", self.restarts)
        _check.whole_number("seed", self.seed, 0)
        trial = NoiseSchedule.from_alpha_bar(_check.alpha_bar_range(self.alpha_bar_range))
        plan(self.sampler, trial, self.process, **_options(self.sampler_options))


@dataclass(frozen=True, kw_only=True)
class Fit(_Data):
    """Learn a schedule: a table beside the heuristics, a schedule file and a picture."""

    steps: int = tyro.MISSING
    """S, the number of denoiser calls of a one-call-per-step sampler"""
    out: str = "schedule.json"
    """the schedule file to write"""
    plot: str | None = "schedule.png"
    """the picture to write (.png, .pdf, .svg), or None"""

    def run(self) -> None:
        """Spectrum, fit, comparison; then the files; then the table."""
        from specjax import io as files
        from specjax import report
        from specjax.plots.save import check_path

        self.check(self.steps)
        files.check_folder(self.out)
        if self.plot is not None:
            files.check_folder(check_path(self.plot))
        spectrum = _spectrum(self)
        comparison = _compared(self, spectrum, self.steps)
        result = replace(comparison.learned, baselines=comparison.baselines)
        with status("drawing" if self.plot else "writing"):
            if self.plot is not None:
                _draw(self.plot, spectrum, comparison)
            files.save(self.out, result)
        written = [self.out, *([self.plot] if self.plot else [])]
        if self.json:
            _print_json({**report.comparison_json(comparison), "files": written})
        else:
            report.print_fit(comparison, spectrum, written)


@dataclass(frozen=True, kw_only=True)
class Compare(_Data):
    """Every schedule family, the learned schedule and any that you give, on one spectrum."""

    steps: tuple[int, ...] = tyro.MISSING
    """one or several S"""
    schedules: tuple[str, ...] = ()
    """schedule files, or lists of sigmas (text files, or "14.6,1.2,0" in place)"""

    def run(self) -> None:
        """A fit and a comparison for every S."""
        from specjax import report

        if not self.steps:
            raise ValueError("steps = (): give at least one whole number")
        for steps in self.steps:
            self.check(steps)
        given = {name: _schedule_of(_read(name)) for name in self.schedules}
        spectrum = _spectrum(self)
        found = [_compared(self, spectrum, steps, given) for steps in self.steps]
        if self.json:
            _print_json({"comparisons": [report.comparison_json(one) for one in found]})
        else:
            report.print_comparisons(found, spectrum)


@dataclass(frozen=True, kw_only=True)
class Show:
    """What is in a schedule file, in every form."""

    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE")]] = tyro.MISSING
    """a schedule file, or a list of sigmas"""
    grid: str = "ddpm"
    """the training grid of the timesteps: ddpm, sd or cosine"""
    json: bool = False
    """print JSON instead of a table"""

    def run(self) -> None:
        """Print it."""
        from specjax import report
        from specjax.grids import check_grid

        found, grid = _read(self.file), check_grid(self.grid)
        if self.json:
            _print_json(report.show_json(found, grid))
        else:
            report.print_show(found, grid)


@dataclass(frozen=True, kw_only=True)
class Export:
    """A schedule in the form of another program."""

    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE")]] = tyro.MISSING
    """a schedule file, or a list of sigmas"""
    to: str = tyro.MISSING
    """diffusers, k-diffusion, comfyui, csv, npz or json"""
    grid: str = "ddpm"
    """the training grid of the network: ddpm, sd, cosine, or none for a continuous level"""
    shift: float = 1.0
    """the flow-matching shift that the other program applies"""
    out: str | None = None
    """the file to write; by default text goes to standard output, npz to FILE's name"""

    def run(self) -> None:
        """Print it, or write it; remarks go to standard error."""
        from specjax import io as files
        from specjax.export import export

        if self.out is not None:
            files.check_folder(self.out)
        grid = None if self.grid == "none" else self.grid
        made = export(_read(self.file), self.to, grid=grid, shift=self.shift)
        for note in made.notes:
            print(f"note: {note}", file=sys.stderr)
        if isinstance(made.content, str) and self.out is None:
            sys.stdout.write(made.content)
            return
        content = made.content if isinstance(made.content, bytes) else made.content.encode()
        path = files.write_atomically(self.out or Path(self.file).stem + made.suffix, content)
        print(f"wrote {path}", file=sys.stderr)


Command = (
    Annotated[Fit, tyro.conf.subcommand("fit", prefix_name=False)]
    | Annotated[Compare, tyro.conf.subcommand("compare", prefix_name=False)]
    | Annotated[Show, tyro.conf.subcommand("show", prefix_name=False)]
    | Annotated[Export, tyro.conf.subcommand("export", prefix_name=False)]
)


def main(argv: list[str] | None = None) -> None:
    """Entry point of ``specjax``."""
    with one_line_errors():
        command = tyro.cli(
            Command,
            prog="specjax",
            description="Learn few-step diffusion sampling schedules from the spectrum of data.",
            args=argv,
            config=(tyro.conf.FlagCreatePairsOff,),
        )
    try:
        keep_compilations()
        command.run()
    except ValueError as error:
        sys.exit(fail(str(error)))
    except KeyboardInterrupt:
        print("specjax: interrupted; no file is half-written", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _options(given: tuple[str, ...]) -> dict[str, Any]:
    """``("eta=0.5",)`` as a mapping; values are numbers where they look like ones."""
    options: dict[str, Any] = {}
    for item in given:
        name, equals, text = item.partition("=")
        if not equals:
            raise ValueError(f"sampler_options = {item!r}: give NAME=VALUE, such as eta=0.5")
        try:
            options[name] = json_module.loads(text)
        except json_module.JSONDecodeError:
            options[name] = text
    return options


def _spectrum(args: _Data) -> Spectrum:
    """The spectrum of the data, with a progress bar."""
    from specjax import data

    shrinkage: float | str = args.shrinkage
    with contextlib.suppress(ValueError):
        shrinkage = float(args.shrinkage)
    with progress("spectrum", "samples") as update:
        opened = data.open(args.data, data_range=args.data_range, key=args.key, seed=args.seed)
        spectrum = opened.spectrum(
            method=args.method,
            shrinkage=shrinkage,
            progress=lambda done, total: update(done, total),
        )
    return spectrum if args.floor is None else spectrum.floor(args.floor)


def _compared(
    args: _Data,
    spectrum: Spectrum,
    steps: int,
    schedules: dict[str, NoiseSchedule] | None = None,
) -> Comparison:
    from specjax.compare import compare

    with progress("fit", "iterations") as update:
        return compare(
            spectrum, steps, sampler=args.sampler, loss=args.loss, process=args.process,
            alpha_bar_range=args.alpha_bar_range, sampler_options=_options(args.sampler_options),
            schedules=schedules, restarts=args.restarts, seed=args.seed,
            progress=lambda done, most, value: update(done, most),
        )  # fmt: skip


def _draw(path: str, spectrum: Spectrum, comparison: Comparison) -> None:
    from specjax.compare import heuristics, losses_over_steps
    from specjax.objective import objective
    from specjax.plots import LossCurve, fit_figure, fit_picture, save_figure

    fit = comparison.learned
    chosen = objective(spectrum, fit.sampler, fit.sampler_options, fit.loss, fit.process)
    makers = heuristics(fit.nodes, fit.loss, fit.alpha_bar_range)
    curves = [
        LossCurve(name, _CURVE_STEPS, losses_over_steps(chosen, fit.nodes, make, _CURVE_STEPS))
        for name, make in makers.items()
    ]
    picture = fit_picture(
        spectrum,
        {row.name: row.schedule for row in comparison.rows},
        learned="learned",
        sampler=fit.sampler,
        sampler_options=fit.sampler_options,
        loss=fit.loss,
        process=fit.process,
        over_steps=curves,
    )
    save_figure(fit_figure(picture), path)


def _read(text: str) -> FitResult | NoiseSchedule:
    """A schedule file, or a list of sigmas in a text file or in place."""
    from specjax import io as files
    from specjax.spectrum import Spectrum

    content = text if re.fullmatch(r"[\s\d.eE+,;-]*[,;\s][\s\d.eE+,;-]*", text) else ""
    if not content:
        raw = files.read(text)
        if raw[:2] == b"PK" or raw.lstrip()[:1] == b"{":
            found = files.load(text)
            if isinstance(found, Spectrum):
                raise ValueError(f"{text} is a spectrum file: give a schedule file")
            return found
        content = raw.decode(errors="replace").strip().strip("[]()")
    try:
        sigmas = [float(word) for word in re.split(r"[\s,;]+", content.strip()) if word]
    except ValueError:
        raise ValueError(
            f"{text} is not a schedule file (JSON by 'specjax fit') nor a list of sigmas"
        ) from None
    return NoiseSchedule.from_sigmas(sigmas)


def _schedule_of(found: FitResult | NoiseSchedule) -> NoiseSchedule:
    return found if isinstance(found, NoiseSchedule) else found.schedule


def _print_json(document: dict[str, Any]) -> None:
    print(json_module.dumps(document, indent=1, allow_nan=False))
