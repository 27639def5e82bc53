"""The picture: ``python -m experiments.anisotropic_noise.plot``."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from experiments.anisotropic_noise.config import DATASETS
from experiments.anisotropic_noise.tables import HERE, Found, found_of
from specjax.report.figures import save_figure
from specjax.report.figures.style import GUIDE, LEARNED, MUTED, RC


def figure_of(title: str, found: list[Found]) -> Figure:
    """For each plan the power of bands against that of clean data, measured and predicted."""
    plans = list(found[0].judged)
    figure = Figure(figsize=(6.4 * len(plans), 4.6), layout="constrained")
    panels = figure.subplots(1, len(plans), squeeze=False, sharey=True)[0]
    for axes, plan in zip(panels, plans, strict=True):
        for i, one in enumerate(found):
            colour = LEARNED if i == 0 else MUTED[(i - 1) % len(MUTED)]
            bands, x = one.bands[plan], range(len(one.bands[plan]["frequency"]))
            axes.plot(x, bands["decibel"], "o-", color=colour, markersize=3, label=one.name)
            axes.plot(x, bands["predicted_decibel"], ":", color=colour, linewidth=1)
        axes.axhline(0, color=GUIDE, linewidth=0.8)
        frequency = found[0].bands[plan]["frequency"]
        axes.set_xticks(range(len(frequency)), [f"{f:.2f}" for f in frequency])
        axes.set_xlabel("frequency, cycles per pixel")
        axes.set_title(f"{title}: {plan}", fontsize=9)
    panels[0].set_ylabel("power over that of clean data, dB\n(dotted: Gaussian prediction)")
    panels[-1].legend(fontsize=6.5)
    return figure


def main(results: Path = HERE / "results", folder: Path = HERE) -> None:
    """Write ``bands-DATA.png`` for each dataset that has been run."""
    import matplotlib

    with matplotlib.rc_context(RC):
        for data, words in DATASETS.items():
            found = found_of(data, results)
            if found:
                path = folder / f"bands-{data.replace('tfds:', '')}.png"
                save_figure(figure_of(words, found), path)


if __name__ == "__main__":
    main()
