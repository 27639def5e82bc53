"""Learn guidance weights on spectra, and restore digits and galaxies with them.

What was learned in closed form runs beside the method's own rule and the best constant weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

import specjax as sx
from experiments import methods
from experiments.data import digits, exact_denoiser, open_dataset
from experiments.experiment import Experiment, Part
from experiments.learned_plans.run import Config as SharedConfig
from experiments.published_networks.networks import ENDS, published
from experiments.restoration.posterior import ExactPosterior
from experiments.session import Session
from specjax.evaluate.frechet import frechet_of_moments
from specjax.restoration.baselines import Rival

METHODS = ("dps", "pigdm", "ddnm_plus", "diffpir", "gaussian")
SPECTRA = {
    "digits": "1,797 digits, 8x8",
    "patches": "patches of photographs, 32x32x3",
    "spoken_digits": "spoken digits, windows of 1,024",
}
"""Names of datasets; all spectra are stationary."""
LEARNED: dict[str, dict[str, Any]] = {
    "learned": {},
    "learned, error 0.1": {"denoiser_error": 0.1},
    "learned for MSE": {"denoiser_error": 0.1, "loss": "mse"},
    "weights alone": {"denoiser_error": 0.1, "schedule": "karras"},
}
"""What is learned in closed form and run with a denoiser, by its options."""
THROUGH = "learned through it"
STARTS = {THROUGH: "learned, error 0.1", "weights alone, through it": "weights alone"}
"""What is learned through a denoiser, and from which of the others on."""
SAMPLERS = ("customary", "constant", *LEARNED, *STARTS)
RUN = ("pigdm", "diffpir", "gaussian")
"""The methods that run with denoisers."""
EXACT, NETWORK, GALAXIES = "exact-digits", "network-digits", "galaxies"
TURN, NETWORK_TURN = "u-turn", "u-turn-network"
TRADE = "perception"
_WEIGHTS = (0.0, 0.5, 2.0, 8.0)  # of perception, beside the MSE
_WINDOW = 1024


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      steps: of the spectra. blur: its standard deviation, in samples, by case. noise: of the blur,
        and of denoising, in units of the data.
      seeds: of noise and measurements. n: samples that are restored. run: steps of restorations.
      galaxies: how many are drawn for the spectrum, and restored. fine: steps of fine solutions.
      turns: sigmas at which a sample turns back.
    """

    steps: tuple[int, ...] = (5, 10, 20, 50)
    blur: tuple[tuple[str, float], ...] = (
        ("digits", 1.0),
        ("patches", 2.0),
        ("spoken_digits", 4.0),
    )
    noise: tuple[float, float] = (0.05, 0.2)
    seeds: int = 3
    n: int = 300
    run: tuple[int, ...] = (10,)
    galaxies: tuple[int, int] = (192, 48)
    fine: int = 40
    turns: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)


EXPERIMENT = Experiment(
    "restoration",
    "Guidance weights learned on a spectrum beat tuned constants, and carry over to denoisers",
    (
        Part("spectra, closed form", tuple(f"{x}.json" for x in SPECTRA), 8.0, tuple(SPECTRA)),
        Part("perception against distortion", (f"{TRADE}.json",), 1.0, (TRADE,)),
        Part.of_seeds("exact denoiser of half of the digits", [EXACT], Config.seeds, 15.0),
        Part.of_seeds("a UNet on the digits", [NETWORK, NETWORK_TURN], Config.seeds, 30.0),
        Part("a network of galaxies", (f"{GALAXIES}-0.json",), 12.0, (GALAXIES,)),
        Part.of_seeds("turning back on the digits", [TURN], Config.seeds, 1.0),
    ),
    Config(),
    Config(steps=(3,), seeds=1, n=16, run=(3,), galaxies=(8, 2), fine=4, turns=(0.5,)),
    smallest_cases=("digits", TRADE, EXACT, TURN),
)


def run(session: Session) -> None:
    """Make what is missing."""
    for name in session.cases:
        if name in SPECTRA:
            _spectra(session, name)
        elif name == TRADE:
            _trade(session)
        elif name == GALAXIES:
            _galaxies(session)
        else:
            make = _turns if name in (TURN, NETWORK_TURN) else _digits
            for seed in session.seeds:
                make(session, name, seed)


def spectrum_of(name: str) -> sx.Spectrum:
    """Estimate the stationary spectrum of a dataset."""
    options: dict[str, Any] = {"window": _WINDOW} if name == "spoken_digits" else {}
    return open_dataset(name, **options).spectrum(method="shift-invariant")


def measurements(name: str, shape: tuple[int, ...], config: Config) -> dict[str, Any]:
    """Make the blur and the noise that are measured."""
    width, (blurred, noisy) = dict(config.blur)[name], config.noise
    return {
        "blur": sx.measure.blur(width, shape, sigma=blurred),
        "noise": sx.measure.noise(noisy),
    }


def _spectra(session: Session, name: str) -> None:
    config = session.config
    pieces = [("steps", str(s), kind, x) for s in config.steps for kind in ("blur", "noise")
              for x in METHODS]  # fmt: skip
    document = session.document(name, pieces)
    spectrum = spectrum_of(name) if document.missing else None
    for keys in list(document.missing):
        _, steps, kind, method = keys
        measured = measurements(name, spectrum.basis.shape, config)[kind]
        result = sx.fit_posterior(spectrum, measured, int(steps), method=method)
        found = {"learned": result.parts, **{x: y.parts for x, y in result.rivals.items()}}
        best = result.rivals["constant"]
        document.add(keys, {"losses": found, "knob": best.method.knob, "levels": best.levels})


Plans = dict[str, tuple[Any, Any]]
"""Plan and method by what was learned."""


def _trade(session: Session) -> None:
    """Learn weights for the MSE and perception of digits, beside the curve that bounds both."""
    document = session.document(TRADE)
    if not document.missing:
        return
    spectrum, steps = spectrum_of("digits"), session.config.run[-1]
    measured = measurements("digits", spectrum.basis.shape, session.config)["blur"]
    perception, distortion = sx.perception_distortion(spectrum, measured, 40)
    losses = {str(w): {"mse": 1.0, **({"perception": w} if w else {})} for w in _WEIGHTS}
    found = {
        w: sx.fit_posterior(spectrum, measured, steps, method="gaussian", loss=loss).parts
        for w, loss in losses.items()
    }
    for_w2 = sx.fit_posterior(spectrum, measured, steps, method="gaussian")
    rivals = {name: one.parts for name, one in for_w2.rivals.items()}
    document.add((), {
        "curve": {"perception": perception.tolist(), "mse": distortion.tolist()},
        "learned": found, "others": {"learned for W2": for_w2.parts, **rivals},
    })  # fmt: skip


def fits(
    spectrum: sx.Spectrum, measured: Any, steps: int, method: str, through: Any, **options: Any
) -> Plans:
    """Learn weights with each of the options, and take the rivals of the first.

    Args:
      through: from a result in closed form to the one learned through a denoiser; None for none.
    """
    found = {
        label: sx.fit_posterior(spectrum, measured, steps, method=method, **more, **options)
        for label, more in LEARNED.items()
    }
    rivals: dict[str, Rival] = dict(found["learned"].rivals)
    if through is not None:
        found |= {label: through(found[start]) for label, start in STARTS.items()}
    plans = {x: (rivals[x].plan, rivals[x].method) for x in ("customary", "constant")}
    return {**plans, **{x: (y.plan, y.method) for x, y in found.items()}}


class Digits(NamedTuple):
    """A denoiser, the dataset with a kernel that is its prior, and what the learning takes.

    Attributes:
      n: samples that are restored. learning: options of learning through the denoiser.
      few: samples that it takes. methods: of those that are learned so.
    """

    denoise: Any
    prior: sx.priors.Empirical
    n: int
    learning: dict[str, Any]
    few: int
    methods: tuple[str, ...] = RUN


def subject(session: Session, name: str, seed: int) -> Digits:
    """Make the exact denoiser of one half of the digits, or open the UNet that was trained on all.

    The UNet's prior is that of all digits with the kernel width of the half.
    """
    config, prior = session.config, exact_denoiser(digits(), "likely", seed)
    fine = {"teacher_steps": config.fine}
    if name in (EXACT, TURN):
        return Digits(prior, prior, config.n, fine, 96)
    width = float(np.asarray(prior.kernel_width))
    whole = sx.priors.Empirical.from_samples(digits(), width, held_out=0)
    shared = session.work.parent / "learned_plans"
    network = methods.digits_network(shared, SharedConfig.width, SharedConfig.updates)
    fewer = {**fine, "max_iterations": 4}
    return Digits(network.denoiser(), whole, config.n // 3, fewer, 32, ("diffpir", "gaussian"))


def _digits(session: Session, name: str, seed: int) -> None:
    """Restore digits, and compare with the posterior of their exact prior."""
    config = session.config
    pieces = [(str(steps), method) for steps in config.run for method in RUN]
    document = session.document(f"{name}-{seed}", [("posterior",), *pieces], seed=seed)
    if not document.missing:
        return
    denoise, prior, n, learning, few, learned = subject(session, name, seed)
    rng = np.random.default_rng(seed)
    spectrum = sx.Spectrum.from_samples(np.asarray(prior.samples), method="shift-invariant")
    measured = sx.measure.blur(dict(config.blur)["digits"], (8, 8), sigma=config.noise[0])
    x0 = _drawn(prior, 2 * n, rng)
    y = measured.forward(x0) + config.noise[0] * rng.normal(size=x0.shape)
    exact = ExactPosterior(prior, measured, spectrum)
    truth, y, drawn = x0[:n], y[:n].astype(np.float32), exact.sample(y[:n], rng)
    again = exact.sample(y, rng)

    def through(start: sx.PosteriorResult) -> sx.PosteriorResult:
        teacher = exact.denoise if name == EXACT else None
        samples = x0[n : n + min(n, few)]
        return sx.learn_posterior(start, denoise, samples, teacher=teacher, seed=seed, **learning)

    for keys in list(document.missing):
        if len(keys) == 1:
            document.add(keys, _measured(again, drawn, truth, y))
            continue
        own = through if keys[1] in learned else None
        every = fits(spectrum, measured, int(keys[0]), keys[1], own)
        found = {
            label: _measured(_restored(*one, denoise, measured, spectrum, y, seed), drawn, truth, y)
            for label, one in every.items()
        }
        document.add(keys, found)


def _drawn(prior: sx.priors.Empirical, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw samples [n, 8, 8] of a dataset with a kernel."""
    chosen = np.asarray(prior.samples)[rng.integers(len(prior.samples), size=n)]
    return chosen + float(np.asarray(prior.kernel_width)) * rng.normal(size=chosen.shape)


def _restored(
    plan: Any, method: Any, denoise: Any, measured: Any, spectrum: Any, y: np.ndarray, seed: int
) -> np.ndarray:
    by = sx.steered(denoise, measured, method, spectrum=spectrum)
    return sx.generate(plan, by, len(y), y.shape[1:], seed=seed, conditions=y, progress=False)


def _measured(samples: np.ndarray, drawn: np.ndarray, truth: np.ndarray, y: np.ndarray) -> Any:
    """Compare samples with those of the posterior, jointly with y, and with the truth."""
    flat, other, clean, seen = (
        x.reshape(len(x), -1).astype(float) for x in (samples, drawn, truth, y)
    )
    a, b = np.concatenate([flat, seen], 1), np.concatenate([other, seen], 1)
    return {
        "psnr": psnr(samples, truth),
        "energy": _energy(a, b),
        "frechet": frechet(flat, clean),
    }


def psnr(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB, of a range of 2."""
    return float(10 * np.log10(4 / np.mean((found - truth) ** 2)))


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Frechet distance of flat samples."""
    moments = [(x.mean(0), np.cov(x.T)) for x in (a, b)]
    return float(frechet_of_moments(*moments[0], *moments[1]))


def _energy(a: np.ndarray, b: np.ndarray) -> float:
    """Return the squared energy distance of two samples whose rows share y."""

    def mean(x: np.ndarray, z: np.ndarray, same: bool) -> float:
        squares = (x**2).sum(1)[:, None] + (z**2).sum(1) - 2 * x @ z.T
        distance = np.sqrt(np.maximum(squares, 0))
        n = len(x)  # pairs of one row share y, and are left out
        return float((distance.sum() - np.trace(distance)) / (n * (n - 1)))

    return 2 * mean(a, b, False) - mean(a, a, True) - mean(b, b, True)


def _galaxies(session: Session) -> None:
    """Deblur galaxies that a published network drew."""
    document = session.document(f"{GALAXIES}-0", seed=0)
    if not document.missing:
        return
    config, denoise = session.config, galaxies_denoiser()
    schedule = sx.family("karras", config.fine, alpha_bar_range=ENDS)
    fine = sx.plan("dpmpp_2m", schedule)
    count, shown = config.galaxies
    drawn = sx.generate(fine, denoise, count + shown, (32, 32), seed=1, progress=False)
    spectrum = sx.Spectrum.from_samples(drawn[:count], method="shift-invariant")
    truth, rng = drawn[count:], np.random.default_rng(0)
    measured = sx.measure.blur(1.5, (32, 32), sigma=0.1 * float(drawn.std()))
    y = np.asarray(measured.forward(truth))
    y = (y + float(measured.sigma) * rng.normal(size=y.shape)).astype(np.float32)
    found: dict[str, Any] = {"measured": {"psnr": relative(y, truth)}}

    def through(start: sx.PosteriorResult) -> sx.PosteriorResult:
        return sx.learn_posterior(start, denoise, drawn[:shown], max_iterations=4)

    for steps in config.run:
        for method in RUN:
            own = through if method == "diffpir" else None
            every = fits(spectrum, measured, steps, method, own, alpha_bar_range=ENDS)
            for label, (plan, by) in every.items():
                samples = _restored(plan, by, denoise, measured, spectrum, y, 0)
                place = found.setdefault(str(steps), {}).setdefault(method, {})
                place[label] = {"psnr": relative(samples, truth)}
    document.add((), found)


def galaxies_denoiser() -> Any:
    """Open the network of Hyper Suprime-Cam's galaxies for images [n, 32, 32]."""
    network = published("hsc").denoise
    return jax.tree_util.Partial(_without_channel, network)


def _without_channel(network: Any, x: Any, alpha: Any, sigma: Any) -> Any:
    return network(x[:, None], alpha, sigma)[:, 0]


def relative(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the signal-to-noise ratio in dB, of the standard deviation of the truth."""
    return float(10 * np.log10(np.var(truth) / np.mean((found - truth) ** 2)))


def _turns(session: Session, name: str, seed: int) -> None:
    """Noise digits up to a level and come back by DDPM: what is kept of the deviations."""
    config, document = session.config, session.document(f"{name}-{seed}", seed=seed)
    if not document.missing:
        return
    denoise, prior, n, *_ = subject(session, name, seed)
    spectrum, rng = prior.spectrum, np.random.default_rng(seed)
    x0 = _drawn(prior, n, rng)
    lam, found = np.asarray(spectrum.eigenvalues), {}
    for sigma in config.turns:
        levels = np.append(np.geomspace(sigma, min(0.02, sigma / 4), config.fine), 0.0)
        plan = sx.plan("ddpm", sx.NoiseSchedule.from_sigmas(levels), process="ve")
        noisy = x0 + sigma * rng.normal(size=x0.shape)
        start = np.asarray(noisy / sigma, np.float32)
        back = sx.sample(plan, denoise, jax.random.key(seed), x0.shape, start=start)
        a, b = (spectrum.project(np.asarray(x)) - spectrum.mean for x in (x0, back))
        covariance = (a * b).mean(0)
        found[str(sigma)] = {
            "kept": float(covariance.sum() / lam.sum()),
            "predicted": float((lam**2 / (lam + sigma**2)).sum() / lam.sum()),
            "same": float(np.mean(_nearest(prior, x0) == _nearest(prior, np.asarray(back)))),
        }
    document.add((), {"turns": found})


def _nearest(prior: Any, x: np.ndarray) -> np.ndarray:
    """Return which sample of the dataset is nearest to each [n]."""
    flat, known = x.reshape(len(x), -1), np.asarray(prior.samples).reshape(len(prior.samples), -1)
    squares = (known**2).sum(1) - 2 * flat @ known.T
    return squares.argmin(1)
