"""The benchmarks' table, from their JSON: ``python benchmarks/report.py`` renews the README."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from common import RESULTS

from specjax.report.table import Table

HERE = Path(__file__).parent
MARKS = ("<!-- benchmarks: written by benchmarks/report.py -->", "<!-- end of benchmarks -->")
HEAD = ["what", "time", "peer", "ratio", "loss over the peer's"]
Row = tuple[str, str, str, str, str]


def _read(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text())


def _seconds(x: float) -> str:
    return f"{1e3 * x:.1f} ms" if x < 1 else f"{x:.2f} s"


def _size(shape: list[int]) -> str:
    return " x ".join(map(str, shape))


def _fit(fit: dict) -> Iterator[Row]:
    exact = fit["exact_gradients"]
    names = {"any sampler": "gradients of the same loss", "DDIM only": "of a loss for DDIM alone"}
    for peer, runs in exact["slsqp"].items():
        quickest = min(run["seconds"] for name, run in runs.items() if name != "closed form")
        yield (
            f"warm `fit`, {fit['data']}, d = {exact['dimension']:,}, S = {exact['steps']}",
            _seconds(exact["fit"]["seconds"]),
            f"SLSQP, exact {names[peer]}: {_seconds(quickest)}",
            f"**{exact['ratio'][peer]:.0f}x** "
            f"({exact['ratio_from_closed_form'][peer]:.0f}x from our start)",
            f"{exact['loss_over_slsqp']:.9f}",
        )
    for one in fit["paper"]:
        state = "" if one["slsqp"]["converged"] else " (not converged)"
        yield (
            f"warm `fit`, {one['data']}, d = {one['dimension']:,}, S = {one['steps']}",
            _seconds(one["fit"]["seconds"]),
            f"the paper's way, finite differences: {_seconds(one['slsqp']['seconds'])}{state}",
            f"**{one['ratio']:.0f}x**",
            f"{one['loss_over_slsqp']:.6f}",
        )


def _dimension(result: dict) -> Iterator[Row]:
    first, last = result["rows"][0], result["rows"][-1]
    yield (
        f"warm `fit`, d = {first['dimension']:,} to {last['dimension']:,}, S = {result['steps']}",
        f"{_seconds(first['fit_seconds'])} to {_seconds(last['fit_seconds'])}",
        "itself",
        f"**{result['largest_over_smallest_dimension']:.2f}** largest over smallest d "
        f"(slowest over fastest {result['slowest_over_fastest']:.2f})",
        f"{last['loss_on_nodes_over_full']:.9f}",
    )


def _cold(result: dict) -> Iterator[Row]:
    fits, sweep, learned = result["fits"], result["mixed"], result["learning"]
    paper = fits["paper"]
    yield (
        f"first `fit` of a process, digits, S = {fits['steps']}, nothing compiled",
        _seconds(fits["first_seconds"]),
        f"the paper's way: {_seconds(paper['seconds'])}",
        f"{paper['seconds'] / fits['first_seconds']:.2f}x",
        f"{fits['loss_over_paper']:.6f}",
    )
    kept = result["kept"]["later_seconds"]
    yield (
        "the same in the next process, after `sx.enable_cache()` in both",
        _seconds(kept), f"the paper's way: {_seconds(paper['seconds'])}",
        f"{paper['seconds'] / kept:.2f}x", f"{fits['loss_over_paper']:.6f}",
    )  # fmt: skip
    others = [_seconds(fits[f"other_{x}_seconds"]) for x in ("steps", "loss", "spectrum")]
    yield (
        "after it: other steps, another loss, another spectrum", ", ".join(others), "-", "-", "-"
    )  # fmt: skip
    yield (
        f"`fit` for every S from 3 to {fits['most']}, the rest of that process",
        _seconds(fits["all_steps_seconds"]), "-", "-", "-",
    )  # fmt: skip
    yield (
        f"sweep of {sweep['fits']} mixed fits (5 samplers, 2 losses, 10 S), nothing compiled",
        f"{_seconds(sweep['seconds'])}, {sweep['fits'] / sweep['seconds']:.0f} fits a second",
        f"the same again: {_seconds(sweep['again_seconds'])}", "-", "-",
    )  # fmt: skip
    yield (
        f"first `learn`, digits' empirical prior, S = {learned['steps']}",
        _seconds(learned["first_seconds"]),
        f"the same again: {_seconds(learned['again_seconds'])}; another S: "
        f"{_seconds(learned['other_steps_seconds'])}, again "
        f"{_seconds(learned['other_steps_again_seconds'])}",
        "-", "-",
    )  # fmt: skip
    for one in result["commands"]:
        first, later = _seconds(one["first"]), _seconds(one["second"])
        yield f"`{one['command']}`, whole process", f"{later} (first run {first})", "-", "-", "-"


def _spectrum(result: dict) -> Iterator[Row]:
    own, peer = result["specjax"], result["numpy"]
    times = [_seconds(x["accumulate_seconds"] + x["eigen_seconds"]) for x in (own, peer)]
    memory = [f"{x['peak_megabytes']:,.0f} MB" for x in (own, peer)]
    name, shape = result["data"].removeprefix("tfds:"), _size(result["shape"])
    yield (
        f"spectrum of {name}, {result['samples']:,} images of {shape}, from a file",
        f"{times[0]}, {memory[0]}",
        f"NumPy's `cov` and `eigh`: {times[1]}, {memory[1]}",
        f"**{result['numpy_over_specjax_seconds']:.1f}x**",
        f"eigenvalues within {result['largest_relative_deviation']:.1g}",
    )
    read = result["from_the_dataset"]
    time = f"{_seconds(read['seconds'])}, {read['peak_megabytes']:,.0f} MB"
    yield "the same, decoded from the prepared TFDS set in one pass", time, "-", "-", "-"


def _advise(result: dict) -> Iterator[Row]:
    own, peer = result["advise"], result["numpy"]
    yield (
        f"`advise` on {result['samples']:,} images of {_size(result['shape'])}, from a file",
        f"{_seconds(own['seconds'])}, {own['peak_megabytes']:,.0f} MB",
        f"NumPy's `cov` alone: {_seconds(peer['seconds'])}, {peer['peak_megabytes']:,.0f} MB",
        f"{result['advise_over_numpy_seconds']:.2f} times as long",
        "-",
    )
    clips, (count, *shape) = result["clips"], result["clips_shape"]
    time = f"{_seconds(clips['seconds'])}, {clips['peak_megabytes']:,.0f} MB"
    yield f"`advise` on {count:,} clips of {_size(shape)}, stationary", time, "-", "-", "-"


def _sweep(result: dict) -> Iterator[Row]:
    peer = result["slsqp"]
    yield (
        f"sweep: DDIM and DDPM, W2 and KL, S = {result['steps']}, {result['spectra']} spectra, "
        f"{result['nodes']} nodes, {result['fits']:,} fits to Parquet",
        f"{result['converged_per_minute']:,.0f} converged a minute",
        f"a loop of SLSQP, exact gradients, our start: {peer['per_minute']:,.0f} a minute",
        f"**{result['ratio']:.1f}x**",
        f"at most {peer['loss_over_slsqp_largest']:.12f}",
    )
    yield "the same on one H200-class GPU (goal 5,000,000)", "not yet run", "-", "-", "-"


def _sampling(result: dict) -> Iterator[Row]:
    names = {"ddim": "DDIM", "ddpm": "DDPM", "dpmpp_2m": "DPM-Solver++(2M)"}
    for one in result["rows"]:
        yield (
            f"`generate`, {names[one['sampler']]}, one call of a UNet of "
            f"{result['parameters'] / 1e6:.2f} M parameters on {result['batch']} digits",
            _seconds(one["seconds_per_call"]),
            f"the jitted network alone: {_seconds(one['bare_seconds_per_call'])}",
            f"**{100 * one['overhead_of_pairs']:+.1f} %** in the median of pairs "
            f"({_seconds(one['free_network_seconds_per_call'])} a call with a network "
            "that costs nothing)",
            "-",
        )


def _updates(
    result: dict, what: str, plain: str, name: Callable[[dict], str], again: str, alone: str
) -> Iterator[Row]:
    """Make a row of the updates of networks of each size."""
    for data in dict.fromkeys(one["data"] for one in result["rows"]):
        first, *others = (one for one in result["rows"] if one["data"] == data)
        each = ", ".join(f"{name(x)} {100 * x['overhead_of_pairs']:+.1f} %" for x in others)
        seconds, share = ([x[key] for x in others] for key in ("seconds", "share_alone"))
        yield (
            f"an update {what}, UNet of {first['parameters'] / 1e6:.2f} M parameters, "
            f"{first['batch']} samples of {_size(first['shape'])}",
            f"{_seconds(min(seconds))} to {_seconds(max(seconds))}",
            f"{plain}: {_seconds(first['seconds_without'])}",
            f"{each} in the median of pairs ({again} {100 * first['overhead_of_pairs']:+.1f} %; "
            f"{alone} {100 * min(share):.2f} to {100 * max(share):.2f} %)",
            "-",
        )


def _terms(result: dict) -> Iterator[Row]:
    def name(one: dict) -> str:
        term, _, option = one["terms"].partition(", ")
        return f"`{term}`" + f" {option}" * bool(option)

    again, alone = "without beside without", "the terms by themselves"
    return _updates(result, "with a frequency term", "without", name, again, alone)


def _noise(result: dict) -> Iterator[Row]:
    again, alone = "white beside white", "the colouring by itself"
    what = "under noise with a spectrum"
    return _updates(result, what, "white noise", lambda one: one["noise"], again, alone)


ROWS: dict[str, Callable[[dict], Iterator[Row]]] = {
    "fit": _fit, "dimension": _dimension, "cold": _cold, "spectrum": _spectrum,
    "advise": _advise, "sweep": _sweep,
    "sampling": _sampling, "frequency_losses": _terms, "noise": _noise,
}  # fmt: skip


def _notes(fit: dict, sweep: dict) -> str:
    computer, compiled = fit["machine"], fit["exact_gradients"]["fit"]["compile_seconds"]
    flops, memory = (
        sum(group[f"{x}_per_fit"] for group in sweep["work"]) / len(sweep["work"])
        for x in ("flops", "bytes")
    )
    return (
        f"Medians on {computer['cpu']}, {computer['cores']} cores, jax "
        f"{computer['versions']['jax']}; compile time apart "
        f"({_seconds(compiled)} for the first fit of its shape). "
        f"A fit of the sweep takes {flops / 1e6:.0f} MFLOP and touches {memory / 1e6:.0f} MB, "
        f"as XLA counts; {sweep['flops_per_second'] / 1e9:.0f} GFLOP/s are "
        f"{100 * sweep['share_of_arithmetic']:.0f} % of what matrix products reach here. "
        f"The {sweep['bytes_per_second'] / 1e9:.0f} GB/s are served by the caches (memory gives "
        f"{sweep['limits']['bytes'] / 1e9:.1f})."
    )


def table() -> str:
    results = {name: _read(name) for name in ROWS if (RESULTS / f"{name}.json").exists()}
    rows = [row for name, found in results.items() for row in ROWS[name](found)]
    return Table("", HEAD, rows, [_notes(results["fit"], results["sweep"])]).to_markdown()


def renew(path: Path) -> None:
    before, rest = path.read_text().split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    path.write_text(f"{before}{MARKS[0]}\n\n{table()}\n\n{MARKS[1]}{after}")


if __name__ == "__main__":
    renew(HERE / "README.md")
    print(table())
