"""The reference pages: public names from their docstrings, commands from their parsers."""

import argparse
import warnings

import tyro
from public_names import AREAS, PublicName, public_names, syntax_tree

from specjax.cli import COMMANDS, join_help_lines


def pages() -> dict[str, str]:
    """Make the page of each area, their overview and the page of commands."""
    names = public_names()
    areas = {area: [name for name in names if name.area == area] for area in AREAS}
    unknown = {name.area for name in names} - AREAS.keys()
    if unknown:
        raise LookupError(f"no page for the areas {unknown}: name them in AREAS")
    made = {f"reference/{area}.md": _area(area, of_area) for area, of_area in areas.items()}
    made["reference/index.md"] = _overview(areas)
    made["reference/command_line.md"] = _command_line()
    return made


def _overview(areas: dict[str, list[PublicName]]) -> str:
    lines = [
        "# Reference",
        "",
        "Every public name by its area, written as after `import specjax`; `sx` stands for it in",
        "examples. [Command line](command_line.md) has the commands.",
        "",
    ]
    for area, names in areas.items():
        listed = ", ".join(f"[`{_short(name)}`][{name.path}]" for name in names)
        lines += [f"**[{AREAS[area]}]({area}.md)**: {listed}", ""]
    return "\n".join(lines)


def _short(name: PublicName) -> str:
    return name.written.removeprefix("specjax.")


def _area(area: str, names: list[PublicName]) -> str:
    lines = [f"# {AREAS[area]}", ""]
    if syntax_tree()[area].docstring is not None:
        lines += [f"::: specjax.{area}"]
        lines += ["    options: {members: false, show_root_heading: false, show_root_toc_entry: false}", ""]
    modules = sorted({name.path.rpartition(".")[0] for name in names} - {f"specjax.{area}"})
    told = [_module(path) for path in modules if says_more(path)]
    head = ["## Conventions and equations\n"] if told else []
    return "\n".join([*lines, *(_entry(name) for name in names), *head, *told])


def says_more(module: str) -> bool:
    """Tell whether a module's docstring has more than a summary."""
    docstring = syntax_tree()[module.removeprefix("specjax.")].docstring
    return docstring is not None and "\n\n" in docstring.value


def _module(path: str) -> str:
    """Write the docstring of a module, which names that are defined there refer to."""
    options = f"members: false, heading_level: 3, heading: {path}, toc_label: {path[8:]}"
    return f"::: {path}\n    options: {{{options}}}\n"


def _entry(name: PublicName) -> str:
    """Write the entry of a name; it can be linked to as it is written and where it is defined."""
    return (
        f"[](){{ #{name.written} }}\n\n::: {name.path}\n    options:\n"
        f"      heading: {name.written}\n      toc_label: {_short(name)}\n"
    )


def _command_line() -> str:
    lines = [
        "# Command line",
        "",
        "`python -m specjax` is the same as `specjax`. Every command takes `--help`.",
        "",
    ]
    for name, options in COMMANDS.items():
        join_help_lines(options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            parser = tyro.extras.get_parser(
                options,
                prog=f"specjax {name}",
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
            )
        lines += [f"## specjax {name}", "", parser.description or "", ""]
        for group in parser._action_groups:
            lines += _options(group)
    return "\n".join(lines)


def _options(group: argparse._ArgumentGroup) -> list[str]:
    actions = [a for a in group._group_actions if "--help" not in a.option_strings]
    if not actions:
        return []
    titled = group.title not in (None, "options", "positional arguments")
    lines = [f"**{group.title.capitalize()}.** {group.description or ''}", ""] if titled else []
    for action in actions:
        shape = action.metavar if action.option_strings and action.nargs != 0 else None
        names = ", ".join(action.option_strings) or str(action.metavar)
        text = (action.help or "").removesuffix(" (default: None)").replace("|", "\\|").replace("*", "\\*").replace("[", "\\[")
        lines += [f"`{names}{f' {shape}' if shape else ''}`", f":   {text}", ""]
    return lines
