"""The driver of all experiments.

python -m experiments                          # what there is, what it needs, what has been run
python -m experiments run NAME [--cases ...]   # one experiment, or some cases of it
python -m experiments run --minutes 10         # all that has not been run and fits 10 minutes
python -m experiments summary [NAME ...]       # write tables and claims from the JSON
python -m experiments figure [NAME ...]        # draw the pictures from the JSON
python -m experiments check [NAME ...]         # do the Markdown files agree with the JSON?
"""

from __future__ import annotations

import argparse
import fnmatch
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments import experiment, summary
from experiments.experiment import Experiment, Part
from experiments.session import Session
from specjax._core.checks import UserError

WORK = Path("build")
"""The folder of what is not committed, below the current one."""


def list_all() -> int:
    """Print all experiments with their parts."""
    for one in map(experiment.load, experiment.names()):
        print(f"{one.name}: {one.question}")
        for part in one.parts:
            state, command = part.state(one.results), one.command(*part.cases)
            print(f"  {part.title}: {part.needs}; {state}; {command}")
    return 0


def run_one(one: Experiment, argv: list[str]) -> int:
    """Run an experiment in this process."""
    session = session_of(one, argv)
    session.work.mkdir(parents=True, exist_ok=True)
    one.module("run").run(session)
    return 0


def session_of(one: Experiment, argv: list[str]) -> Session:
    """Read the arguments of a run.

    Raises:
      UserError: for a case that does not exist, or a smallest run in the folders of the real one.
    """
    parser = argparse.ArgumentParser(prog=f"python -m experiments run {one.name}")
    work = WORK / (one.work or one.name)
    if one.cases:
        parser.add_argument("--cases", nargs="+", help=f"of {', '.join(one.cases)}; * is allowed")
    if hasattr(one.config, "seeds"):
        parser.add_argument("--seeds", type=int, nargs="+", help=f"by default {one.config.seeds}")
    for name in one.options:
        values = getattr(one.config, name)
        known = values if isinstance(values[0], str) else None
        kind = {"type": type(values[0]), "choices": known}
        parser.add_argument(f"--{name}", nargs="+", help="by default all", **kind)
    parser.add_argument("--smallest", action="store_true", help="a run of seconds: does it work?")
    parser.add_argument("--results", type=Path, default=one.results, help="folder of the JSON")
    parser.add_argument("--work", type=Path, default=work, help="folder of networks and plans")
    args = parser.parse_args(argv)
    if args.smallest and (args.results == one.results or args.work == work):
        raise UserError("--smallest needs folders of its own: give --results and --work")
    config = one.smallest if args.smallest else one.config
    given = {name: getattr(args, name) for name in one.options}
    config = replace(config, **{name: tuple(x) for name, x in given.items() if x is not None})
    seeds = getattr(args, "seeds", None)
    return Session(
        one.name, config, one.selection, _cases(one, args),
        tuple(range(getattr(config, "seeds", 1)) if seeds is None else seeds),
        args.results, args.work,
    )  # fmt: skip


def _cases(one: Experiment, args: argparse.Namespace) -> tuple[str, ...]:
    patterns = getattr(args, "cases", None)
    if patterns is None:
        return (args.smallest and one.smallest_cases) or one.default_cases
    known = dict.fromkeys([*one.cases, *one.smallest_cases])
    found = {x: [case for case in known if fnmatch.fnmatchcase(case, x)] for x in patterns}
    unknown = [x for x in patterns if not found[x]]
    if unknown:
        raise UserError(f"--cases: no {', '.join(unknown)} in {one.name}: {', '.join(one.cases)}")
    return tuple(dict.fromkeys(case for cases in found.values() for case in cases))


def run_fitting(minutes: float, gpu: bool, root: Path | None) -> int:
    """Run what has not been run and fits a time, each part in a process of its own."""
    chosen = experiment.waiting(minutes, gpu, root)
    if not chosen:
        print(f"nothing that has not been run fits {minutes:g} minutes")
    failed = False
    for one, part in chosen:
        print(f"== {one.name}, {part.title}: {part.needs}", flush=True)
        code = _in_process(one, part, root)
        if code:
            print(f"{one.name}, {part.title}: ended with {code}", file=sys.stderr)
        failed |= bool(code)
    return int(failed)


def _in_process(one: Experiment, part: Part, root: Path | None) -> int:
    """Run a part so that the memory and settings of JAX end with it."""
    command = [sys.executable, "-m", "experiments", *one.arguments(part.cases)]
    if root is not None:
        folder = root / one.name
        command += ["--results", str(folder / "results"), "--work", str(folder / "work")]
    return subprocess.run(command).returncode


def write_summaries(names: Sequence[str]) -> int:
    """Write tables and claims."""
    for path, text in summary.pages(names).items():
        path.write_text(text)
    return 0


def draw(names: Sequence[str], results: Path | None = None, folder: Path | None = None) -> int:
    """Draw the pictures of experiments; their results and the folder of the files may be given."""
    import matplotlib

    from specjax.report.figures import save_figure
    from specjax.report.figures.style import RC

    for one in map(experiment.load, names):
        with matplotlib.rc_context(RC):
            for name, figure in one.module("figure").figures(results or one.results):
                save_figure(figure, (folder or one.results.parent) / f"{name}.png")
    return 0


def check(names: Sequence[str]) -> int:
    """Compare the Markdown files with the JSON."""
    stale = summary.stale(names)
    for path in stale:
        print(f"{path} differs from the results: python -m experiments summary")
    return int(bool(stale))


VERBS: dict[str, Any] = {"summary": write_summaries, "figure": draw, "check": check}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    verbs = parser.add_subparsers(dest="verb", metavar="list, run, summary, figure or check")
    verbs.add_parser("list", help="what there is (the default)")
    run = verbs.add_parser("run", help="NAME [--help]: one experiment; or all that fit a time")
    run.add_argument("--minutes", type=float, required=True, help="for what has not been run yet")
    run.add_argument("--gpu", action="store_true", help="include what needs a GPU")
    run.add_argument("--results", type=Path, help="a folder for all, instead of the committed ones")
    for verb, function in VERBS.items():
        some = verbs.add_parser(verb, help=function.__doc__)
        some.add_argument("names", nargs="*", help="experiments, by default all")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    parser = _parser()
    try:
        if argv[:1] == ["run"] and len(argv) > 1 and not argv[1].startswith("-"):
            return run_one(experiment.load(argv[1]), argv[2:])
        args = parser.parse_args(argv)
        if args.verb in (None, "list"):
            return list_all()
        if args.verb == "run":
            return run_fitting(args.minutes, args.gpu, args.results)
        return VERBS[args.verb]([experiment.load(x).name for x in args.names or experiment.names()])
    except UserError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
