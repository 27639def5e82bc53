import json

import numpy as np
import pytest
from rich.console import Console

from specjax.report.table import Column, Table

TABLE = Table(
    "of [two] schedules",
    [
        "schedule",
        Column("loss", "{:.3g}", "right"),
        Column("calls a step", lambda x: f"{x} x", "right"),
    ],
    [["a|b", 1 / 3, 1], ["c", np.nan, 2], ["d", None, np.int64(3)]],
    ["a note"],
    {0: "bold", (1, 2): "bold"},
)


def printed(table, width):
    console = Console(width=width)
    with console.capture() as found:
        table.print(console)
    return found.get()


def test_it_prints_formatted_values_in_rows():
    title, *_, note = printed(TABLE, 80).splitlines()
    assert (title.strip(), note) == ("of [two] schedules", "a note")
    cells = [line.strip("│").split("│") for line in printed(TABLE, 80).splitlines() if "│" in line]
    assert [[x.strip() for x in row] for row in cells] == [
        ["a|b", "0.333", "1 x"], ["c", "-", "2 x"], ["d", "", "3 x"]
    ]  # fmt: skip


def test_numbers_are_not_broken_in_a_narrow_terminal():
    table = Table("", [Column(f"{k} wide", "{:.12f}", "right") for k in range(5)], [[np.pi] * 5])
    assert printed(table, 20).count(f"{np.pi:.12f}") == 5


def test_json_has_the_values_unrounded_and_is_strict():
    found = json.loads(json.dumps(TABLE.to_json(), allow_nan=False))
    assert found["rows"] == [
        {"schedule": "a|b", "loss": 1 / 3, "calls a step": 1},
        {"schedule": "c", "loss": None, "calls a step": 2},
        {"schedule": "d", "loss": None, "calls a step": 3},
    ]
    assert (found["title"], found["notes"]) == (TABLE.title, ["a note"])


def test_markdown():
    assert TABLE.to_markdown().splitlines() == [
        "**of [two] schedules**", "", "| schedule | loss | calls a step |", "|---|---:|---:|",
        r"| **a\|b** | **0.333** | **1 x** |", "| c | - | **2 x** |", "| d |  | 3 x |", "",
        "a note",
    ]  # fmt: skip
    assert Table("", ["a"], [["b"]]).to_markdown() == "| a |\n|---|\n| b |"


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="zip"):
        Table("", ["a", "b"], [["c"]]).to_markdown()
