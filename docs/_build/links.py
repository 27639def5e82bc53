"""Links: from those that work in the repository to those of the site, and a search for dead ones."""

import posixpath
import re
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from mkdocs.structure.files import Files

_FENCE = re.compile(r"(^```.*?^```[^\n]*$)", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"(`+[^`]+`+)")
_LINK = re.compile(r"(\[(?:[^\[\]]|\[[^\[\]]*\])*\])\(([^)\s#]+)(#[^)\s]*)?\)")


def of_site(markdown: str, place: PurePosixPath, root: Path, files: Files, repository: str) -> str:
    """Rewrite relative links of a Markdown file.

    Args:
      markdown: of the page.
      place: of its file in the repository.
      root: of the repository.
      files: those of the site.
      repository: its address, where files that are not on the site are linked to; where it is "",
        only the text of such a link is left.
    """
    own = str(place).removeprefix("docs/")

    def rewritten(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        if urlsplit(target).scheme or target.startswith("/"):
            return found[0]
        path = posixpath.normpath(place.parent / target)
        name = path.removeprefix("docs/")
        name = re.sub(r"^(tutorials/\w+)\.py$", r"\1.md", name)
        for candidate in (name, f"{name}/README.md", f"{name}/index.md"):
            if files.get_file_from_path(candidate) is not None:
                address = posixpath.relpath(candidate, posixpath.dirname(own) or ".")
                return f"{text}({address}{anchor})"
        if (root / path).exists():
            kind = "tree" if (root / path).is_dir() else "blob"
            there = f"{text}({repository}/{kind}/main/{path}{anchor})"
            return there if repository else text[1:-1]
        return found[0]

    parts = _FENCE.split(markdown)
    parts[::2] = [without_references(_LINK.sub(rewritten, part)) for part in parts[::2]]
    return "".join(parts)


def without_references(text: str) -> str:
    """Escape shapes such as [K][H] outside of code, which Markdown would take for links."""
    parts = _CODE.split(text)
    parts[::2] = [part.replace("][", "]\\[") for part in parts[::2]]
    return "".join(parts).replace("]\\[specjax.", "][specjax.")


class _Page(HTMLParser):
    """The anchors of a page and the addresses that it refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.addresses: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.addresses.add(value)


def dead(site: Path) -> list[str]:
    """List the links within a built site to a file or an anchor that it does not have."""
    pages = {}
    for path in site.rglob("*.html"):
        pages[path] = _Page()
        pages[path].feed(path.read_text())
    found = []
    for path, page in pages.items():
        if path.name == "404.html":
            continue  # its addresses are absolute
        for address in page.addresses:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or address.startswith("//"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            if not target.exists():
                found.append(f"{path.relative_to(site)}: {address} is not there")
            elif anchor and target in pages and anchor not in pages[target].anchors:
                found.append(f"{path.relative_to(site)}: {address} has no such anchor")
    return sorted(found)
