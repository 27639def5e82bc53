"""The one table of all reports: it prints, and gives JSON, Markdown and HTML.

A cell is a plain value (a number, a text, None); the format of its column makes it readable, in
the terminal, in Markdown and in HTML alike. JSON has the values as they are.

A report is a list of blocks, tables and lines of text, which :func:`print_blocks` prints and
:func:`blocks_html` makes into HTML.
"""

from __future__ import annotations

import html
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from specjax.files import plain
from specjax.report.words import shown

_LOG_WIDTH = 140  # of tables where there is no terminal to be wider than
_FRAME = 3  # a rule and two spaces a column
_LONGEST_NAME = 24  # that is not broken

Styles = Mapping[int | tuple[int, int], str]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
      name: the heading.
      format: of the values: a format string such as ``"{:.4g}"``, or a function of the value. None
        becomes an empty cell and NaN a dash; a text stays as it is under a format string.
      align: "left" or "right".
    """

    name: str
    format: str | Callable[[Any], str] = "{}"
    align: Literal["left", "right"] = "left"

    def text(self, value: Any) -> str:
        """Format a value of this column; names from outside may be in it."""
        if callable(self.format):
            return shown(self.format(value))
        if value is None:
            return ""
        if isinstance(value, float) and math.isnan(value):
            return "-"
        return shown(value if isinstance(value, str) else self.format.format(value))


@dataclass(frozen=True)
class Table:
    """Rows of plain values under named columns.

    Attributes:
      title: the line above; "" for none.
      columns: one for each value of a row; a text is a column with that heading and default format.
      rows: the values, unrounded.
      notes: lines below the table.
      styles: rich's styles, such as "bold", of rows (by number) and cells (by row and column).

    Example:
      >>> table = Table("losses", ["schedule", Column("w2", "{:.3g}", "right")], [["cosine", 0.5]])
      >>> print(table.to_markdown())
      **losses**
      <BLANKLINE>
      | schedule | w2 |
      |---|---:|
      | cosine | 0.5 |
    """

    title: str
    columns: Sequence[Column | str]
    rows: Sequence[Sequence[Any]]
    notes: Sequence[str] = ()
    styles: Styles = field(default_factory=dict)

    def print(self, console: Console | None = None) -> None:
        """Print the table and its notes; on standard output by default."""
        console = console or report_console()
        for part in self._parts(console.width):
            console.print(part._rendered(console.width), soft_wrap=True)
        for note in self.notes:
            console.print(note, soft_wrap=True)

    def to_json(self) -> dict[str, Any]:
        """Give title, rows (by the names of their columns) and notes; values are not rounded.

        Numbers that are not finite are None: strict JSON has none.
        """
        names = [column.name for column in self._columns()]
        rows = [dict(zip(names, map(plain, row), strict=True)) for row in self.rows]
        return {"title": self.title, "rows": rows, "notes": list(self.notes)}

    def to_markdown(self) -> str:
        """Give a table of GitHub's Markdown, with the title in bold above and the notes below."""
        columns = self._columns()
        head = [column.name for column in columns]
        lines = [
            *([f"**{shown(self.title)}**", ""] if self.title else []),
            _markdown_row(head),
            "|" + "".join("---:|" if one.align == "right" else "---|" for one in columns),
        ]
        for i, texts in enumerate(self._texts()):
            bold = [self.styles.get((i, j), self.styles.get(i)) == "bold" for j in range(len(head))]
            cells = zip(texts, bold, strict=True)
            lines.append(_markdown_row([f"**{x}**" if x and b else x for x, b in cells]))
        return "\n".join([*lines, *(["", *map(shown, self.notes)] if self.notes else [])])

    def to_html(self) -> str:
        """Give an HTML table, with the title as its caption and the notes below."""
        columns = self._columns()
        aligned = [f' style="text-align:{one.align}"' for one in columns]
        lines = ["<table>", *([f"<caption>{escaped(self.title)}</caption>"] if self.title else [])]
        if any(one.name for one in columns):
            heads = zip(aligned, columns, strict=True)
            cells = "".join(
                f"<th{how}>{escaped(one.name).replace('_', '_<wbr>')}</th>" for how, one in heads
            )
            lines.append(f"<thead><tr>{cells}</tr></thead>")
        lines.append("<tbody>")
        for i, texts in enumerate(self._texts()):
            cells = ""
            for j, (how, text) in enumerate(zip(aligned, texts, strict=True)):
                bold = self.styles.get((i, j), self.styles.get(i)) == "bold"
                cell = f"<b>{escaped(text)}</b>" if bold and text else escaped(text)
                cells += f"<td{how}>{cell}</td>"
            lines.append(f"<tr>{cells}</tr>")
        return "\n".join([*lines, "</tbody></table>", *map(paragraph, self.notes)])

    def _columns(self) -> list[Column]:
        return [Column(one) if isinstance(one, str) else one for one in self.columns]

    def _texts(self) -> list[list[str]]:
        """Format all cells."""
        return [
            [column.text(value) for column, value in zip(self._columns(), row, strict=True)]
            for row in self.rows
        ]

    def _least_widths(self) -> list[int]:
        """Give the width of each column below which a number, a short name or a word breaks."""
        widths, texts = [], self._texts()
        for j, column in enumerate(self._columns()):
            lines = [line for row in texts for line in row[j].splitlines()]
            if column.align != "right":
                names = [x for x in lines if len(x) <= _LONGEST_NAME]
                words = [word for line in lines for word in line.split()]
                lines = names + [word for word in words if len(word) <= _LONGEST_NAME]
            widths.append(max(map(len, column.name.split() + lines), default=0))
        return widths

    def _parts(self, width: int) -> list[Table]:
        """Cut a table that is too wide into several, each with the first column."""
        taken = [least + _FRAME for least in self._least_widths()]
        parts: list[list[int]] = [[0]]
        for j in range(1, len(taken)):
            if len(parts[-1]) > 1 and sum(taken[k] for k in parts[-1]) + taken[j] >= width:
                parts.append([0])
            parts[-1].append(j)
        if len(parts) == 1:
            return [self]
        return [
            replace(
                self,
                title="" if i else self.title,
                columns=[self.columns[j] for j in chosen],
                rows=[[row[j] for j in chosen] for row in self.rows],
                styles={
                    where if isinstance(where, int) else (where[0], chosen.index(where[1])): style
                    for where, style in self.styles.items()
                    if isinstance(where, int) or where[1] in chosen
                },
            )
            for i, chosen in enumerate(parts)
        ]

    def _widths(self, width: int) -> list[int]:
        """Share out a width to the columns: none has less than it must or more than it needs."""
        widths, texts = self._least_widths(), self._texts()
        room = width - 1 - sum(least + _FRAME for least in widths)
        for j, column in enumerate(self._columns()):
            lines = [column.name, *(line for row in texts for line in row[j].splitlines())]
            more = max(0, min(max(map(len, lines)) - widths[j], room))
            widths[j], room = widths[j] + more, room - more
        return widths

    def _rendered(self, width: int) -> RichTable:
        """Make rich's table: numbers are never broken, headings and names only between words."""
        columns, texts, widths = self._columns(), self._texts(), self._widths(width)
        title = Text(shown(self.title)) if self.title else None
        headed = any(column.name for column in columns)
        rendered = RichTable(
            title=title, title_justify="left", show_header=headed,
            width=1 + sum(widths) + _FRAME * len(widths),
        )  # fmt: skip
        for j, column in enumerate(columns):
            rendered.add_column(
                Text(column.name), justify=column.align, overflow="fold", width=widths[j]
            )
        for i, row in enumerate(texts):
            cells = [Text(text, self.styles.get((i, j), "")) for j, text in enumerate(row)]
            rendered.add_row(*cells, style=self.styles.get(i))
        return rendered


Block = Table | str
"""A part of a report: a table, or a line of text."""


def print_blocks(blocks: Iterable[Block], console: Console | None = None) -> None:
    """Print a report; on standard output by default."""
    console = console or report_console()
    for block in blocks:
        if isinstance(block, Table):
            block.print(console)
        else:
            console.print(block, soft_wrap=True)


def blocks_text(blocks: Iterable[Block], width: int = 100) -> str:
    """Give what :func:`print_blocks` prints, as plain text."""
    plain_text = io.StringIO()
    console = ReportConsole(
        file=plain_text, width=width, highlight=False, markup=False, emoji=False, color_system=None
    )
    print_blocks(blocks, console)
    return "\n".join(line.rstrip() for line in plain_text.getvalue().splitlines())


def blocks_html(blocks: Iterable[Block]) -> str:
    """Give a report as HTML."""
    return "\n".join(x.to_html() if isinstance(x, Table) else paragraph(x) for x in blocks)


def paragraph(text: str) -> str:
    """Make a paragraph of HTML of a line of text."""
    return f"<p>{escaped(text)}</p>"


def escaped(text: str) -> str:
    """Escape a text, which may have names from outside, for HTML; ends of lines stay."""
    return html.escape(shown(text)).replace("\n", "<br>")


class ReportConsole(Console):
    """A console for text with names from outside, which are no markup and shown as they are."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts, escaped, and tables."""
        super().print(*(shown(x) if isinstance(x, str) else x for x in objects), **options)

    def on_broken_pipe(self) -> None:
        """Leave it to the command that whoever read is gone; rich would end it with code 1."""
        raise BrokenPipeError


def report_console() -> Console:
    """Open standard output for a report: plain text, long lines left to the terminal to wrap."""
    console = ReportConsole(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = max(console.width, _LOG_WIDTH)
    return console


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(one.replace("|", r"\|").replace("\n", " ") for one in cells) + " |"
