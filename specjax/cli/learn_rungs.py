"""The rungs of ``specjax learn``: what is known of DATA, or of a RUN's data, and its network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import tyro

from specjax import data as datasets
from specjax import files
from specjax._core import checks
from specjax.cli.console import progress, status
from specjax.cli.data import Reading, remark_on_skipped
from specjax.cli.runs import data_of_run, step_of
from specjax.cli.runs import is_run as is_run_folder
from specjax.files.forward_noise import ForwardNoise
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.spectra.spectrum import Spectrum

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from specjax.nn.run import Run
    from specjax.priors import Prior

NETWORK = "network"
_OF_RUN = ("probed", NETWORK)


@dataclass(frozen=True, kw_only=True)
class Rungs:
    """What plans are learned through."""

    data: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="DATA|RUN")]] = tyro.MISSING
    """built-in set (digits, patches), tfds:NAME[/CONFIG][:SPLIT], .npy/.npz file of samples
    [N, ...], folder of images or of sound, a spectrum file, or a run folder by 'specjax train'"""
    reading: Reading = field(default_factory=Reading)
    forward: ForwardNoise = field(default_factory=ForwardNoise)
    prior: tuple[str, ...] = ()
    """one or several rungs, from the least to the most that is known, of gaussian, scale_mixture,
    mixture, empirical and, of a run, probed (its network as 'specjax probe' sees it) and network;
    plans of the last one are written; by default gaussian empirical, and network for a run"""
    against: str | None = None
    """the data of a run, as DATA; by default the built-in set that it was trained on"""
    held_out: float = 0.5
    """the part of the data by which plans are judged, and with which none is learned"""
    kernel_width: float | None = None
    """of the empirical rung; by default what makes the held-out data most likely"""
    step: str = "best"
    """of a run, which checkpoint: best, last, or the number of its step"""
    samples: int = 16
    """of a run, how many samples of each plan the picture shows"""
    devices: int | None = None
    """of a run, over how many devices the noises are cut, by default all (a CPU is cut into that
    many)"""

    @property
    def seed(self) -> int:
        """The seed of the command."""
        return self.reading.seed

    def check(self) -> None:
        """Refuse what can be refused before anything is read."""
        from specjax.priors import PRIORS

        checks.seed(self.seed)
        checks.whole_number("samples", self.samples)
        for name in self.prior:
            checks.one_of("prior", name, (*PRIORS, *_OF_RUN))
        if len(set(self.prior)) < len(self.prior):
            raise ValueError(f"prior = {' '.join(self.prior)}: name each rung once")
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out = {self.held_out}: give a part of the data, such as 0.5")
        step_of(self.step)
        self.forward.check()
        if not is_run(self.data):
            self._check_no_run()
        elif not self.forward.white:
            raise ValueError(
                f"noise: {self.data} is a run, which knows the noise that it was trained with: "
                "leave the options of the noise out"
            )
        elif NETWORK in self.prior[:-1]:
            raise ValueError("prior: the network is the last rung")

    def _check_no_run(self) -> None:
        for name in _OF_RUN:
            if name in self.prior:
                raise ValueError(f"prior = {name}: {self.data} is no run folder by 'specjax train'")
        for name in ("against", "devices"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} applies to a run, {self.data} is none: leave it out")


def is_run(name: str) -> bool:
    """Whether that is a run; a built-in set goes before a folder of its name (``./digits``)."""
    return name not in datasets.BUILTIN and is_run_folder(name)


class Ladder(NamedTuple):
    """The rungs, the run of the network, and the devices over which its noises are cut."""

    priors: list[Prior]
    run: Run | None
    mesh: Mesh | None

    @property
    def on_network(self) -> bool:
        """Whether the last rung is a network."""
        return self.priors[-1].kind == NETWORK


def ladder_of(rungs: Rungs) -> Ladder:
    """The rungs, with progress."""
    if is_run(rungs.data):
        return _of_run(rungs)
    if files.is_spectrum(rungs.data):
        return _of_spectrum(rungs)
    with status(f"opening {rungs.data}"):
        opened = datasets.open(rungs.data, rungs.reading)
    rungs.forward.spectrum(tuple(opened.source["shape"]))  # refused before anything is read
    whole = _whole(rungs, opened)
    names, noise = rungs.prior or ("gaussian", "empirical"), _noise(rungs.forward, whole)
    return Ladder([_of_data(rungs, name, whole, noise) for name in names], None, None)


def _noise(choice: ForwardNoise, whole: datasets.Dataset) -> NoiseSpectrum | None:
    """The noise on data; in their own basis it is that of all of them, on every rung."""
    found = choice.spectrum(tuple(whole.source["shape"]))
    if found is None or found.basis != "data":
        return found
    with status("the eigenbasis of the data"):
        return replace(found, own=whole.spectrum().basis)


def _of_spectrum(rungs: Rungs) -> Ladder:
    from specjax.learning.prepare import prior_from

    if rungs.prior not in ((), ("gaussian",)):
        raise ValueError(
            f"prior = {' '.join(rungs.prior)}: of {rungs.data}, a spectrum file, only gaussian is "
            "known; give the data"
        )
    found = files.load(rungs.data)
    assert isinstance(found, Spectrum)
    return Ladder([prior_from(found, rungs.forward.on(found))], None, None)


def _of_run(rungs: Rungs) -> Ladder:
    from specjax._core import distributed

    if rungs.devices is not None:
        distributed.use_all_cores(checks.whole_number("devices", rungs.devices))
    from specjax.nn.run import open_run

    with status(f"opening {rungs.data}"):
        run = open_run(rungs.data, step_of(rungs.step))
    names = rungs.prior or ("gaussian", "empirical", NETWORK)
    whole = None
    if names != (NETWORK,):
        with status("opening the data of the run"):
            opened = data_of_run(run, rungs.data, rungs.against, rungs.reading)
        whole = _whole(rungs, opened)
    return Ladder([_of_name(rungs, name, whole, run) for name in names], run, _mesh(rungs.devices))


def _of_name(rungs: Rungs, name: str, whole: datasets.Dataset | None, run: Run) -> Prior:
    """A rung of a run."""
    from specjax.gaussian.probe import probe
    from specjax.learning.prepare import prior_from
    from specjax.priors import Gaussian, Network

    if name == NETWORK:
        about = {**run.source, "run": rungs.data, "step": int(run.step)}
        return Network(run.denoiser(), run.shape, run.effective, source=about, noise=run.noise)
    assert whole is not None
    if name != "probed":
        return _of_data(rungs, name, whole, run.noise)
    samples = datasets.rescaled(whole.samples, whole.data_range)
    with progress("probing", "answers", long=True) as update:
        found = probe(run.denoiser(), samples, run.effective, seed=rungs.seed, progress=update)
    return prior_from(Gaussian(found.spectrum, response=found))


def _whole(rungs: Rungs, opened: datasets.Dataset) -> datasets.Dataset:
    """All samples as one array."""
    with progress("data", "samples", long=True) as update:
        collected = datasets.collect(opened, progress=update)
    remark_on_skipped(opened, rungs.reading)
    return replace(opened, samples=collected.samples)


def _of_data(
    rungs: Rungs, name: str, whole: datasets.Dataset, noise: NoiseSpectrum | None
) -> Prior:
    """A rung that is made of data."""
    from specjax.priors import prior_of

    options: Mapping[str, Any] = {}
    if name == "empirical" and rungs.kernel_width is not None:
        options = {"kernel_width": rungs.kernel_width}
    with status(f"what is known of the data: {name}"):
        return prior_of(
            name, whole, held_out=rungs.held_out, seed=rungs.seed, noise=noise, **options
        )


def _mesh(devices: int | None) -> Mesh | None:
    """Over the devices of this process, where they are several."""
    import jax

    own = jax.local_devices()
    if (devices or 1) > len(own):
        raise ValueError(f"devices = {devices}: there are {len(own)}")
    own = own[:devices]
    return jax.sharding.Mesh(np.array(own), ("samples",)) if len(own) > 1 else None
