"""``FILE.py:NAME`` and ``MODULE:NAME`` on the command line: denoisers in Python.

Only what is named there is imported, never anything from inside a data file. The name is a denoiser
``(x, alpha, sigma) -> x0``, in JAX or on NumPy arrays, a :class:`specjax.BlackBox`, or a prior.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import math
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.cli.console import progress, remark

if TYPE_CHECKING:
    from specjax.data import Dataset
    from specjax.noise.noise_spectrum import NoiseSpectrum
    from specjax.priors import Prior
    from specjax.schedules.level_range import LevelRange
    from specjax.spectra.spectrum import Spectrum

_NAMED = re.compile(r"(.+\.py)(:.*)?|[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d][\w.]*")
_PRIOR = ("kind", "shape", "fingerprint", "held_out")
_SAMPLES, _FINE_CALLS = 128, 32
"""Fine samples that a spectrum is estimated from, and the calls of each."""


def is_named(text: str) -> bool:
    """Tell the name of a denoiser in Python; a set of TFDS is none."""
    return not text.startswith("tfds:") and _NAMED.fullmatch(text) is not None


def is_in(frames: Iterable[str], arguments: Iterable[str]) -> bool:
    """Tell whether one of the files of a traceback is that of a denoiser among arguments."""
    named = [text.rpartition(":")[0] for text in arguments if is_named(text)]
    places = [Path(where) for where in named if where.endswith(".py")]
    modules = (sys.modules.get(where) for where in named)
    places += [Path(str(module.__file__)) for module in modules if module is not None]
    return any(Path(file).resolve() == place.resolve() for file in frames for place in places)


@dataclass(frozen=True, eq=False, kw_only=True)
class PythonDenoiser:
    """A denoiser in Python, with the members of a run (:class:`specjax.nn.run.Run`) that it has.

    Attributes:
      name: as it was typed.
      denoise: ``(x, alpha, sigma) -> x0``.
      shape: of one sample.
      spectrum: of its data; None where it is not known.
      noise: of the forward process; None where it is white.
      prior: what was named, if that is a prior of another kind than "network".
    """

    name: str
    denoise: Callable[..., Any]
    shape: tuple[int, ...]
    spectrum: Spectrum | None = None
    noise: NoiseSpectrum | None = None
    prior: Prior | None = None
    step: int | None = None
    class_names: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """No classes are known by name; labels are told as they are given."""
        return 0

    @property
    def source(self) -> Mapping[str, Any]:
        """Provenance."""
        return {"name": self.name, "shape": list(self.shape)}

    @property
    def effective(self) -> Spectrum:
        """The spectrum, under the noise.

        Raises:
          UserError: where it is not known.
        """
        if self.spectrum is None:
            raise UserError(
                f"schedule: no spectrum of {self.name} is known: name a family, or a schedule or "
                "plan file"
            )
        return self.spectrum

    def denoiser(self, labels: Any = None) -> Callable[..., Any]:
        """Return the denoiser, which takes labels as a fourth argument."""
        return self.denoise

    def guided(
        self, weight: float | Sequence[float], interval: tuple[float, float] | None = None
    ) -> PythonDenoiser:
        """Return the same with another weight of guidance.

        Raises:
          UserError: for a denoiser that is not guided, and weights that are none.
        """
        from specjax.sampling.guidance import guided, guided_in

        found = guided_in(self.denoise)
        if found is None or found is not self.denoise:
            raise UserError(
                f"guidance: {self.name} is not guided: make it one by "
                "specjax.guided(conditional, unconditional)"
            )
        parts = found.conditional, found.unconditional
        denoise = guided(*parts, weight, null=found.null, interval=interval or found.interval)
        return replace(self, denoise=denoise)

    def answers_digest(self, labels: tuple[int, ...]) -> str:
        """Return the SHA-256 of a few answers: nothing else tells a function from its next version.

        Args:
          labels: classes that it is told, if any.
        """
        digest = hashlib.sha256()
        x = np.random.default_rng(0).standard_normal((2, *self.shape)).astype(np.float32)
        told = (np.resize(np.asarray(labels, np.int32), 2),) if labels else ()
        for level in (0.1, 0.5, 0.9):
            alpha, sigma = np.float32(level**0.5), np.float32((1 - level) ** 0.5)
            digest.update(np.asarray(self.denoise(x, alpha, sigma, *told)).tobytes())
        return digest.hexdigest()

    def as_prior(self) -> Prior:
        """Return what plans are learned through."""
        from specjax.priors import Network

        if self.prior is not None:
            return self.prior
        options: dict[str, Any] = {"source": self.source, "noise": self.noise}
        return Network(self.denoise, self.shape, self.spectrum, **options)


def open_denoiser(text: str, shape: tuple[int, ...], labels: tuple[int, ...]) -> PythonDenoiser:
    """Import what is named, and make a denoiser of it.

    Args:
      text: FILE.py:NAME or MODULE:NAME.
      shape: of one sample; empty where what is named says it.
      labels: classes that it will be told, if any.

    Raises:
      UserError: for a file or name that is not there, what is no denoiser, an error while it is
        imported (whose traceback is printed), and a shape that is missing or another one.
    """
    from specjax.priors import Network
    from specjax.sampling.black_box import is_black_box
    from specjax.sampling.guidance import guided_in

    found = _object(text)
    if not callable(found) or isinstance(found, type):
        raise UserError(
            f"{text} is of type {type(found).__name__}: name a denoiser (x, alpha, sigma) -> x0, a "
            "BlackBox, or a prior"
        )
    prior = found if all(hasattr(found, one) for one in _PRIOR) else None
    says = prior is not None or is_black_box(found) or guided_in(found) is not None
    known = tuple(getattr(found, "shape", shape) if says else shape)
    if not known:
        raise UserError(f"shape: say that of one sample of {text}, as in --shape 3 32 32")
    if shape and known != tuple(shape):
        raise UserError(f"shape = {shape}: {text} is of samples of shape {known}: leave it out")
    checks.sample_shape(known)
    if isinstance(prior, Network):
        options: dict[str, Any] = {"spectrum": prior.spectrum, "noise": prior.noise}
        return PythonDenoiser(name=text, denoise=prior.denoise, shape=known, **options)
    if prior is not None:
        noise = getattr(prior, "noise", None)
        options = {"spectrum": prior.spectrum, "noise": noise, "prior": prior}
        return PythonDenoiser(name=text, denoise=prior, shape=known, **options)
    if not is_black_box(found):
        found = _traceable(text, found, known, labels)
    return PythonDenoiser(name=text, denoise=found, shape=known)


def _traceable(
    text: str, denoise: Callable[..., Any], shape: tuple[int, ...], labels: tuple[int, ...]
) -> Callable[..., Any]:
    """Return a denoiser that JAX can trace; another function becomes a black box."""
    import jax

    from specjax.sampling.black_box import BlackBox
    from specjax.sampling.guidance import Guided

    if isinstance(denoise, Guided):
        every = labels or (0,) * (denoise.null is not None)
        other = denoise.unconditional
        return replace(
            denoise,
            conditional=_traceable(text, denoise.conditional, shape, every),
            unconditional=None if other is None else _traceable(text, other, shape, ()),
        )
    x, level = (jax.ShapeDtypeStruct(sides, np.float32) for sides in ((2, *shape), ()))
    told = (jax.ShapeDtypeStruct((2,), np.int32),) if labels else ()
    try:
        answer = jax.eval_shape(denoise, x, level, level, *told)
    except Exception as error:  # of NumPy, torch, ...: JAX's arrays are not for them
        reason = " ".join(str(error).split()).split(". ")[0]
        remark(f"{text} is called as a black box: JAX cannot trace it ({reason[:100]})")
        return BlackBox(denoise, shape)
    if getattr(answer, "shape", None) != x.shape:
        what = getattr(answer, "shape", type(answer).__name__)
        raise UserError(f"{text} returns {what} for x of shape {x.shape}: return one x0 each")
    return denoise


def fine_spectrum(
    denoiser: PythonDenoiser, levels: LevelRange, labels: tuple[int, ...], seed: int
) -> Spectrum:
    """Estimate the spectrum of what a denoiser makes of noise in many steps, and say so.

    Args:
      denoiser: without a spectrum of its own.
      levels: the range of the levels.
      labels: classes, shared out among the samples.
      seed: of the noise.
    """
    from specjax.learning.answers import Answers
    from specjax.learning.teacher import fine_plan, solutions
    from specjax.learning.trajectories import Noises
    from specjax.spectra.spectrum import Spectrum

    told = np.resize(np.asarray(labels, np.int32), _SAMPLES) if labels else None
    plan = fine_plan(denoiser.as_prior(), _FINE_CALLS, levels)
    shape = (_SAMPLES, *denoiser.shape)
    start = np.random.default_rng(seed).standard_normal(shape, np.float32)
    answers = Answers(denoiser.denoise, network=True)
    with progress("fine samples", "calls", long=True) as update:
        answers.after_batch = lambda: update(answers.calls, _SAMPLES * _FINE_CALLS)
        samples = solutions(plan, answers, Noises(start, told))
    remark(
        f"the spectrum is that of {_SAMPLES} fine samples of {denoiser.name} ({_FINE_CALLS} calls "
        f"each, {_SAMPLES * _FINE_CALLS:,} answers); give data by --data for theirs"
    )
    if 2 * math.prod(denoiser.shape) <= _SAMPLES:
        return Spectrum.from_samples(samples)
    return Spectrum.from_samples(samples, method="low-rank", rank=_SAMPLES // 4)


def with_spectrum_of(run: Any, data: Dataset) -> Any:
    """Return a denoiser in Python with the spectrum of data; a run, or one that has it, as it is.

    Args:
      run: either of them.
      data: of the shape of its samples.
    """
    if not isinstance(run, PythonDenoiser) or run.spectrum is not None:
        return run
    from specjax.noise.whitening import effective

    with progress("spectrum", "samples", long=True) as update:
        spectrum = data.spectrum(progress=update)
    return replace(run, spectrum=effective(spectrum, run.noise))


def _object(text: str) -> Any:
    """Import a file or a module, and return what it calls by the name."""
    where, colon, name = text.rpartition(":")
    if not colon or not name:
        raise UserError(f"{text} names no denoiser: give {text.rstrip(':')}:NAME")
    found: Any = _module(where)
    for part in name.split("."):
        if not hasattr(found, part):
            known = [x for x, value in vars(found).items() if x[0] != "_" and callable(value)]
            checks.one_of(f"{where}: name", part, known)
        found = getattr(found, part)
    return found


def _module(where: str) -> ModuleType:
    """Import a file, with its folder on the path as Python has it, or a module from here.

    The error of an import is the user's to find: its traceback is printed, without our own lines.
    """
    if where.endswith(".py"):
        path = files.check_input(where).resolve()
        sys.path.insert(0, str(path.parent))
        load: Callable[[], ModuleType] = lambda: _of_file(path)  # noqa: E731
    else:
        if Path(where).exists():
            raise UserError(f"{where} is no Python file: give FILE.py:NAME, or the data alone")
        sys.path.insert(0, str(Path.cwd()))
        load = lambda: importlib.import_module(where)  # noqa: E731
    try:
        return load()
    except (Exception, SystemExit) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name
        if missing and f"{where}.".startswith(f"{missing}.") and not where.endswith(".py"):
            raise UserError(f"there is no module {missing}: give FILE.py:NAME") from None
        traceback.print_exception(error.with_traceback(_outside(error)))
        what = f"{type(error).__name__}: {error}"
        raise UserError(f"{where} cannot be imported, see above: {what}") from None


def _of_file(path: Path) -> ModuleType:
    name = path.stem if path.stem not in sys.modules else f"_{path.stem}_{len(sys.modules)}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def _outside(error: BaseException) -> Any:
    """Return the traceback from the first frame on that is neither ours nor the import system's."""
    frames = error.__traceback__
    while frames is not None and (
        frames.tb_frame.f_code.co_filename == __file__
        or "importlib" in frames.tb_frame.f_code.co_filename
    ):
        frames = frames.tb_next
    return frames
