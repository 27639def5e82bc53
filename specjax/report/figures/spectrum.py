"""The picture of a spectrum: its slope, how few directions matter, and what they look like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from specjax.report.figures.style import GUIDE, INK, LEARNED, MUTED, RC
from specjax.spectra.basis import Basis
from specjax.spectra.power_law import directions_for, power_law_fit, ranked, variance_beyond
from specjax.spectra.spectrum import Spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 800
"""Eigenvalues drawn of a large spectrum, evenly over the logarithm of their rank."""

_SHARES = (0.9, 0.99, 0.999)
_LEAST_REST = 1e-5
_VECTORS = 7
_DATA = MUTED[0]


def spectrum_figure(spectrum: Spectrum) -> Figure:
    """Draw a spectrum.

    Panels: eigenvalues over rank with the fitted power law, and below them their bootstrap
    intervals in percent, where the spectrum has them; the share of the variance in the first
    directions, on a scale on which 90 %, 99 % and 99.9 % are evenly spaced; and, for a basis of
    images or sounds, the mean and the first seven eigenvectors.

    Args:
      spectrum: its ``source`` says the data's name, the number of samples and the units.

    Returns:
      A matplotlib figure that belongs to nobody else; see :func:`save_figure`.
    """
    import matplotlib
    from matplotlib.figure import Figure

    kind = _kind(spectrum.basis)
    with matplotlib.rc_context(RC):
        height = 6.6 if kind else 4.9
        figure = Figure(figsize=(11.0, height))
        # Places in inches, since a layout engine's last digits differ from figure to figure.
        foot, head = (2.42 if kind else 0.6), height - 0.85
        sides = {"left": 0.068, "right": 0.985, "bottom": foot / height, "top": head / height}
        grid = figure.add_gridspec(2, 2, **sides, height_ratios=(3.2, 1), wspace=0.2, hspace=0.22)
        values = figure.add_subplot(grid[0 if spectrum.intervals else slice(2), 0])
        _draw_eigenvalues(values, spectrum)
        if spectrum.intervals:
            values.set_xlabel("")
            values.tick_params(labelbottom=False)
            _draw_band(figure.add_subplot(grid[1, 0]), values, spectrum)
        _draw_shares(figure.add_subplot(grid[:, 1]), spectrum)
        if kind:
            _draw_vectors(figure, spectrum, kind)
        figure.text(
            0.02, 1 - 0.36 / height, _title(spectrum), fontsize=14, fontweight="bold", color=INK,
            gid="title",
        )  # fmt: skip
    return figure


def _title(spectrum: Spectrum) -> str:
    source = spectrum.source or {}
    dimension = int(source.get("dimension", spectrum.dimension))
    words = [f"{dimension:,} dimensions"]
    if "samples" in source:
        words.append(f"{source['samples']:,} samples")
    words += [str(source[name]) for name in ("method",) if name in source]
    return f"{source.get('name', 'spectrum')}: {', '.join(words)}"


def _thinned(first: np.ndarray) -> np.ndarray:
    """Indices of at most ``MOST_POINTS`` eigenvalues, evenly over log rank, both ends kept."""
    if first.size <= MOST_POINTS:
        return np.arange(first.size)
    wanted = np.linspace(0, np.log(first[-1]), MOST_POINTS)
    return np.unique(np.searchsorted(np.log(first), wanted).clip(0, first.size - 1))


def _line(points: int) -> dict[str, Any]:
    """Dots while they can be told apart."""
    dots = {"marker": "o", "markersize": 3} if points <= 80 else {}
    return {"color": _DATA, "linewidth": 2.2, "zorder": 4, **dots}


def _draw_eigenvalues(axes: Axes, spectrum: Spectrum) -> None:
    order, first, counts = ranked(spectrum)
    shown = _thinned(first)
    rank, order = (first + (counts - 1) / 2)[shown], order[shown]
    eigenvalues = np.asarray(spectrum.eigenvalues, np.float64)[order]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.plot(rank, eigenvalues, label="eigenvalues", **_line(rank.size))
    if first.size >= 3:
        law = power_law_fit(spectrum)
        ends = rank[[0, -1]]
        axes.plot(
            ends, law.at(ends), color=LEARNED, linewidth=1.6, linestyle=(0, (5, 2)), zorder=5,
            label=f"$\\propto$ rank$^{{-{law.exponent:.2f}}}$  (± {law.standard_error:.2f}, "
            f"$R^2$ = {law.r_squared:.3f})",
        )  # fmt: skip
    _mark_tail(axes, spectrum)
    axes.set_title("Eigenvalues")
    axes.set_xlabel("rank" + _left_out(spectrum))
    axes.set_ylabel(f"variance in {_units(spectrum)}")
    axes.legend(loc="lower left")


def _draw_band(axes: Axes, above: Axes, spectrum: Spectrum) -> None:
    """The intervals over the eigenvalues: on seven decades a band of some percent is a line."""
    assert spectrum.intervals is not None
    found, (order, first, counts) = spectrum.intervals, ranked(spectrum)
    shown = _thinned(first)
    rank, order = (first + (counts - 1) / 2)[shown], order[shown]
    eigenvalues = np.asarray(spectrum.eigenvalues, np.float64)[order]
    lower, upper = (
        (100 * (x[order] / eigenvalues - 1)).clip(-100, 1e4) for x in (found.lower, found.upper)
    )
    axes.fill_between(rank, lower, upper, color=_DATA, alpha=0.28, linewidth=0, step="mid")
    axes.axhline(0, color=_DATA, linewidth=1.2)
    axes.set_xscale("log")
    axes.set_xlim(above.get_xlim())
    half, most = np.quantile(np.abs([lower, upper]), (0.5, 0.95))
    wide = max(min(1.15 * most, 4 * half), 0.1)
    axes.set_ylim(-min(wide, 100.0), wide)
    axes.set_title(f"{100 * found.level:g} % intervals (bootstrap, {found.method})", fontsize=9)
    axes.set_ylabel("%")
    axes.set_xlabel("rank" + _left_out(spectrum))


def _mark_tail(axes: Axes, spectrum: Spectrum) -> None:
    """Where a low-rank spectrum stops being measured."""
    rank = (spectrum.source or {}).get("rank")
    if rank is None:
        return
    axes.axvline(rank, color=GUIDE, linewidth=1.0, linestyle=":", gid="tail")
    axes.annotate(
        " extrapolated", (rank, 0.97), xycoords=("data", "axes fraction"), fontsize=8.5,
        color=INK, va="top",
    )  # fmt: skip


def _left_out(spectrum: Spectrum) -> str:
    zeros = float(np.sum(np.asarray(spectrum.weights)[np.asarray(spectrum.eigenvalues) <= 0]))
    return f"  ({zeros:,.0f} zero{'s' * (zeros != 1)} left out)" if zeros else ""


def _units(spectrum: Spectrum) -> str:
    return "[-1, 1] units" if (spectrum.source or {}).get("data_range") else "network units"


def _draw_shares(axes: Axes, spectrum: Spectrum) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    last, rest = variance_beyond(spectrum)
    drawn = _thinned(ranked(spectrum)[1])
    drawn = drawn[rest[drawn] > _LEAST_REST]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.plot(last[drawn], rest[drawn], **_line(last.size))
    axes.set_xlim(0.9, 1.15 * last[-1])
    axes.set_ylim(1.0, min(0.5 * 10 ** np.floor(np.log10(rest[drawn].min(initial=1e-3))), 5e-4))
    for share in _SHARES:
        _mark_share(axes, share, directions_for(spectrum, share), float(last[-1]))
    axes.yaxis.set_major_locator(FixedLocator([0.5, 0.1, 0.01, 1e-3, 1e-4, 1e-5]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda left, _: f"{100 * (1 - left):.6g} %")
    axes.set_title("Variance in the first directions")
    axes.set_xlabel("rank")


def _mark_share(axes: Axes, share: float, rank: float, last: float) -> None:
    """A dot and its rank: below the rising curve on the left, above it on the right."""
    right = rank < last**0.45
    axes.plot([rank], [1 - share], "o", color=LEARNED, markersize=7, zorder=6, gid="share",
              markeredgecolor="white")  # fmt: skip
    axes.annotate(
        f"{100 * share:g} % in {rank:,.0f}", (rank, 1 - share), textcoords="offset points",
        xytext=(7, -6) if right else (-8, 5), ha="left" if right else "right",
        va="top" if right else "bottom", fontsize=9.5, color=INK, zorder=7,
    )  # fmt: skip


def _kind(basis: Basis | None) -> str | None:
    """What one sample can be drawn as: "image", "sound" or nothing."""
    shape = () if basis is None else tuple(basis.shape)
    if len(shape) == 1 or (len(shape) == 2 and shape[1] <= 2):
        return "sound" if shape[0] >= 16 else None
    channels = shape[2] if len(shape) == 3 else 1
    return "image" if len(shape) in (2, 3) and channels in (1, 3) else None


def _draw_vectors(figure: Figure, spectrum: Spectrum, kind: str) -> None:
    order = ranked(spectrum)[0][:_VECTORS]
    height = figure.get_figheight()
    sides = {"left": 0.014, "right": 0.986, "bottom": 0.1 / height, "top": 1.5 / height}
    grid = figure.add_gridspec(1, 1 + _VECTORS, **sides, wspace=0.12)
    places = [figure.add_subplot(grid[0, i]) for i in range(1 + order.size)]
    draw = _draw_image if kind == "image" else _draw_sound
    for i, axes in enumerate(places):
        coefficients = np.array(spectrum.mean, np.float64)
        if i > 0:
            coefficients = np.zeros_like(coefficients)
            coefficients[order[i - 1]] = 1
        one = np.asarray(spectrum.lift(coefficients))
        draw(axes, one if i == 0 or one.sum() >= 0 else -one, signed=i > 0)
        axes.set_title("mean" if i == 0 else f"vector {i}", fontsize=9, loc="center")
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)


def _draw_image(axes: Axes, image: np.ndarray, signed: bool) -> None:
    """The mean between its ends (within [-1, 1] as it is); vectors with zero as middle grey."""
    image = image.reshape(*image.shape[:2], -1)
    if signed:
        low, high = -np.abs(image).max(), np.abs(image).max()
    else:
        low, high = min(image.min(), -1.0), max(image.max(), 1.0)
        if image.shape[-1] == 1:
            low, high = image.min(), image.max()
    scaled = (image - low) / max(high - low, 1e-12)
    shown = scaled if scaled.shape[-1] == 3 else scaled[..., 0]
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.spines[:].set_visible(False)


def _draw_sound(axes: Axes, sound: np.ndarray, signed: bool) -> None:
    lines = sound.reshape(len(sound), -1)
    axes.axhline(0, color=GUIDE, linewidth=0.7)
    for channel, line in enumerate(lines.T):
        axes.plot(line, color=MUTED[channel] if signed else LEARNED, linewidth=1.0)
    axes.spines[:].set_visible(False)
