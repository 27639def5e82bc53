"""``specjax restore``: restore what was measured, by posterior sampling with learned weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
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
    from specjax.restoration.fit import PosteriorResult
    from specjax.spectra.spectrum import Spectrum


@dataclass(frozen=True, kw_only=True)
class Measured(Data):
    """The data of the prior, and what was measured."""

    input: tyro.conf.Positional[tuple[Annotated[str, tyro.conf.arg(metavar="INPUT")], ...]] = ()
    """what was measured: pictures or folders of pictures, or .npy/.npz files of samples in the
    units of the data"""


@dataclass(frozen=True, kw_only=True)
class Restore(Writing):
    """Restore blurred, noisy, small or incomplete images (or arrays), with the prior of data.

    Guidance weights and levels are learned in closed form on the stationary spectrum of the data.
    With DATA the prior is the Gaussian of this spectrum; with a run it is the run's network.
    """

    data: Annotated[Measured, tyro.conf.arg(name="")] = field(default_factory=Measured)
    measurement: str | None = None
    """blur:PIXELS (the standard deviation of a Gaussian), lowpass:SHARE, downsample:FACTOR,
    mask:PICTURE (white where it is known), mask:box (the middle is not) or noise"""
    noise: float | None = None
    """the standard deviation of the noise of the measurement, in units of the data ([-1, 1])"""
    steps: int | None = None
    """S, the number of denoiser calls; by default 20"""
    guidance: str = "diffpir"
    """the method of posterior sampling: dps, pigdm, ddnm, ddnm_plus, diffpir or gaussian"""
    schedule: str | None = None
    """a family of schedules, such as karras, along which weights alone are learned; by default
    levels are learned, too"""
    error: float = 0.1
    """the denoiser's error that weights reckon with, as a share of the ideal denoiser's own"""
    plan: str | None = None
    """a file by --save-plan in place of learning; it says what was measured"""
    save_plan: str | None = None
    """write what was learned to this file (.npz), for --plan and specjax.restore"""
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
        from specjax.restoration.steered import measured_shape, restore

        check_target(self.out)
        self.check_outputs({"out": self.out, "save_plan": self.save_plan}, folders=True)
        learn, measured, denoise, source = self._problem()
        shape = tuple(source["shape"])
        given = self._input(shape if self.simulate else measured_shape(measured, shape), shape)
        check_target(self.out, len(given), shape, source)
        with status("learning weights"):
            result = learn()
        y = given
        if self.simulate:
            y = np.asarray(measured.forward(given))
            drawn = np.random.default_rng(self.data.seed).standard_normal(y.shape)
            y = y + float(measured.sigma) * drawn
        with progress("restoring", "samples", long=True) as update:
            found = restore(result, denoise, y, seed=self.data.seed, progress=update)
        errors = {"restored": _psnr(found, given)} if self.simulate else None
        if errors and y.shape == given.shape:
            errors["measured"] = _psnr(y, given)
        facts = {**report.posterior_json(result), "psnr": errors, "n": len(y)}
        with status("writing"):
            written = [str(write_samples(self.out, found, source, facts))]
            if self.save_plan is not None:
                written.append(str(files.save(self.save_plan, result)))
        if self.json:
            print_json({**facts, "files": written})
            return
        report.print_posterior(result, written)
        if errors:
            before = f", of what was measured {errors['measured']:.2f} dB"
            print(f"PSNR {errors['restored']:.2f} dB" + before * ("measured" in errors))

    def _problem(self) -> tuple[Callable[[], PosteriorResult], Any, Callable[..., Any], Any]:
        """Return what learns, what is measured, the denoiser, and where the data come from."""
        from specjax.restoration.fit import fit_posterior
        from specjax.restoration.measure import named

        learned = self._opened()
        spectrum, denoise, source = self._prior(learned)
        shape = tuple(spectrum.basis.shape)  # type: ignore[union-attr]
        source = {**source, "shape": shape}
        if learned is not None:
            return lambda: learned, learned.measurement, denoise, source
        if self.measurement is None or self.noise is None:
            raise UserError("measurement, noise: give both, or a file that has them by --plan")
        measured = named(self.measurement, shape, sigma=self.noise)
        learn = partial(
            fit_posterior, spectrum, measured, self.steps, method=self.guidance,
            schedule=self.schedule, denoiser_error=self.error,
        )  # fmt: skip
        return learn, measured, denoise, source

    def _opened(self) -> PosteriorResult | None:
        """Load the file of --plan, beside which nothing says what was measured."""
        from specjax.restoration.fit import PosteriorResult

        if self.plan is None:
            return None
        options = (("measurement", None), ("noise", None), ("steps", None), ("schedule", None),
                   ("guidance", "diffpir"), ("error", 0.1))  # fmt: skip
        for name, default in options:
            if getattr(self, name) != default:
                raise UserError(f"{name}: {self.plan} says it; leave it out, or --plan")
        learned = files.load(self.plan)
        if not isinstance(learned, PosteriorResult):
            raise UserError(
                f"plan = {self.plan} is a {type(learned).__name__} file: give one by 'specjax "
                "restore --save-plan'"
            )
        return learned

    def _prior(
        self, learned: PosteriorResult | None
    ) -> tuple[Spectrum, Callable[..., Any], dict[str, Any]]:
        """Return the stationary spectrum of the data, the denoiser, and where they come from."""
        from specjax.sampling.denoisers import wiener

        if is_run(self.data.data):
            run = open_run(self.data.data, self.checkpoint)
            if learned is not None:
                return _same_shape(learned, run.shape), run.denoiser(), dict(run.source)
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
        given = data.open()
        if learned is not None:
            known = (given.source or {}).get("shape")
            spectrum = _same_shape(learned, None if known is None else tuple(known))
            return spectrum, wiener(spectrum), dict(spectrum.source or {})
        spectrum = data.spectrum(given)
        if spectrum.basis is None:
            raise UserError(f"{data.data} has no basis, in which samples could be restored")
        return spectrum, wiener(spectrum), dict(spectrum.source or {})

    def _input(self, seen: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
        """Read what was measured [n, *seen], for samples of a shape."""
        if not self.data.input:
            raise UserError("input: give what was measured, a picture or a file of samples")
        parts = [self._read(path, shape) for path in self.data.input]
        for path, part in zip(self.data.input, parts, strict=True):
            if part.shape[1:] != seen:
                what = "the data" if seen == shape else "what is measured of them"
                raise UserError(
                    f"input = {path} has samples of shape {part.shape[1:]}, and {what} {seen}: "
                    "give samples like these"
                )
        return np.concatenate(parts).astype(np.float32)

    def _read(self, path: str, shape: tuple[int, ...]) -> np.ndarray:
        """Read a picture, a folder of them or a file of samples [n, ...]."""
        colour = shape[2:] == (3,)
        if Path(path).is_dir():
            opened = datasets.open(Path(path), colour="rgb" if colour else "grey")
            found = np.concatenate(list(opened.batches())) / 127.5 - 1  # as pictures are read
        elif path.endswith((".npy", ".npz")):
            found = np.concatenate([np.asarray(x) for x in datasets.open(path).batches()])
        else:
            from specjax.data.image_folder import read_picture

            found = read_picture(path, colour=colour)[None]
        return found.reshape(*found.shape[:3], 1) if shape[2:] == (1,) else found


def _same_shape(learned: PosteriorResult, shape: tuple[int, ...] | None) -> Spectrum:
    """Return the spectrum of a learned sampler, for data of a shape."""
    spectrum: Spectrum = learned.problem.spectrum
    own = None if spectrum.basis is None else tuple(spectrum.basis.shape)
    if own is None or shape not in (None, own):
        raise UserError(
            f"plan: it was learned for samples of shape {own}, and the data are {shape}"
        )
    return spectrum


def _psnr(found: np.ndarray, clean: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB, of a range of 2."""
    return 10 * math.log10(4 / max(float(np.mean((found - clean) ** 2)), 1e-30))
