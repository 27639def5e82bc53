"""MkDocs hooks: pages that are made at build time, links between repository and site, and the checks.

The build fails on a public name or parameter without documentation, on a link to nowhere, and on a
tutorial that does not run.
"""

import os
import re
import sys
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import address  # noqa: E402
import equations  # noqa: E402
import figures  # noqa: E402
import links  # noqa: E402
import reference  # noqa: E402
import tutorials  # noqa: E402
from public_names import undocumented  # noqa: E402

OF_THE_REPOSITORY = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "experiments/README.md",
    "experiments/*/*.md",
    "experiments/*/*.png",
)
"""Pages and pictures outside of docs/ that the site has at the same place."""

SHORT_CODE = re.compile(r"<code>([^<\n]{1,24})</code>")
"""Code within a sentence that is not broken over two lines."""

ADDRESS = address.Address.of(os.environ)


def on_config(config: MkDocsConfig) -> None:
    """Set the addresses, where they are known."""
    if ADDRESS.repository:
        config.repo_url, config.site_url = ADDRESS.repository, ADDRESS.site
        config.repo_name = "/".join(ADDRESS.repository.split("/")[-2:])


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and those of the repository."""
    for pattern in OF_THE_REPOSITORY:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    made = {**reference.pages(), **figures.drawn(ROOT / "build/docs")}
    for source in sorted((ROOT / "docs/tutorials").glob("*.py")):
        page = files.get_file_from_path(f"tutorials/{source.name}")
        if page is not None:
            files.remove(page)
        made |= tutorials.pages(source, ROOT / "build/docs", ADDRESS)
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links of the repository into those of the site, and equations into MathML."""
    name = page.file.src_uri
    place = name if page.file.generated_by and (ROOT / name).exists() else f"docs/{name}"
    markdown = links.of_site(markdown, PurePosixPath(place), ROOT, files, ADDRESS.repository)
    return figures.with_dark_ones(markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write equations as MathML, which browsers draw without a script; mark code that is short."""
    return SHORT_CODE.sub(r'<code class="short">\1</code>', equations.as_mathml(html))


def on_post_build(config: MkDocsConfig) -> None:
    """Fail on what is not documented, and on links and anchors that lead nowhere."""
    wrong = undocumented() + links.dead(Path(config.site_dir))
    if wrong:
        raise PluginError("\n".join(["the documentation is incomplete:", *wrong]))
