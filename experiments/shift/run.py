"""Sample networks along flow schedules of many shifts, and of the one that the spectrum names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import specjax as sx
from experiments import methods
from experiments.data import AbsentError, open_dataset
from experiments.experiment import Experiment, Part
from experiments.published_networks import networks
from experiments.session import Session, say
from specjax.evaluate.frechet import frechet
from specjax.learning.teacher import fine_plan
from specjax.schedules.level_range import LevelRange

NAMED = "named"
SAMPLERS = {"ddim": "DDIM", "unipc": "UniPC-2"}
DIGITS, FLOW = "digits", "flow"
ALL, WITHIN = "all data", "within classes"
_DRAWN, _JUDGING = 1000, 20_000  # seeds of noise: of the spectrum, and the first that judges


@dataclass(frozen=True)
class Config:
    """All numbers of the experiment.

    Attributes:
      seeds: of the noise that judges.
      steps: S by sampler. shifts: those beside the named one; 1, 1.65 (Flux's at 256 tokens) and 3
        (SD3's at 1,024 pixels) are customary.
      n: noises. fine: steps of their fine solutions. components: principal components of these
        in which Fréchet distances are taken.
      drawn, drawn_fine: samples of a galaxy network that its spectrum is made of, and their steps.
      updates, width: of the training of the network of digits.
      flow_steps: S of the flow transformer, which another experiment has sampled.
    """

    seeds: int = 3
    steps: tuple[tuple[str, tuple[int, ...]], ...] = (
        ("ddim", (5, 10, 20, 50)),
        ("unipc", (5, 10)),
    )
    shifts: tuple[float, ...] = (0.5, 0.7, 1, 1.65, 2, 3, 4, 6, 8, 12)
    n: int = 24
    fine: int = 128
    components: int = 8
    drawn: int = 1280
    drawn_fine: int = 32
    updates: int = 2000
    width: int = 32
    flow_steps: tuple[int, ...] = (3, 5, 10, 20, 50)


EXPERIMENT = Experiment(
    "shift",
    "The shift of a flow schedule that the spectrum names is as good as the best on networks",
    (
        Part.of_seeds("galaxies of HSC, 32x32", ["hsc"], Config.seeds, 12.0),
        Part.of_seeds("galaxies of ZTF, 32x32", ["ztf"], Config.seeds, 12.0),
        Part.of_seeds("a UNet on digits", [DIGITS], Config.seeds, 20.0),
        Part("a flow transformer: named shifts", (f"{FLOW}.json",), 0.2, (FLOW,)),
    ),
    Config(),
    Config(
        seeds=1, steps=(("ddim", (3,)),), shifts=(1.0, 1.65, 3.0), n=4, fine=8, components=2,
        updates=2, width=4, drawn=8, drawn_fine=4,
    ),
    smallest_cases=(DIGITS,),
    work="learned_plans",  # which has the network of digits
)  # fmt: skip


def run(session: Session) -> None:
    """Make what is missing of every seed and case."""
    for seed in session.seeds:
        for case in session.cases:
            if case == FLOW and seed:
                continue
            try:
                (_name_flow if case == FLOW else _judge)(case, seed, session)
            except AbsentError as error:
                say(f"left out: {error}")


def _judge(case: str, seed: int, session: Session) -> None:
    """Judge all shifts of a case from the noises of a seed."""
    config = session.config
    pieces = [("judged", sampler, str(steps)) for sampler, every in config.steps for steps in every]
    document = session.document(f"{case}-{seed}", pieces, case=case, seed=seed)
    if not document.missing:
        return
    network = _Network(case, seed, session)
    for keys in list(document.missing):
        _, sampler, steps = keys
        named = sx.best_shift(network.spectrum, int(steps), sampler=sampler).shift
        shifts = {f"{x:g}": x for x in config.shifts} | {NAMED: named}
        rows = {
            name: {"shift": x, **network.values(sampler, int(steps), x)}
            for name, x in shifts.items()
        }
        document.add(keys, rows)


class _Network:
    """A network with its spectrum, and the fine solutions from the noises of a seed."""

    def __init__(self, case: str, seed: int, session: Session) -> None:
        self._config, self._seed = session.config, _JUDGING + seed
        if case == DIGITS:
            config = session.config
            found = methods.digits_network(session.work, config.width, config.updates)
            self.spectrum, self._ends = found.spectrum, methods.ENDS
            self._prior = sx.priors.Network(found.denoiser(), found.shape, found.spectrum)
        else:
            self._prior, self._ends = networks.published(case), networks.ENDS
            self.spectrum = self._drawn_spectrum(session.work / f"spectrum-{case}.npz")
        self._solved = self._sampled(self._fine(self._config.fine), self._config.n, self._seed)
        flat = self._solved.reshape(self._config.n, -1).astype(np.float64)
        self._mean = flat.mean(0)
        self._components = np.linalg.svd(flat - self._mean, full_matrices=False)[2]
        self._components = self._components[: self._config.components].T

    def values(self, sampler: str, steps: int, shift: float) -> dict[str, float]:
        """Measure samples along the flow schedule of a shift against the fine solutions."""
        levels = sx.family("flow", steps, alpha_bar_range=self._ends, shift=shift)
        samples = self._sampled(sx.plan(sampler, levels), self._config.n, self._seed)
        mine, fine = (
            x.reshape(len(x), -1).astype(np.float64) - self._mean for x in (samples, self._solved)
        )
        squared = ((mine - fine) ** 2).sum(1)
        return {
            "mean": float(squared.mean()),
            "geometric mean": float(np.exp(np.log(squared).mean())),
            "frechet": frechet(mine @ self._components, fine @ self._components),
        }

    def _fine(self, steps: int) -> sx.SamplerPlan:
        return fine_plan(self._prior, steps, LevelRange(self._ends))

    def _drawn_spectrum(self, path: Path) -> sx.Spectrum:
        """Make the spectrum of samples that the network draws itself, or load it."""
        if path.exists():
            found = sx.load(path)
            assert isinstance(found, sx.Spectrum)
            return found
        config = self._config
        samples = self._sampled(self._fine(config.drawn_fine), config.drawn, _DRAWN)
        spectrum = sx.Spectrum.from_samples(samples)
        sx.save(path, spectrum)
        return spectrum

    def _sampled(self, plan: sx.SamplerPlan, n: int, seed: int) -> np.ndarray:
        options = {"seed": seed, "batch": self._config.n, "progress": False}
        return sx.generate(plan, self._prior.denoise, n, self._prior.shape, **options)


def _name_flow(case: str, seed: int, session: Session) -> None:
    """Name the shifts of the flow transformer's data: clothes, averaged to 16x16.

    A guided network makes samples of one class: beside the spectrum of all there is that within
    classes, of the deviations from each class's mean.
    """
    document = session.document(case, [(NAMED,)], case=case)
    if not document.missing:
        return
    samples, labels, _ = sx.data.collect(open_dataset("tfds:fashion_mnist:train"))
    padded = np.pad(samples.reshape(-1, 28, 28) / 127.5 - 1, [(0, 0), (2, 2), (2, 2)],
                    constant_values=-1)  # fmt: skip
    images = padded.reshape(-1, 16, 2, 16, 2).mean((2, 4))
    within = images - np.stack([images[labels == k].mean(0) for k in range(10)])[labels]
    spectra = {
        name: sx.Spectrum.from_samples(x) for name, x in {ALL: images, WITHIN: within}.items()
    }
    named: dict[str, Any] = {
        name: {
            sampler: {
                str(s): sx.best_shift(spectrum, s, sampler=sampler).shift
                for s in session.config.flow_steps
            }
            for sampler in (*SAMPLERS, "dpmpp_2m")
        }
        for name, spectrum in spectra.items()
    }
    document.add((NAMED,), named)
