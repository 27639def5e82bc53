"""The command line: ``specjax fit|compare|spectrum|sweep|learn|train|sample|evaluate|...``.

A user's mistake is one line on standard error and exit code 2; Ctrl-C is 130. Standard output
holds the result (a table, or JSON with ``--json``), standard error progress and remarks.

A command is a frozen dataclass with ``run()``, in a module of its own or with its nearest
relative; it takes DATA by a field ``data: GivenData`` (``specjax.cli.data``), and is named in
``Command``.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import jax
import tyro

from specjax.cli.console import fail, keep_compilations, one_line_errors
from specjax.cli.evaluate import EvaluateCommand
from specjax.cli.fit import Compare, Fit
from specjax.cli.learn import LearnCommand
from specjax.cli.probe import ProbeCommand
from specjax.cli.sample import Sample
from specjax.cli.show import Export, Show
from specjax.cli.spectrum import SpectrumCommand
from specjax.cli.sweep import Recommend, Sweep
from specjax.cli.train import Train
from specjax.cli.train_features import TrainFeatures

Command = (
    Annotated[Fit, tyro.conf.subcommand("fit", prefix_name=False)]
    | Annotated[Compare, tyro.conf.subcommand("compare", prefix_name=False)]
    | Annotated[SpectrumCommand, tyro.conf.subcommand("spectrum", prefix_name=False)]
    | Annotated[Sweep, tyro.conf.subcommand("sweep", prefix_name=False)]
    | Annotated[Recommend, tyro.conf.subcommand("recommend", prefix_name=False)]
    | Annotated[LearnCommand, tyro.conf.subcommand("learn", prefix_name=False)]
    | Annotated[Train, tyro.conf.subcommand("train", prefix_name=False)]
    | Annotated[TrainFeatures, tyro.conf.subcommand("train-features", prefix_name=False)]
    | Annotated[Sample, tyro.conf.subcommand("sample", prefix_name=False)]
    | Annotated[ProbeCommand, tyro.conf.subcommand("probe", prefix_name=False)]
    | Annotated[EvaluateCommand, tyro.conf.subcommand("evaluate", prefix_name=False)]
    | Annotated[Show, tyro.conf.subcommand("show", prefix_name=False)]
    | Annotated[Export, tyro.conf.subcommand("export", prefix_name=False)]
)

_DESCRIPTION = (
    "Few-step diffusion sampling, learned from the spectrum of data; networks to prove it."
)


def main(argv: list[str] | None = None) -> None:
    """Entry point of ``specjax``."""
    try:
        with one_line_errors():
            command = tyro.cli(
                Command,
                prog="specjax",
                description=_DESCRIPTION,
                args=argv,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
            )
        keep_compilations()
        command.run()
    except ValueError as error:
        sys.exit(fail(str(error)))
    except KeyboardInterrupt:
        print("specjax: interrupted; no file is half-written", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        sys.exit(fail(f"{error.filename or 'a file'}: {error.strerror or error}"))
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        sys.exit(fail(f"the device's memory is full; give a smaller --batch: {str(error)[:200]}"))
