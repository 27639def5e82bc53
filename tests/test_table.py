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
    row = [k + np.pi for k in range(5)]
    table = Table("", [Column(f"{k} wide", "{:.12f}", "right") for k in range(5)], [row])
    text = printed(table, 20)
    assert all(f"{x:.12f}" in text for x in row)


def test_a_table_that_is_too_wide_is_cut_into_several_with_the_first_column():
    columns = ["schedule", *(Column(f"S = {s}", "{:.4f}", "right") for s in range(10))]
    rows = [[name, *range(10)] for name in ("align_your_steps", "two words that may be broken")]
    text = printed(Table("title", columns, rows, ["note"], {(0, 9): "bold", 1: "dim"}), 60)
    assert max(map(len, text.splitlines())) <= 60
    assert text.count("align_your_steps") == text.count("schedule") > 1
    assert text.count("title") == text.count("note") == 1
    for s in range(10):
        assert text.count(f"S = {s}") == 1
        assert text.count(f"{s:.4f}") == 2


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
