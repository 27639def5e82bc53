"""``specjax restore``: restore what was measured, by posterior sampling with learned weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from specjax import data as datasets
from specjax import files
from specjax._core.checks import UserError
from specjax.cli.console import print_json, progress, status
from specjax.cli.data import Data
from specjax.cli.outputs import Writing
from specjax.cli.runs import data_of_run, is_run, open_run

if TYPE_CHECKING:
    from specjax.spectra.spectrum import Spectrum


@dataclass(frozen=True, kw_only=True)
class Measured(Data):
    """The data of the prior, and what was measured."""

    input: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="INPUT")]] = tyro.MISSING
    """what was measured: a picture, or a .npy/.npz file of samples in the units of the data"""


@dataclass(frozen=True, kw_only=True)
class Restore(Writing):
    """Restore a blurred or noisy image (or arrays of samples), with the prior of data or a run.

    Guidance weights and levels are learned in closed form on the stationary spectrum of the data.
    With DATA the prior is the Gaussian of this spectrum; with a run it is the run's network.
    """

    data: Annotated[Measured, tyro.conf.arg(name="")] = field(default_factory=Measured)
    measurement: str = tyro.MISSING
    """blur:PIXELS (the standard deviation of a Gaussian), lowpass:SHARE or noise"""
    noise: float = tyro.MISSING
    """the standard deviation of the noise of the measurement, in units of the data ([-1, 1])"""
    steps: int = 20
    """S, the number of denoiser calls"""
    guidance: str = "diffpir"
    """the method of posterior sampling: dps, pigdm, ddnm, ddnm_plus, diffpir or gaussian"""
    error: float = 0.1
    """the denoiser's error that weights reckon with, as a share of the ideal denoiser's own"""
    simulate: bool = False
    """INPUT is clean: measure it first, and tell the error of what was restored"""
    prior: str | None = None
    """for a run: the data that it was trained on, where they are not built in"""
    checkpoint: str = "best"
    """for a run: best, last, or its number"""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "restored.png"
    """.png, .npz, .npy or a new folder"""
    json: bool = False
    """print JSON instead of tables"""

    def run(self) -> None:
        """Estimate the spectrum, learn the weights, restore, and write."""
        from specjax.files.samples import check_target, write_samples
        from specjax.report import restore as report
        from specjax.restoration.fit import fit_posterior
        from specjax.restoration.measure import named
        from specjax.restoration.steered import restore

        check_target(self.out)
        self.check_outputs({"out": self.out}, folders=True)
        spectrum, denoise, source = self._prior()
        shape = tuple(spectrum.basis.shape)  # type: ignore[union-attr]
        measured = named(self.measurement, shape, sigma=self.noise)
        given = self._input(shape)
        check_target(self.out, len(given), shape, source)
        with status("learning weights"):
            result = fit_posterior(
                spectrum, measured, self.steps, method=self.guidance, denoiser_error=self.error
            )
        y = given
        if self.simulate:
            drawn = np.random.default_rng(self.data.seed).standard_normal(given.shape)
            y = np.asarray(measured.forward(given)) + self.noise * drawn
        with progress("restoring", "samples", long=True) as update:
            found = restore(result, denoise, y, seed=self.data.seed, progress=update)
        about = report.posterior_json(result)
        errors = {"restored": _psnr(found, given), "measured": _psnr(y, given)}
        facts = {**about, "psnr": errors if self.simulate else None, "n": len(y)}
        with status("writing"):
            written = str(write_samples(self.out, found, source, facts))
        if self.json:
            print_json({**facts, "files": [written]})
            return
        report.print_posterior(result, [written])
        if self.simulate:
            before, after = errors["measured"], errors["restored"]
            print(f"PSNR {after:.2f} dB, of what was measured {before:.2f} dB")

    def _prior(self) -> tuple[Spectrum, Callable[..., Any], dict[str, Any]]:
        """Return the stationary spectrum of the data, the denoiser, and where they come from."""
        from specjax.sampling.denoisers import wiener

        if is_run(self.data.data):
            run = open_run(self.data.data, self.checkpoint)
            own = str(run.source.get("name"))
            if self.prior is None and own not in datasets.BUILTIN:
                raise UserError(
                    f"prior: {self.data.data} was trained on data that are not built in: give "
                    "them, or data like them, by --prior"
                )
            opened = data_of_run(run, self.data.data, self.prior, self.data.reading)
            with status("estimating the spectrum"):
                spectrum = opened.spectrum(method="shift-invariant")
            return spectrum, run.denoiser(), dict(run.source)
        if self.prior is not None or self.checkpoint != "best":
            raise UserError(f"prior, checkpoint: {self.data.data} is no run, leave them out")
        data = self.data
        if not files.is_spectrum(data.data) and data.estimating.method is None:
            data = replace(data, estimating=replace(data.estimating, method="shift-invariant"))
        spectrum = data.spectrum(data.open())
        if spectrum.basis is None:
            raise UserError(f"{data.data} has no basis, in which samples could be restored")
        return spectrum, wiener(spectrum), dict(spectrum.source or {})

    def _input(self, shape: tuple[int, ...]) -> np.ndarray:
        """Read what was measured [n, *shape]."""
        if self.data.input.endswith((".npy", ".npz")):
            found = np.concatenate(
                [np.asarray(x) for x in datasets.open(self.data.input).batches()]
            )
        else:
            from specjax.data.image_folder import read_picture

            found = read_picture(self.data.input, colour=shape[2:] == (3,))[None]
            found = found.reshape(*found.shape[:3], *shape[2:])
        if found.shape[1:] != shape:
            raise UserError(
                f"input = {self.data.input} has samples of shape {found.shape[1:]}, and the data "
                f"{shape}: give samples like the data"
            )
        return found.astype(np.float32)


def _psnr(found: np.ndarray, clean: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB, of a range of 2."""
    return 10 * math.log10(4 / max(float(np.mean((found - clean) ** 2)), 1e-30))
