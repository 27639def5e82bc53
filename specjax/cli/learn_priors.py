"""The priors of ``specjax learn``: of DATA, or of a network (a RUN, a denoiser) and its data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import tyro

from specjax import data as datasets
from specjax import files
from specjax._core import checks, distributed
from specjax._core.checks import UserError
from specjax.cli.console import progress, status
from specjax.cli.data import Reading, changed, remark_on_skipped
from specjax.cli.guidance import Guidance
from specjax.cli.python_denoiser import (
    PythonDenoiser,
    fine_spectrum,
    is_named,
    with_spectrum_of,
)
from specjax.cli.runs import data_of_run, open_run
from specjax.cli.runs import is_run as is_run_folder
from specjax.files.forward_noise import ForwardNoise

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from specjax.nn.run import Run
    from specjax.noise.noise_spectrum import NoiseSpectrum
    from specjax.priors import Prior
    from specjax.schedules.level_range import LevelRange

NETWORK = "network"
_OF_RUN = ("probed", NETWORK)


@dataclass(frozen=True, kw_only=True)
class PriorOptions(Guidance):
    """The priors that plans are learned through."""

    source: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="DATA|NETWORK")]] = (
        tyro.MISSING
    )
    """built-in set (digits, patches), tfds:NAME[/CONFIG][:SPLIT], .npy/.npz file of samples
    [N, ...], folder of images or of sound, a spectrum file, a run folder by 'specjax train', a
    denoiser in Python (FILE.py:NAME or MODULE:NAME, (x, alpha, sigma) -> x0), or a recording by
    'specjax record-spec'"""
    shape: tuple[int, ...] = ()
    """of one sample of a denoiser that does not say it, such as 3 32 32"""
    labels: tuple[int, ...] = ()
    """of a network that is told classes, which ones; they are shared out among the noises; by
    default no class, or all of them with --guidance"""
    reading: Reading = field(default_factory=Reading)
    forward: ForwardNoise = field(default_factory=ForwardNoise)
    prior: tuple[str, ...] = ()
    """one or several priors, from the least to the most that is known, of gaussian, scale_mixture,
    mixture, empirical and, of a run, probed (its network as 'specjax probe' sees it) and network;
    plans of the last one are written; by default gaussian empirical, and network for a run; the
    network alone for a denoiser"""
    data: str | None = None
    """the data of a run, as DATA, by default the built-in set that it was trained on; or those of a
    denoiser, whose spectrum is otherwise that of its fine samples"""
    held_out: float = 0.5
    """the part of the data by which plans are judged, and with which none is learned"""
    kernel_width: float | None = None
    """of the empirical prior; by default what makes the held-out data most likely"""
    checkpoint: str = "best"
    """of a run, which checkpoint: best, last, or its number"""
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

        checks.whole_number("samples", self.samples)
        if self.kernel_width is not None:
            checks.not_negative("kernel_width", self.kernel_width)
        for name in self.prior:
            checks.one_of("prior", name, (*PRIORS, *_OF_RUN))
        if len(set(self.prior)) < len(self.prior):
            raise UserError(f"prior = {' '.join(self.prior)}: name each prior once")
        self.forward.check()
        if is_run(self.source):
            if not self.forward.white:
                raise UserError(
                    f"noise: {self.source} is a run, which knows the noise of its training: "
                    "leave the options of the noise out"
                )
            if NETWORK in self.prior[:-1]:
                raise UserError(f"prior = {' '.join(self.prior)}: name the network last")
            if set(self.prior) - {NETWORK} and is_named(self.source) and self.data is None:
                raise UserError(
                    f"prior = {' '.join(self.prior)}: the data of {self.source} are not known: "
                    "give them by --data"
                )
            return
        for name in _OF_RUN:
            if name in self.prior:
                raise UserError(
                    f"prior = {name}: {self.source} is no run folder by 'specjax train'"
                )
        of_network = ("data", "devices", "labels", "shape", "checkpoint", "guidance")
        for option in (*of_network, "guidance-interval"):
            if f"--{option}" in changed(self):
                raise UserError(
                    f"{option} is for a network, which {self.source} is not: leave it out"
                )


def is_run(name: str) -> bool:
    """Tell a run; a built-in set goes before a folder of its name (``./digits``)."""
    return name not in datasets.BUILTIN and is_run_folder(name)


class Curriculum(NamedTuple):
    """The priors, the run of the network, and the devices over which its noises are cut."""

    priors: list[Prior]
    run: Run | PythonDenoiser | None = None
    mesh: Mesh | None = None

    @property
    def last(self) -> Prior:
        """The prior whose plans are written."""
        return self.priors[-1]


def curriculum_of(options: PriorOptions, levels: LevelRange) -> Curriculum:
    """Make the priors, with progress.

    Args:
      options: the priors that are asked for.
      levels: the range of the levels of fine samples.
    """
    if is_run(options.source):
        return _of_run(options, levels)
    if files.is_spectrum(options.source):
        return _of_spectrum(options)
    opened = options.reading.open(options.source)
    options.forward.spectrum(tuple(opened.source["shape"]))  # refused before anything is read
    whole = _whole(options, opened)
    noise = options.forward.spectrum(tuple(whole.source["shape"]))
    if noise is not None and noise.basis == "data":  # the eigenbasis of all data, for every prior
        with status("the eigenbasis of the data"):
            noise = replace(noise, own=whole.spectrum().basis)
    names = options.prior or ("gaussian", "empirical")
    return Curriculum([_of_data(options, name, whole, noise) for name in names])


def _of_spectrum(options: PriorOptions) -> Curriculum:
    from specjax.learning.prior_from import prior_from
    from specjax.spectra.spectrum import Spectrum

    unread = ("held_out", "kernel_width")
    beside = [one for one in changed(options) if one[2:].replace("-", "_") in unread]
    for option in changed(options.reading, "seed") + beside:
        raise UserError(
            f"{option} does not apply to {options.source}, a spectrum file: leave it out, or give "
            "the data"
        )
    if options.prior not in ((), ("gaussian",)):
        raise UserError(
            f"prior = {' '.join(options.prior)}: {options.source} is a spectrum file: give "
            "the data, or gaussian alone"
        )
    spectrum = files.load(options.source)
    assert isinstance(spectrum, Spectrum)
    return Curriculum([prior_from(spectrum, options.forward.on(spectrum))])


def _of_run(options: PriorOptions, levels: LevelRange) -> Curriculum:
    from specjax.noise.whitening import effective
    from specjax.sampling.black_box import is_black_box

    if options.devices is not None:
        distributed.use_all_cores(options.devices)
    run = open_run(options.source, options.checkpoint, options.shape, options.labels)
    run = options.guided(run)
    python = isinstance(run, PythonDenoiser)
    names = options.prior or ((NETWORK,) if python else ("gaussian", "empirical", NETWORK))
    whole = None
    if names != (NETWORK,) or (python and options.data is not None):
        opened = data_of_run(run, options.source, options.data, options.reading)
        whole = _whole(options, opened)
        run = with_spectrum_of(run, whole)
    elif isinstance(run, PythonDenoiser) and run.spectrum is None and run.prior is None:
        spectrum = fine_spectrum(run, levels, options.labels, options.seed)
        run = replace(run, spectrum=effective(spectrum, run.noise))
    priors = [_of_name(options, name, whole, run) for name in names]
    if isinstance(run, PythonDenoiser) and run.prior is not None:  # in coordinates of its own
        return Curriculum(priors)
    if is_black_box(run.denoiser()):  # one thread, no devices
        return Curriculum(priors, run)
    mesh = distributed.local_mesh(options.devices)
    return Curriculum(priors, run, mesh if mesh.size > 1 else None)


def _of_name(
    options: PriorOptions, name: str, whole: datasets.Dataset | None, run: Run | PythonDenoiser
) -> Prior:
    """Make a prior of a run."""
    from specjax.gaussian.probe import probe
    from specjax.learning.prior_from import prior_from
    from specjax.priors import Gaussian, Network

    if name == NETWORK:
        if isinstance(run, PythonDenoiser):
            return run.as_prior()
        about = {**run.source, "run": options.source, "step": int(run.step)}
        return Network(run.denoiser(), run.shape, run.effective, source=about, noise=run.noise)
    assert whole is not None
    if name != "probed":
        return _of_data(options, name, whole, run.noise)
    samples = datasets.rescaled(whole.samples, whole.data_range)
    with progress("probing", "answers", long=True, first="compiling") as update:
        probed = probe(run.denoiser(), samples, run.effective, seed=options.seed, progress=update)
    return prior_from(Gaussian(probed.spectrum, response=probed))


def _whole(options: PriorOptions, opened: datasets.Dataset) -> datasets.Dataset:
    """Read all samples into one array."""
    with progress("data", "samples", long=True) as update:
        collected = datasets.collect(opened, progress=update)
    remark_on_skipped(opened, options.reading)
    return replace(opened, samples=collected.samples)


def _of_data(
    options: PriorOptions, name: str, whole: datasets.Dataset, noise: NoiseSpectrum | None
) -> Prior:
    """Make a prior of data."""
    from specjax.priors import prior_of

    more: dict[str, Any] = {"held_out": options.held_out, "seed": options.seed, "noise": noise}
    if name == "empirical":
        more["kernel_width"] = options.kernel_width
    with status(f"what is known of the data: {name}"):
        return prior_of(name, whole, **more)
