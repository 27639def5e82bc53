"""The benchmarks' table, from their JSON: ``python benchmarks/report.py`` renews both READMEs."""

import json
from pathlib import Path

from common import RESULTS

HERE = Path(__file__).parent
MARKS = ("<!-- benchmarks: written by benchmarks/report.py -->", "<!-- end of benchmarks -->")


def _read(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text())


def _seconds(x: float) -> str:
    return f"{1e3 * x:.1f} ms" if x < 1 else f"{x:.2f} s"


def _fit_rows(fit: dict) -> list[str]:
    exact, paper = fit["exact_gradients"], fit["paper"]
    peers = [run for name, run in exact["slsqp"].items() if name != "closed form"]
    quickest = min(run["seconds"] for run in peers)
    quickest_paper = min(run["seconds"] for run in paper["slsqp"].values())
    return [
        f"| warm `fit`, {fit['data']}, d = {exact['dimension']:,}, S = {exact['steps']} "
        f"| {_seconds(exact['fit']['seconds'])} "
        f"| SLSQP, exact gradients, full spectrum: {_seconds(quickest)} and more "
        f"| **{exact['ratio']:.0f}x** ({exact['ratio_from_closed_form']:.0f}x from our start) "
        f"| {exact['loss_over_slsqp']:.9f} |",
        f"| warm `fit`, exponential covariance, d = {paper['dimension']}, S = {paper['steps']} "
        f"| {_seconds(paper['fit']['seconds'])} "
        f"| the paper's way, SLSQP with finite differences: {_seconds(quickest_paper)} and more "
        f"| **{paper['ratio']:.0f}x** | {paper['loss_over_slsqp']:.9f} |",
    ]


def _dimension_row(result: dict) -> str:
    rows = result["rows"]
    first, last = rows[0], rows[-1]
    return (
        f"| warm `fit`, d = {first['dimension']:,} to {last['dimension']:,}, "
        f"S = {result['steps']} "
        f"| {_seconds(first['fit_seconds'])} to {_seconds(last['fit_seconds'])} "
        f"| itself | **{result['slowest_over_fastest']:.2f}** slowest over fastest "
        f"({result['slowest_over_fastest_per_iteration']:.2f} per iteration) "
        f"| {last['loss_on_nodes_over_full']:.9f} |"
    )


def table() -> str:
    fit, dimension, command = _read("fit"), _read("dimension"), _read("cli")
    computer = fit["machine"]
    lines = [
        "| what | time | peer | ratio | loss over the peer's |",
        "|---|---|---|---|---|",
        *_fit_rows(fit),
        _dimension_row(dimension),
        f"| `{command['command']}`, whole process | {_seconds(command['second_run_seconds'])} "
        f"(first run {_seconds(command['first_run_seconds'])}) | - | - | - |",
        "",
        f"Medians on {computer['cpu']}, {computer['cores']} cores, jax "
        f"{computer['versions']['jax']}; compile time apart "
        f"({_seconds(fit['exact_gradients']['fit']['compile_seconds'])} for the first fit of its "
        "shape).",
    ]
    return "\n".join(lines)


def renew(path: Path) -> None:
    text = path.read_text()
    before, rest = text.split(MARKS[0])
    path.write_text(
        before + MARKS[0] + "\n\n" + table() + "\n\n" + MARKS[1] + rest.split(MARKS[1])[1]
    )


if __name__ == "__main__":
    for readme in (HERE / "README.md", HERE.parent / "README.md"):
        renew(readme)
    print(table())
