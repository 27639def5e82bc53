"""The pictures of the concept pages, drawn from the package in a light and a dark form."""

import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

import specjax as sx

_PICTURE = re.compile(r"!\[([^\]]*)\]\(((?:\.\./)*figures/\w+)\.svg\)")
_INK, _DARK_INK = "#202124", "#e2e4e9"


def with_dark_ones(markdown: str) -> str:
    """Put the dark form of each picture beside the light one; the theme shows one of them."""
    return _PICTURE.sub(r"![\1](\2.svg#only-light)![\1](\2-dark.svg#only-dark)", markdown)


def drawn(cache: Path) -> dict[str, bytes]:
    """Draw all pictures, unless this file and this version of specjax have drawn them before."""
    source = Path(__file__).read_bytes() + sx.__version__.encode()
    folder = cache / f"figures-{hashlib.sha256(source).hexdigest()[:16]}"
    if not folder.exists():
        made = {name: _svg(draw) for name, draw in FIGURES.items()}
        folder.mkdir(parents=True)
        for name, content in made.items():
            (folder / f"{name}.svg").write_text(content)
            (folder / f"{name}-dark.svg").write_text(content.replace(_INK, _DARK_INK))
    return {f"figures/{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}


def _svg(draw: Callable[[Axes], None]) -> str:
    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    style: dict[str, Any] = dict.fromkeys(names, _INK) | {
        "axes.spines.top": False, "axes.spines.right": False, "font.size": 11,
        "legend.frameon": False, "svg.hashsalt": "specjax", "axes.grid": True, "grid.alpha": 0.2,
    }  # fmt: skip
    with plt.rc_context(style):
        figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
        plt.close(figure)
    return file.getvalue()


def _spectrum(axes: Axes) -> None:
    for name, label in (("digits", "digits, d = 64"), ("patches", "patches, d = 3,072")):
        spectrum = sx.data.open(name).spectrum()
        known = np.asarray(spectrum.eigenvalues)
        known = known[known > 1e-9 * known[0]]
        rank = np.arange(1, len(known) + 1)
        (line,) = axes.loglog(rank, known, ".", markersize=4, label=label)
        law = sx.power_law_fit(spectrum)
        axes.loglog(rank, law.at(rank), "--", color=line.get_color(), linewidth=1)
    axes.set(xlabel="rank of the eigenvalue", ylabel="eigenvalue", ylim=(1e-5, None))
    axes.legend()


def _transfer(axes: Axes) -> None:
    spectrum = sx.Spectrum.power_law(1000, 1.5)
    lam = np.asarray(spectrum.eigenvalues)
    learned = sx.fit(spectrum, 10).schedule
    for label, schedule in (
        ("cosine, S = 5", sx.family("cosine", 5)),
        ("cosine, S = 10", sx.family("cosine", 10)),
        ("learned, S = 10", learned),
    ):
        std = np.asarray(sx.transfer(sx.plan("ddim", schedule), spectrum).std)
        axes.semilogx(lam, std / np.sqrt(lam), label=label)
    axes.axhline(1, color="gray", linewidth=1, linestyle=":")
    axes.set(xlabel="eigenvalue", ylabel="standard deviation,\ngenerated over true")
    axes.legend()


def _plans(axes: Axes) -> None:
    steps = 8
    logsnr = np.asarray(sx.family("cosine", steps).logsnr)
    h = np.diff(logsnr[:-1])
    number = np.arange(1, steps)
    axes.plot(number, 0 * h, "o-", label="DDIM: all zero")
    axes.plot(number[1:], -h[1:] / (2 * h[:-1]), "s-", label="DPM-Solver++(2M): $w_1$")
    axes.plot(number[1:], -h[1:] / 2, "^-", label="DDPM: $c$")
    axes.set(xlabel="step", ylabel="correction", xticks=number, ylim=(-1.2, 0.2))
    axes.legend()


def _priors(axes: Axes) -> None:
    rng = np.random.default_rng(0)
    data = np.where(rng.random(400) < 0.5, -1.0, 1.0) + 0.3 * rng.normal(size=400)
    x = np.linspace(-2.5, 2.5, 400)[:, None]
    for kind in ("gaussian", "mixture", "empirical"):
        options = {"mixture": {"components": 2}, "empirical": {"kernel_width": 0.05}}.get(kind, {})
        known = data[:40] if kind == "empirical" else data
        prior = sx.priors.prior_of(kind, known[:, None].astype(np.float32), **options)
        axes.plot(x[:, 0], np.asarray(prior(x.astype(np.float32), 1.0, 0.3))[:, 0], label=kind)
    axes.set(xlabel="noisy x = x0 + 0.3 eps", ylabel="estimate of x0")
    axes.legend()


def _noise(axes: Axes) -> None:
    spectrum = sx.data.open("digits").spectrum(method="shift-invariant")
    noise = sx.noise_spectrum("power_law", (8, 8), exponent=-0.3)
    under = sx.effective(spectrum, noise)
    nu = np.asarray(under.whitening.variance)
    effective = np.asarray(under.eigenvalues)
    order = np.argsort(-nu)
    rank = np.arange(1, len(nu) + 1)
    axes.semilogy(rank, (effective * nu)[order], "o", markersize=3, label="data, $\\lambda$")
    axes.semilogy(rank, nu[order], "-", label="noise, $\\nu$")
    axes.semilogy(rank, effective[order], "x", markersize=4, label="effective, $\\lambda / \\nu$")
    axes.set(xlabel="directions, from low frequencies to high", ylabel="variance")
    axes.legend()


def _limits(axes: Axes) -> None:
    spectrum = sx.Spectrum.power_law(64, 1.5)
    steps = np.arange(2, 13)
    for sampler, label in (("ddim", "DDIM, levels learned"), ("dpmpp_2m", "DPM-Solver++(2M)")):
        values = [sx.fit(spectrum, int(s), sampler=sampler).value for s in steps]
        axes.semilogy(steps, values, "o-", label=label)
    least = [sx.limits.gaussian(spectrum, int(s)) for s in steps[:5]]
    axes.semilogy(steps[:5], least, "--", color=_INK, label="limit of any plan")
    axes.set(xlabel="S, denoiser calls", ylabel="squared W2", ylim=(1e-7, None))
    axes.legend()


def _flow(axes: Axes) -> None:
    spectrum, steps = sx.Spectrum.power_law(1000, 1.5), 8
    for label, schedule, style in (
        ("shift 1", sx.family("flow", steps), "o-"),
        ("shift 3", sx.family("flow", steps, shift=3.0), "s-"),
        ("best for a power law", sx.fit(spectrum, steps, process="flow").schedule, "^-"),
    ):
        axes.plot(np.arange(steps + 1), np.asarray(schedule.flow_time), style, label=label)
    axes.set(xlabel="level, noisy to clean", ylabel="time t", xticks=np.arange(steps + 1))
    axes.legend()


def _guidance(axes: Axes) -> None:
    def of(mean: float, variance: float) -> sx.BlackBox:
        def denoise(x: np.ndarray, alpha: float, sigma: float) -> np.ndarray:
            gain = alpha * variance / (alpha**2 * variance + sigma**2)
            return (mean + gain * (x - alpha * mean)).astype(np.float32)

        return sx.BlackBox(denoise, (1,))

    weights, conditional, every = np.linspace(0, 5, 11), of(1.0, 0.25), of(0.0, 1.0)
    plan = sx.plan("heun", sx.family("karras", 24))
    start = jnp.array([[0.0], [1.0]])
    for interval, style in ((None, "-"), ((0.3, 3.0), "--")):
        ends = []
        for weight in weights:
            denoise = sx.guided(conditional, every, weight, interval=interval)
            end = sx.sample(plan, denoise, jax.random.key(0), (2, 1), start=start)
            ends.append(np.asarray(end)[:, 0])
        at_zero, at_one = np.array(ends).T
        label = "" if interval is None else ", interval (0.3, 3)"
        axes.plot(weights, at_zero, style, color="C0", label=f"mean{label}")
        std = abs(at_one - at_zero)
        axes.plot(weights, std, style, color="C1", label=f"standard deviation{label}")
    axes.axvline(1, color="gray", linewidth=1, linestyle=":")
    axes.set(xlabel="weight w", ylabel="of the samples")
    axes.legend()


FIGURES: dict[str, Callable[[Axes], None]] = {
    "spectrum": _spectrum,
    "transfer": _transfer,
    "plans": _plans,
    "priors": _priors,
    "noise": _noise,
    "limits": _limits,
    "flow": _flow,
    "guidance": _guidance,
}
"""What draws each picture."""
