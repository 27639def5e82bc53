"""Reports as one HTML file that needs nothing else, readable on a phone and in print.

Figures are cut into their panels, which stand side by side where there is room and one below
another where there is not: a picture of four panels could not be read on a phone.
"""

from __future__ import annotations

import base64
import importlib.metadata
import io
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax.files import write_atomically
from specjax.report.figures.style import RC
from specjax.report.table import Block, Table, blocks_html, escaped, paragraph

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 160
_MARGIN = 8  # pixels around a panel
_STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ddd; --soft: #f5f5f5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #16181c; --line: #444; --soft: #23262b; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
caption { position: sticky; left: 0; max-width: calc(100vw - 2rem); }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td[style*=right] { white-space: nowrap; }
.wide { overflow-x: auto; }
@media (max-width: 38rem) { table { font-size: .8rem; } th, td { padding: .2rem .35rem; } }
pre { overflow-x: auto; background: var(--soft); padding: .8rem; border-radius: .4rem;
  font-size: .875rem; }
figure { margin: 1rem 0; } figcaption { font-weight: 600; }
.panels { display: grid; gap: .6rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.panels figure { margin: 0; } .panels figcaption { font-size: .875rem; }
.panels img { width: 100%; height: auto; background: #fff; border-radius: .3rem; }
.panels .whole { grid-column: 1 / -1; overflow-x: auto; } .whole img { min-width: 44rem; }
.panels.samples { grid-template-columns: repeat(auto-fit, minmax(min(45%, 16rem), 1fr)); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .875rem; padding: 0; }
.legend li { list-style: none; } .legend i { display: inline-block; width: 2rem;
  margin-right: .4rem; vertical-align: middle; border-top: .2rem solid; }
details { margin: .5rem 0; } summary { cursor: pointer; }
footer { margin-top: 3rem; font-size: .875rem; opacity: .75; }
"""


@dataclass(frozen=True)
class HtmlReport:
    """The contents of a report.

    Attributes:
      title: the heading.
      blocks: tables and lines of text.
      figures: matplotlib's, in order.
      settings: by name, as a folded table.
      command: the line that made it, as typed in a shell.
      code: by heading, code to use the result.
    """

    title: str
    blocks: Sequence[Block]
    figures: Sequence[Figure] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    code: Mapping[str, str] = field(default_factory=dict)

    def to_html(self) -> str:
        """Make the page."""
        own = importlib.metadata.version("specjax")

        heading = escaped(self.title)
        parts = [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{heading}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{heading}</h1>",
            *(_wide(blocks_html([block])) for block in self.blocks),
            *map(_figure_html, self.figures),
            *(f"<h2>{escaped(name)}</h2>{_pre(code)}" for name, code in self.code.items()),
            "<h2>How it was made</h2>",
            *([_pre(self.command)] if self.command else []),
            self._settings_html(),
            f"<footer>{paragraph(f'specjax {own}')}</footer></body></html>\n",
        ]
        return "\n".join(parts)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file, whole or not at all."""
        return write_atomically(Path(path), self.to_html().encode())

    def _settings_html(self) -> str:
        if not self.settings:
            return ""
        rows = [[name, _setting(value)] for name, value in self.settings.items()]
        table = Table("", ["setting", "value"], rows).to_html()
        return f"<details><summary>All settings</summary>{_wide(table)}</details>"


def _setting(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


def _wide(content: str) -> str:
    """Let what is wider than the page scroll by itself."""
    return f'<div class="wide" tabindex="0">{content}</div>' if "<table" in content else content


def _pre(text: str) -> str:
    """Show text as it is, ends of lines too."""
    return f"<pre>{escaped(text.strip()).replace('<br>', chr(10))}</pre>"


def _figure_html(figure: Figure) -> str:
    title = escaped(figure.get_suptitle())
    parts = [f"<figure><figcaption>{title}</figcaption>"]
    for kind, pictures, legend in _drawn(figure):
        images = []
        for name, whole, png in pictures:
            source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
            image = f'<img alt="{escaped(name) or title}" src="{source}">'
            caption = f"<figcaption>{escaped(name)}</figcaption>" if kind else ""
            images.append(f"<figure{' class=whole' if whole else ''}>{caption}{image}</figure>")
        parts += [f'<div class="panels {kind}">{"".join(images)}</div>', legend]
    return "\n".join([*parts, "</figure>"])


def _drawn(figure: Figure) -> Iterator[tuple[str, list[tuple[str, bool, bytes]], str]]:
    """Draw a figure, each panel by itself in its place, and cut it into its panels.

    Yields:
      The kind of the part, "samples" or ""; of each panel its title, whether it needs the width of
      the page, and its picture as PNG; the legend as HTML.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(_DPI)
    canvas = FigureCanvasAgg(figure)
    parts: Sequence[Any] = figure.subfigs or [figure]
    every = [axes for axes in figure.findobj(matplotlib.axes.Axes) if axes.get_visible()]
    with matplotlib.rc_context(RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # of a name: shown as a box
        canvas.draw()
        figure.set_layout_engine("none")  # all stay where they are
        for part in parts:
            panels = [axes for axes in part.axes if axes in every]
            samples = any(axes.get_gid() == "samples" for axes in panels)
            groups = [[axes] for axes in panels]
            if any(axes.get_label() == "<colorbar>" for axes in panels):  # it belongs to a panel
                groups = [panels]
            pictures = []
            for group in groups:
                for axes in every:
                    axes.set_visible(axes in group)
                canvas.draw()
                name = ", ".join(filter(None, map(_name, group)))
                box = _box(group, canvas.get_renderer(), samples)
                if box is not None:
                    pictures.append(
                        (name, len(group) > 1, _cut(np.asarray(canvas.buffer_rgba()), box))
                    )
            yield "samples" if samples else "", pictures, "".join(map(_legend_html, part.legends))
        for axes in every:
            axes.set_visible(True)


def _box(group: Sequence[Any], renderer: Any, samples: bool) -> Any:
    """Find the box of panels with all that belongs to them; of samples without their names."""
    from matplotlib.transforms import Bbox

    boxes = []
    for axes in group:
        boxes.append(axes.get_window_extent() if samples else axes.get_tightbbox(renderer))
        if axes.get_legend() is not None:  # which may be outside of the layout
            boxes.append(axes.get_legend().get_window_extent(renderer))
    known = [box for box in boxes if box is not None and min(box.width, box.height) > 1]
    return Bbox.union(known) if known else None


def _cut(pixels: np.ndarray, box: Any) -> bytes:
    """Cut a box, which counts from the bottom, out of a picture [height, width, 4]."""
    from PIL import Image

    height, width = pixels.shape[:2]
    left, right = max(int(box.x0) - _MARGIN, 0), min(int(box.x1) + _MARGIN, width)
    top = max(int(height - box.y1) - _MARGIN, 0)
    bottom = min(int(height - box.y0) + _MARGIN, height)
    content = io.BytesIO()
    picture = Image.fromarray(pixels[top:bottom, left:right, :3])
    picture.quantize(256).save(content, "png", optimize=True)
    return content.getvalue()


def _legend_html(legend: Any) -> str:
    """Write the legend of a figure as a list: a picture of it would be too small on a phone."""
    from matplotlib.colors import to_hex, to_rgba

    rows = []
    for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
        line = hasattr(handle, "get_linestyle") and hasattr(handle, "get_color")
        rgba = to_rgba(handle.get_color() if line else handle.get_facecolor(), handle.get_alpha())
        on, *_ = (getattr(handle, "_dash_pattern", (0, None))[1] if line else None) or [0]
        kind = "solid" if not on else "dotted" if on < 3 * handle.get_linewidth() else "dashed"
        style = f"border-top-style:{kind};border-color:{to_hex(rgba, keep_alpha=True)}"
        rows.append(f'<li><i style="{style}"></i>{escaped(text.get_text())}</li>')
    title = legend.get_title().get_text()
    return f'{paragraph(title) if title else ""}<ul class="legend">{"".join(rows)}</ul>'


def _name(axes: Any) -> str:
    return str(axes.get_title("left") or axes.get_title())
