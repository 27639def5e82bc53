"""The command line: ``specjax fit|compare|spectrum|sweep|learn|train|sample|evaluate|...``.

A user's mistake (:class:`specjax.UserError`) is one line on standard error and exit code 2; Ctrl-C
is 130; anything else is a fault of ours and shows its traceback. Standard output holds the result
(a table, or JSON with ``--json``), standard error progress and remarks.

A command is a frozen dataclass with ``run()``, in a module of its own or with its nearest
relative; it takes DATA by a field ``data: GivenData`` (``specjax.cli.data``), and is named in
``Command``.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import tyro

from specjax._core.checks import UserError
from specjax.cli.console import keep_compilations
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

_FAULT = (
    "\nThis is a fault of specjax, or a machine without the memory or the disk that it needs.\n"
    "Please report it with the lines above and the command."
)
_DESCRIPTION = (
    "Few-step diffusion sampling, learned from the spectrum of data; networks to prove it."
)


def main(argv: list[str] | None = None) -> None:
    """Entry point of ``specjax``."""
    command = tyro.cli(
        Command,
        prog="specjax",
        description=_DESCRIPTION,
        args=argv,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
    )
    try:
        keep_compilations()
        command.run()
    except UserError as error:
        print(f"specjax: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("specjax: interrupted; no file is half-written", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        error.add_note(_FAULT)
        raise
