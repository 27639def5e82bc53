"""The command line: ``specjax fit|compare|spectrum|sweep|learn|train|sample|evaluate|...``.

A user's mistake (:class:`specjax.UserError`) is one line on standard error and exit code 2; Ctrl-C
is 130; anything else is a fault of ours and shows its traceback. Standard output holds the result
(a table, or JSON with ``--json``), standard error progress and remarks.

A command is a frozen dataclass with ``run()``, in a module of its own or with its nearest relative,
and a row of :data:`COMMANDS`. Its fields are the options, their docs the help. Options that several
commands share are groups: DATA (:mod:`specjax.cli.data`), schedules (:mod:`specjax.cli.schedules`),
runs (:mod:`specjax.cli.runs`) and processes (:mod:`specjax.cli.processes`). Checks belong to the
functions that a command calls; one that must come before long work is the same function, called
early.

Help, the version and mistakes that the parser sees are answered without JAX: these modules, and the
options that they take from the packages, import what takes time inside the functions that use it.
"""

from __future__ import annotations

import dataclasses
import errno
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import tyro

from specjax._core.cache import enable_cache
from specjax._core.checks import UserError
from specjax.cli.advise import AdviseCommand
from specjax.cli.bench import BenchCommand
from specjax.cli.console import drop_output, open_streams, remark
from specjax.cli.evaluate import EvaluateCommand
from specjax.cli.explore import Explore
from specjax.cli.fit import Compare, Fit
from specjax.cli.learn import LearnCommand
from specjax.cli.outputs import ARGUMENTS
from specjax.cli.probe import ProbeCommand
from specjax.cli.python_denoiser import is_in
from specjax.cli.record_spec import RecordSpecCommand
from specjax.cli.restore import Restore
from specjax.cli.sample import Sample
from specjax.cli.shift import ShiftCommand
from specjax.cli.show import Export, Show
from specjax.cli.spectrum import SpectrumCommand
from specjax.cli.sweep import Recommend, Sweep
from specjax.cli.train import Train, TrainFeatures

COMMANDS: dict[str, Callable[..., Any]] = {
    "fit": Fit,
    "compare": Compare,
    "spectrum": SpectrumCommand,
    "advise": AdviseCommand,
    "shift": ShiftCommand,
    "sweep": Sweep,
    "recommend": Recommend,
    "learn": LearnCommand,
    "record-spec": RecordSpecCommand,
    "train": Train,
    "train-features": TrainFeatures,
    "sample": Sample,
    "restore": Restore,
    "probe": ProbeCommand,
    "evaluate": EvaluateCommand,
    "bench": BenchCommand,
    "explore": Explore,
    "show": Show,
    "export": Export,
}
"""Every command by its name, in the order of the help."""

_FAULT = (
    "\nThis is a fault of specjax, or a machine without the memory or the disk that it needs.\n"
    "Please report it with the lines above and the command."
)
_OF_USER = "\nThis was raised in, or by, the Python code that the command names."
_DESCRIPTION = (
    "Few-step diffusion sampling, learned from the spectrum of data; networks to prove it. "
    "--version tells the version."
)


def join_help_lines(options: Any) -> None:
    """Make a paragraph of the doc of each field; tyro would keep the line breaks of the source."""
    from docstring_parser import parse_from_object  # of tyro

    docs: dict[str, str] = {}
    for base in options.__mro__[-2::-1]:
        docs |= {one.arg_name: one.description or "" for one in parse_from_object(base).params}
    for one in dataclasses.fields(options):
        if isinstance(one.default_factory, type):
            join_help_lines(one.default_factory)
        elif one.name in docs:
            text = " ".join(docs[one.name].split())
            one.metadata = MappingProxyType({"help": text})  # which tyro prefers


def _notes(error: BaseException) -> list[str]:
    """Return what was noted of an error on its way."""
    return getattr(error, "__notes__", [])


def _parsed(arguments: list[str]) -> Any:
    """Make the command of the arguments; the parser of one is quicker than that of all."""
    config = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
    if arguments and arguments[0] in COMMANDS:
        name, *rest = arguments
        return tyro.cli(COMMANDS[name], prog=f"specjax {name}", args=rest, config=config)
    return tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog="specjax", description=_DESCRIPTION, args=arguments, config=config
    )


def main(argv: list[str] | None = None) -> None:
    """Run the command that the arguments name; exit with 2 after a mistake of the user's."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        open_streams()
        if arguments == ["--version"]:
            print(f"specjax {version('specjax')}", flush=True)
            return
        if {"-h", "--help"} & set(arguments) and arguments[0] in COMMANDS:
            join_help_lines(COMMANDS[arguments[0]])
        command = _parsed(arguments)
        enable_cache()
        ARGUMENTS.set(arguments)
        command.run()
        sys.stdout.flush()
    except UserError as error:
        remark(" ".join(str(error).split()))
        sys.exit(2)
    except KeyboardInterrupt as error:
        remark("; ".join(["interrupted", "no file is half-written", *_notes(error)]))
        sys.exit(130)
    except BrokenPipeError:
        drop_output()
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
            drop_output()
            remark("cannot write to standard output: the disk is full")
            sys.exit(2)
        frames = [one.filename for one in traceback.extract_tb(error.__traceback__)]
        error.add_note(_OF_USER if is_in(frames, arguments) else _FAULT)
        raise
