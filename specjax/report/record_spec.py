"""The table of ``specjax record-spec``: the calls, and the arrays to write."""

from __future__ import annotations

from specjax.learning.record_spec import RecordSpec
from specjax.report.table import Column, Table, report_console
from specjax.report.words import wrote


def print_record_spec(spec: RecordSpec, path: str) -> None:
    """Print a row a call, with its step, and what the program has to write.

    Args:
      spec: what is printed.
      path: the file that was written.
    """
    plan, console = spec.plan, report_console()
    columns = {"alpha": spec.alpha[:-1], "sigma": spec.sigma[:-1]}
    if spec.timestep is not None:
        columns["timestep"] = spec.timestep
    heads = [Column("call", align="right"), *(Column(x, "{:.6g}", "right") for x in columns)]
    heads += [Column("keep r"), Column("pull")]
    rows = [
        [k, *(float(x[k]) for x in columns.values()), _numbers(plan.keep[k][0]),
         _numbers(plan.pull[k][:1])]
        for k in range(plan.calls)
    ]  # fmt: skip
    Table(f"{plan.calls} calls, {spec.process}", heads, rows).print(console)
    for line in (
        f"start from noise of standard deviation {float(plan.start):.6g}; the end has alpha "
        f"{float(spec.alpha[-1]):.6g}, sigma {float(spec.sigma[-1]):.6g}",
        "each call: d = the network's estimate of the clean data from r[0]; r <- keep r + pull d; "
        "the table has the rows of r[0]",
        "record, as .npz or .safetensors:",
        *(f"  {name} {what}" for name, what in spec.header()["record"].items()),
        *wrote([path]),
    ):
        console.print(line)


def _numbers(row: object) -> str:
    return " ".join(f"{float(x):.6g}" for x in row)  # type: ignore[attr-defined]
