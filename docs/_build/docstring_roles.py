"""A Griffe extension that reads the docstrings of specjax as Markdown.

Sphinx's roles (:func:`fit`) become links to the reference where the name is in it, else code; a
section "Example" becomes "Examples", which Griffe knows; blocks behind "::" become code.
"""

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parent))

import links  # noqa: E402
import reference  # noqa: E402
from public_names import public_names, syntax_tree  # noqa: E402

_ROLE = re.compile(r":(?:func|class|meth|data|mod|attr):`~?\.?([^`]+)`")


class DocstringRoles(griffe.Extension):
    """Rewrites every docstring of the package once it is loaded."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Go through the package."""
        self._rewrite(pkg)

    def _rewrite(self, node: griffe.Object) -> None:
        if node.docstring is not None:
            text = re.sub(r"^Example:$", "Examples:", node.docstring.value, flags=re.MULTILINE)
            text = re.sub(r"[ ]?::\n", ":\n", text)
            text = _ROLE.sub(lambda found: _link(found[1], node), text)
            node.docstring.value = links.without_references(text)
        for member in node.members.values():
            if not member.is_alias:
                self._rewrite(member)  # type: ignore[arg-type]


def _link(name: str, node: griffe.Object) -> str:
    """Return a link to a public name or a member of one, as seen from a docstring."""
    for path in (_resolved(name, node), *_by_name().get(name, ())):
        if path in _paths() or path in _modules() or _is_member(path):
            return f"[`{name.removeprefix('specjax.')}`][{path}]"
    return f"`{name}`"


def _is_member(path: str) -> bool:
    """Tell whether a path is that of a documented member of a public class."""
    owner, _, name = path.rpartition(".")
    if owner not in _paths():
        return False
    member = syntax_tree()[owner.removeprefix("specjax.")].members.get(name)
    return member is not None and member.docstring is not None


def _resolved(name: str, node: griffe.Object) -> str:
    if name.startswith("specjax."):
        return _written().get(name, name)
    scope = node if node.is_class or node.is_module else node.parent
    first, _, rest = name.partition(".")
    try:
        path = scope.resolve(first)  # type: ignore[union-attr]
    except griffe.NameResolutionError:
        return name
    return f"{path}.{rest}" if rest else path


@cache
def _written() -> dict[str, str]:
    return {name.written: name.path for name in public_names()}


@cache
def _paths() -> set[str]:
    return {name.path for name in public_names()}


@cache
def _modules() -> set[str]:
    """The modules whose docstrings the reference has."""
    modules = {path.rpartition(".")[0] for path in _paths()}
    return {path for path in modules if path.count(".") > 1 and reference.says_more(path)}


@cache
def _by_name() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in public_names():
        found.setdefault(name.path.rpartition(".")[2], []).append(name.path)
    return found
