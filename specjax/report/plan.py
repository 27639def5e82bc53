"""What is said of a plan in tables."""

from __future__ import annotations

from rich.table import Table

from specjax.fitting.learned import PlanResult
from specjax.sampling.corrections import Corrections


def about_plan(result: PlanResult) -> dict[str, str]:
    """A line for each thing to know of a plan."""
    best = min(result.baselines.items(), key=lambda item: item[1], default=None)
    heuristic = f"; best heuristic: {best[0]}, {best[1]:.6g}" if best else ""
    terms = ", ".join(f"{name} = {x:.4g}" for name, x in result.terms.items())
    calls = result.plan.calls
    return {
        "plan": f"{calls} call{'s' if calls > 1 else ''}, {_rows(result)}, {result.process}",
        "prior": result.prior,
        "held out": f"{result.value:.6g} (learned on: {result.train_value:.6g}{heuristic})",
        "terms": terms or "unknown",
        "kept": result.kept,
    }


def _rows(result: PlanResult) -> str:
    options = ", ".join(f"{name} = {x}" for name, x in result.sampler_options.items())
    sampler = f"{result.sampler}{f' ({options})' if options else ''}"
    if result.corrections is None:
        return f"the rows of {sampler}"
    return f"corrections from {sampler} on; learned: {', '.join(result.groups)}"


def correction_table(by: Corrections) -> Table:
    """A row a step, a column a correction, by their names in docs/plans.md."""
    columns = {"c": by.ratio, **{f"w_{i + 1}": by.weights[:, i] for i in range(by.memory)}}
    if by.noise is not None:
        columns["g"] = by.noise
    table = Table()
    for name in ("step", *columns):
        table.add_column(name, justify="right", no_wrap=True)
    for k in range(len(by.ratio)):
        table.add_row(str(k), *(f"{float(column[k]):.6g}" for column in columns.values()))
    return table
