"""The benchmarks' table, from their JSON: ``python benchmarks/report.py`` renews both READMEs."""

import json
from collections.abc import Callable
from pathlib import Path

from common import RESULTS

HERE = Path(__file__).parent
MARKS = ("<!-- benchmarks: written by benchmarks/report.py -->", "<!-- end of benchmarks -->")


def _read(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text())


def _seconds(x: float) -> str:
    return f"{1e3 * x:.1f} ms" if x < 1 else f"{x:.2f} s"


def _fit_rows(fit: dict) -> list[str]:
    exact = fit["exact_gradients"]
    names = {"any sampler": "gradients of the same loss", "DDIM only": "of a loss for DDIM alone"}
    rows = []
    for peer, runs in exact["slsqp"].items():
        quickest = min(run["seconds"] for name, run in runs.items() if name != "closed form")
        rows.append(
            f"| warm `fit`, {fit['data']}, d = {exact['dimension']:,}, S = {exact['steps']} "
            f"| {_seconds(exact['fit']['seconds'])} "
            f"| SLSQP, exact {names[peer]}: {_seconds(quickest)} "
            f"| **{exact['ratio'][peer]:.0f}x** "
            f"({exact['ratio_from_closed_form'][peer]:.0f}x from our start) "
            f"| {exact['loss_over_slsqp']:.9f} |"
        )
    for one in fit["paper"]:
        state = "" if one["slsqp"]["converged"] else " (not converged)"
        rows.append(
            f"| warm `fit`, {one['data']}, d = {one['dimension']:,}, S = {one['steps']} "
            f"| {_seconds(one['fit']['seconds'])} "
            f"| the paper's way, finite differences: {_seconds(one['slsqp']['seconds'])}{state} "
            f"| **{one['ratio']:.0f}x** | {one['loss_over_slsqp']:.6f} |"
        )
    return rows


def _dimension_row(result: dict) -> str:
    rows = result["rows"]
    first, last = rows[0], rows[-1]
    return (
        f"| warm `fit`, d = {first['dimension']:,} to {last['dimension']:,}, "
        f"S = {result['steps']} "
        f"| {_seconds(first['fit_seconds'])} to {_seconds(last['fit_seconds'])} "
        f"| itself | **{result['largest_over_smallest_dimension']:.2f}** largest over smallest d "
        f"(slowest over fastest {result['slowest_over_fastest']:.2f}) "
        f"| {last['loss_on_nodes_over_full']:.9f} |"
    )


def _spectrum_row(result: dict) -> str:
    own, peer = result["specjax"], result["numpy"]
    times = [x["accumulate_seconds"] + x["eigen_seconds"] for x in (own, peer)]
    memory = [f"{x['peak_megabytes']:,.0f} MB" for x in (own, peer)]
    shape = " x ".join(map(str, result["shape"]))
    name = result["data"].removeprefix("tfds:")
    return (
        f"| spectrum of {name}, {result['samples']:,} images of {shape}, from a file "
        f"| {_seconds(times[0])}, {memory[0]} | NumPy's `cov` and `eigh`: {_seconds(times[1])}, "
        f"{memory[1]} | **{result['numpy_over_specjax_seconds']:.1f}x** "
        f"| eigenvalues within {result['largest_relative_deviation']:.1g} |"
    )


def _from_dataset_row(result: dict) -> str:
    read = result["from_the_dataset"]
    return (
        "| the same, decoded from the prepared TFDS set in one pass "
        f"| {_seconds(read['seconds'])}, "
        f"{read['peak_megabytes']:,.0f} MB | - | - | - |"
    )


def _sweep_rows(result: dict) -> list[str]:
    peer = result["slsqp"]
    done = (
        f"| sweep: DDIM and DDPM, W2 and KL, S = {result['steps']}, {result['spectra']} spectra, "
        f"{result['nodes']} nodes, {result['fits']:,} fits to Parquet "
        f"| {result['converged_per_minute']:,.0f} converged a minute "
        f"| a loop of SLSQP, exact gradients, our start: {peer['per_minute']:,.0f} a minute "
        f"| **{result['ratio']:.1f}x** | at most {peer['loss_over_slsqp_largest']:.12f} |"
    )
    return [done, "| the same on one H200-class GPU (goal 5,000,000) | not yet run | - | - | - |"]


def _sweep_limit(result: dict) -> str:
    mean = [
        sum(g[key] for g in result["work"]) / len(result["work"])
        for key in ("flops_per_fit", "bytes_per_fit")
    ]
    return (
        f"A fit of the sweep takes {mean[0] / 1e6:.0f} MFLOP and touches {mean[1] / 1e6:.0f} MB, "
        f"as XLA counts; {result['flops_per_second'] / 1e9:.0f} GFLOP/s are "
        f"{100 * result['share_of_arithmetic']:.0f} % of what matrix products reach here. "
        f"The {result['bytes_per_second'] / 1e9:.0f} GB/s are served by the caches (memory gives "
        f"{result['limits']['bytes'] / 1e9:.1f})."
    )


def _sampling_rows(result: dict) -> list[str]:
    names = {"ddim": "DDIM", "ddpm": "DDPM", "dpmpp_2m": "DPM-Solver++(2M)"}
    return [
        f"| `generate`, {names[one['sampler']]}, one call of a UNet of "
        f"{result['parameters'] / 1e6:.2f} M parameters on {result['batch']} digits "
        f"| {_seconds(one['seconds_per_call'])} "
        f"| the jitted network alone: {_seconds(one['bare_seconds_per_call'])} "
        f"| **{100 * one['overhead_of_pairs']:+.1f} %** in the median of pairs "
        f"({_seconds(one['free_network_seconds_per_call'])} a call with a network "
        "that costs nothing) | - |"
        for one in result["rows"]
    ]


def _update_rows(
    result: dict, what: str, plain: str, names: Callable[[dict], str], alone: str, again: str
) -> list[str]:
    """Rows of updates of networks: those of each size in one."""
    rows = []
    for data in dict.fromkeys(one["data"] for one in result["rows"]):
        first, *others = (one for one in result["rows"] if one["data"] == data)
        shape = " x ".join(map(str, first["shape"]))
        each = ", ".join(f"{names(x)} {100 * x['overhead_of_pairs']:+.1f} %" for x in others)
        seconds, share = ([x[key] for x in others] for key in ("seconds", "share_alone"))
        rows.append(
            f"| an update {what}, UNet of {first['parameters'] / 1e6:.2f} M "
            f"parameters, {first['batch']} samples of {shape} "
            f"| {_seconds(min(seconds))} to {_seconds(max(seconds))} "
            f"| {plain}: {_seconds(first['seconds_without'])} "
            f"| {each} in the median of pairs ({again} "
            f"{100 * first['overhead_of_pairs']:+.1f} %; {alone} "
            f"{100 * min(share):.2f} to {100 * max(share):.2f} %) | - |"
        )
    return rows


def _terms_rows(result: dict) -> list[str]:
    def name(one: dict) -> str:
        term, _, option = one["terms"].partition(", ")
        return f"`{term}`" + f" {option}" * bool(option)

    again, alone = "without beside without", "the terms by themselves"
    return _update_rows(result, "with a frequency term", "without", name, alone, again)


def _noise_rows(result: dict) -> list[str]:
    def name(one: dict) -> str:
        return one["noise"]

    again, alone = "white beside white", "the colouring by itself"
    return _update_rows(result, "under noise with a spectrum", "white noise", name, alone, again)


def table() -> str:
    fit, dimension, command = _read("fit"), _read("dimension"), _read("cli")
    spectrum, sweep, sampling = _read("spectrum"), _read("sweep"), _read("sampling")
    terms, noise = _read("frequency_losses"), _read("noise")
    computer = fit["machine"]
    lines = [
        "| what | time | peer | ratio | loss over the peer's |",
        "|---|---|---|---|---|",
        *_fit_rows(fit),
        _dimension_row(dimension),
        f"| `{command['command']}`, whole process | {_seconds(command['second_run_seconds'])} "
        f"(first run {_seconds(command['first_run_seconds'])}) | - | - | - |",
        _spectrum_row(spectrum),
        _from_dataset_row(spectrum),
        *_sweep_rows(sweep),
        *_sampling_rows(sampling),
        *_terms_rows(terms),
        *_noise_rows(noise),
        "",
        f"Medians on {computer['cpu']}, {computer['cores']} cores, jax "
        f"{computer['versions']['jax']}; compile time apart "
        f"({_seconds(fit['exact_gradients']['fit']['compile_seconds'])} for the first fit of its "
        "shape). " + _sweep_limit(sweep),
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
