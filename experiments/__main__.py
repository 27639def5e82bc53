"""All experiments: ``python -m experiments`` lists them, ``run`` runs, ``tables`` remakes tables.

python -m experiments                        # what there is, what it needs, what has been run
python -m experiments run NAME [ARGS]        # one; ARGS go to it
python -m experiments run --minutes 10       # what has not been run and fits 10 minutes
python -m experiments tables [NAME ...]      # tables, claims and pictures from the JSON
python -m experiments check [NAME ...]       # do Markdown files and JSON agree?
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from experiments import registry, summary
from experiments.registry import Experiment, Part
from experiments.remake import remake, stale, stale_by


def _listed() -> int:
    for one in registry.experiments().values():
        print(f"{one.name}: {one.about.question}")
        for part in one.about.parts:
            print(f"  {part.title}: {part.needs}; {part.state(one.results)}; {one.command(part)}")
    return 0


def _run(one: Experiment, args: list[str]) -> int:
    """In a process of its own, so that memory and settings of JAX end with it."""
    return subprocess.run([sys.executable, "-m", one.module("run"), *args]).returncode


def _elsewhere(one: Experiment, root: Path | None) -> list[str]:
    """Folders for the results and for the work of an experiment."""
    if root is None:
        return []
    where = (registry.results_of(one, root), root / one.name / "work")
    return ["--results", str(where[0]), "--work", str(where[1])]


def _run_fitting(minutes: float, gpu: bool, root: Path | None) -> int:
    chosen = registry.fitting(minutes, gpu, root)
    if not chosen:
        print(f"nothing that has not been run fits {minutes:g} minutes")
    failed = 0
    for one, part in chosen:
        print(f"== {one.name}, {part.title}: {part.needs}", flush=True)
        failed += _ran_badly(one, part, root)
    return min(failed, 1)


def _ran_badly(one: Experiment, part: Part, root: Path | None) -> bool:
    code = _run(one, [*part.args, *_elsewhere(one, root)])
    if code:
        print(f"{one.name}, {part.title}: ended with {code}", file=sys.stderr)
    return bool(code)


def _remade(names: list[str]) -> int:
    for name in names or registry.experiments():
        remake(registry.experiment(name))
        print(f"{name}: tables, claims and pictures are those of the results")
    summary.main()
    return 0


def _checked(names: list[str]) -> int:
    some = names or registry.experiments()
    found = [x for name in some for x in stale(registry.experiment(name))]
    found += stale_by(summary.__name__)
    for file in found:
        print(f"{file} differs from the results: python -m experiments tables")
    return min(len(found), 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    verbs = parser.add_subparsers(dest="verb", metavar="list, run, tables or check")
    verbs.add_parser("list", help="what there is (the default)")
    run = verbs.add_parser("run", help="NAME [ARGS]: one; or all that fit a time")
    run.add_argument("--minutes", type=float, required=True, help="for what has not been run yet")
    run.add_argument("--gpu", action="store_true", help="those that need a GPU, too")
    run.add_argument("--results", type=Path, help="a folder for all, instead of the committed ones")
    for verb, words in (("tables", "make them again"), ("check", "do they agree with the JSON?")):
        some = verbs.add_parser(verb, help=f"tables, claims and pictures: {words}")
        some.add_argument("names", nargs="*", help="experiments, all by default")
    return parser


def _named(argv: list[str]) -> bool:
    """Whether it is ``run NAME``; all that follows is that experiment's."""
    return argv[:1] == ["run"] and len(argv) > 1 and not argv[1].startswith("-")


def main(argv: list[str] | None = None) -> int:
    """The exit code."""
    argv = sys.argv[1:] if argv is None else argv
    parser = _parser()
    try:
        if _named(argv):
            return _run(registry.experiment(argv[1]), argv[2:])
        args = parser.parse_args(argv)
        if args.verb == "run":
            return _run_fitting(args.minutes, args.gpu, args.results)
        if args.verb in ("tables", "check"):
            return {"tables": _remade, "check": _checked}[args.verb](args.names)
        return _listed()
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
