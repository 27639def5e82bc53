"""Tutorials: Python files in the percent format, executed as notebooks, to pages and .ipynb files.

They are executed where ``SPECJAX_DOCS_EXECUTE`` is set, once for each content; elsewhere a page shows
what an earlier build left, or code without output. A tutorial whose header requires a module or a
prepared TFDS set that is missing is not executed. The cell that installs what the header names is
written here, since only the build knows from where.
"""

import hashlib
import importlib.util
import logging
import os
import re
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

import specjax
from address import Address

_log = logging.getLogger("mkdocs.hooks.tutorials")
SECONDS = 300  # for a cell


def pages(source: Path, cache: Path, address: Address) -> dict[str, str | bytes]:
    """Make the page of a tutorial, its pictures and its notebook."""
    notebook = jupytext.read(source)
    kept = cache / f"{source.stem}-{_digest(source)}.ipynb"
    if kept.exists():
        notebook = nbformat.read(kept, 4)
    elif os.environ.get("SPECJAX_DOCS_EXECUTE"):
        missing = [name for name in notebook.metadata.get("requires", ()) if not _is_there(name)]
        if missing:
            _log.info(f"{source.name} is not executed: {', '.join(missing)} is not there")
        else:
            _execute(notebook, kept)
    bare = jupytext.read(source)
    cell = address.install(bare.metadata.get("install", ["specjax"]))
    for one in (notebook, bare):
        one.cells.insert(1, nbformat.v4.new_code_cell(cell, id="install"))
    bare.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    body, resources = MarkdownExporter().from_notebook_node(notebook)
    head, _, rest = body.lstrip().partition("\n")
    links = f"\n[Download the notebook]({source.stem}.ipynb){{ .md-button }}\n"
    if colab := address.in_colab(f"tutorials/{source.stem}.ipynb"):
        links = f"\n[Open in Colab]({colab}){{ .md-button }}{links}"
    made: dict[str, str | bytes] = {
        f"tutorials/{source.stem}.md": f"{head}\n{links}{_named(rest, source.stem)}",
        f"tutorials/{source.stem}.ipynb": nbformat.writes(bare),
    }
    for name, content in resources["outputs"].items():
        made[f"tutorials/{source.stem}-{name}"] = content
    return made


def _digest(source: Path) -> str:
    text = source.read_bytes() + specjax.__version__.encode()
    return hashlib.sha256(text).hexdigest()[:16]


def _is_there(required: str) -> bool:
    if required.startswith("tfds:"):
        folder = os.environ.get("TFDS_DATA_DIR", Path.home() / "tensorflow_datasets")
        return (Path(folder) / required.removeprefix("tfds:")).is_dir()
    return importlib.util.find_spec(required) is not None


def _execute(notebook: nbformat.NotebookNode, kept: Path) -> None:
    """Run all cells in an empty folder; a cell that fails ends the build."""
    folder = kept.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": folder}}
    ).execute()
    for cell in notebook.cells:  # warnings of libraries, with paths of this machine
        if cell.cell_type == "code":
            cell.outputs = [x for x in cell.outputs if x.get("name") != "stderr"]
    nbformat.write(notebook, kept)


def _named(body: str, stem: str) -> str:
    """Name a notebook's pictures after it; let the theme draw tables; drop colours of a terminal."""
    body = re.sub(r"<style scoped>.*?</style>", "", body, flags=re.DOTALL)
    body = body.replace('<table border="1" class="dataframe">', "<table>")
    body = re.sub(r"!\[png\]\((output_\w+\.png)\)", rf"![Output]({stem}-\1)", body)
    return re.sub(r"\x1b\[[0-9;]*m", "", body)
