"""What the core keeps in files: learned results, schedules, noises, spectra and probes.

A kind of file is a row of :data:`KINDS`: how a value becomes a header and arrays, and back.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from specjax._core.checks import UserError
from specjax.files import codec
from specjax.files.outputs import check_not_owned
from specjax.files.schema import check_fields, finite
from specjax.fitting.any_steps import PlanSet
from specjax.fitting.learned import LearnedResult, in_float64
from specjax.gaussian.modes import Modes
from specjax.gaussian.probe import MEASURED, Probe, check_options
from specjax.noise.families import noise_of_document
from specjax.noise.noise_spectrum import NoiseSpectrum, anisotropic
from specjax.sampling.corrections import Corrections
from specjax.sampling.samplers import SAMPLERS
from specjax.sampling.step import SamplerPlan
from specjax.schedules.grids import TrainingGrid, grid_of_config
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.basis import Basis, DenseBasis, FourierBasis, ReflectedBasis
from specjax.spectra.bootstrap import Intervals
from specjax.spectra.response import Measured
from specjax.spectra.spectrum import Spectrum, Whitening

Header = dict[str, Any]
Arrays = dict[str, np.ndarray]
Saved = LearnedResult | PlanSet | NoiseSchedule | NoiseSpectrum | Spectrum | Probe

ROWS = ("alpha", "sigma", "keep", "pull", "push")
"""The rows of a plan, one a call: [K], [K], [K, H, H], [K, H], [K, H]."""

_CORRECTIONS = ("ratio", "weights", "noise")
_SAME_ROWS = 1e-6  # of a row's largest number: what libraries and machines may differ by in it


@dataclass(frozen=True)
class Kind:
    """A kind of file: the class of its values, the version of its format, and its schema."""

    of: type
    version: int
    container: str
    encode: Callable[[Any], tuple[Header, Mapping[str, Any]]]
    decode: Callable[[Header, Arrays], Any]


def save(path: str | os.PathLike[str], value: Any) -> Path:
    """Write a learned result, a schedule or a noise (JSON), a spectrum or a probe (npz).

    A learned posterior sampler (:class:`specjax.PosteriorResult`) is npz, with its spectrum.

    The file is whole or not there at all. A regular file that is there is replaced and keeps its
    mode; a symbolic link is followed. Arrays in JSON are read by ``json`` and NumPy alone.

    Args:
      path: of the file.
      value: what is written; a list of plans is a :class:`specjax.PlanSet`.

    Raises:
      UserError: if the folder does not exist, cannot be written to or is that of a run or a sweep;
        if a device, a pipe or a read-only file has the name; if the disk is full; for a plan of
        numbers that are not finite; for a spectrum with more than data in it.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     load(save(f"{folder}/s.npz", Spectrum([4.0, 1.0]))).dimension
      2
    """
    if isinstance(value, list | tuple):
        value = PlanSet(value)
    for name in (*KINDS, *ABOVE):
        kind = _kind(name)
        if isinstance(value, kind.of):
            check_not_owned(path)
            header, arrays = kind.encode(value)
            return codec.write(path, name, kind.version, header, arrays, container=kind.container)
    raise UserError(
        f"value of type {type(value).__name__}: give one of "
        f"{', '.join(_kind(name).of.__name__ for name in (*KINDS, *ABOVE))}"
    )


def load(path: str | os.PathLike[str]) -> Any:
    """Read what :func:`save` wrote to ``path``.

    Raises:
      UserError: if the file is missing, truncated, corrupted, newer than this version of specjax,
        or not one of its files.
    """
    versions = {name: kind.version for name, kind in KINDS.items()}
    document = codec.read(path, versions | {name: version for name, (version, _) in ABOVE.items()})
    with codec.decoding(path, document.kind):
        value: Any = _kind(document.kind).decode(document.header, document.arrays)
    return value


def _kind(name: str) -> Kind:
    """Return the kind of a name; those of classes above this package are imported here."""
    if name in KINDS:
        return KINDS[name]
    found: Kind = importlib.import_module(ABOVE[name][1]).KIND
    return found


def load_plans(path: str | os.PathLike[str]) -> PlanSet:
    """Read the plans in a file of one, or of several.

    Args:
      path: of a file by 'specjax learn' or 'specjax fit'.

    Raises:
      UserError: as :func:`load`, and for a file of something else.
    """
    loaded = load(path)
    if isinstance(loaded, LearnedResult):
        return PlanSet([loaded])
    if not isinstance(loaded, PlanSet):
        raise UserError(
            f"{path} is a {type(loaded).__name__} file: give one by 'specjax learn' or 'fit'"
        )
    return loaded


def is_spectrum(path: str | os.PathLike[str]) -> bool:
    """Tell whether there is a spectrum file of that name; its numbers are not checked."""
    return codec.kind_of(path) == "spectrum"


@dataclass(frozen=True)
class _Provenance:
    """The entries that reports read in the source of a spectrum or result; others are free."""

    samples: int
    dimension: int
    method: str
    shrinkage: float | str
    rank: int | None
    shape: tuple[int, ...]
    data_range: tuple[float, float] | None


def _source(source: Any) -> Mapping[str, Any]:
    """Return a source whose known fields have their types."""
    known = [one.name for one in dataclasses.fields(_Provenance)]
    check_fields(_Provenance, source, [name for name in known if name in source])
    return dict(source)


# Schedules and learned results


def _encode_schedule(schedule: NoiseSchedule) -> tuple[Header, Mapping[str, Any]]:
    clean = schedule.ends_clean
    header = {
        "steps": schedule.steps,
        "order": "noisy to clean",
        "terminal": "denoised estimate (sigma = 0)" if clean else "last level (sigma > 0)",
    }
    levels = {name: getattr(schedule, name) for name in ("logsnr", "alpha_bar", "sigmas")}
    return header, {name: np.asarray(x, np.float64) for name, x in levels.items()}


def _decode_schedule(header: Header, arrays: Arrays) -> NoiseSchedule:
    schedule = NoiseSchedule(arrays["logsnr"])
    for name in ("alpha_bar", "sigmas"):  # for other programs; they must mean the same
        own, given = np.asarray(getattr(schedule, name), np.float64), arrays[name]
        if own.shape != given.shape or not np.allclose(given, own, rtol=_SAME_ROWS, atol=0):
            raise ValueError(f"its {name} are not those of its logsnr")
    return schedule


_ELSEWHERE = {
    "schedule", "corrections", "process", "history", "nodes", "source", "noise", "custom_sampler",
    "grid", "guidance", "from_data", "through",
}  # fmt: skip
_LEARNED = tuple(
    one.name for one in dataclasses.fields(LearnedResult) if one.name not in _ELSEWHERE
)


def _encode_learned(result: LearnedResult) -> tuple[Header, Mapping[str, Any]]:
    """Write down all of a result, and the rows of its plan, which run anywhere.

    A reader that knows the equation of :mod:`specjax.sampling.step` needs the rows alone; levels
    and corrections are what they were made from, and give the plan of another process.
    """
    result = in_float64(result)
    plan, (header, arrays) = result.plan, _encode_schedule(result.schedule)
    header |= {
        "process": result.process,
        "plan": {
            "calls": plan.calls,
            "registers": plan.registers,
            "stochastic": bool(plan.stochastic),
            "starts_from": "data" if result.from_data else "noise",
            "through": list(result.through),
        },
        "learned": {name: getattr(result, name) for name in _LEARNED},
        "data": result.source,
        **grid_field(result.grid),
        **noise_field(result.noise),
    }
    return header, {
        **arrays,
        **within("plan", rows_of(plan)),
        **within("corrections", _arrays(result.corrections, _CORRECTIONS)),
        "history": np.asarray(result.history, np.float64),
        **within("nodes", _nodes(result.nodes)),
    }


def _decode_learned(header: Header, arrays: Arrays) -> LearnedResult:
    check_fields(LearnedResult, header["learned"], _LEARNED)
    check_fields(LearnedResult, header, ("process",))
    learned = dict(header["learned"])
    for name in ("value", "train_value", "node_value"):
        learned[name] = _or_nan(learned[name])
    for name in ("baselines", "terms"):
        learned[name] = {key: _or_nan(x) for key, x in learned[name].items()}
    for name in ("groups", "alpha_bar_range"):
        learned[name] = tuple(learned[name])
    corrections, nodes = inside("corrections", arrays), inside("nodes", arrays)
    for name, array in corrections.items():
        finite(name, array)
    result = LearnedResult(
        schedule=_decode_schedule(header, arrays),
        corrections=Corrections(**corrections) if corrections else None,
        guidance=arrays.get("plan/guidance"),
        from_data=header["plan"].get("starts_from") == "data",
        through=tuple(map(float, header["plan"].get("through", ()))),
        process=header["process"],
        history=arrays["history"],
        nodes=_nodes_from(nodes) if nodes else None,
        source=_source(header["data"]),
        noise=noise_in(header),
        grid=grid_in(header),
        **learned,
    )
    if result.corrections is not None or result.sampler in SAMPLERS:
        check_rows(result.plan, inside("plan", arrays), header["plan"])
    return result  # of a sampler of somebody's own the levels are known, and its rows in the file


def _encode_plans(plans: PlanSet) -> tuple[Header, Mapping[str, Any]]:
    """Write down several plans, each as :func:`_encode_learned` does, by its number of steps."""
    parts = {str(one.steps): _encode_learned(one) for one in plans}
    header = {"plans": {steps: part for steps, (part, _) in parts.items()}}
    return header, {
        name: array
        for steps, (_, arrays) in parts.items()
        for name, array in within(f"plans/{steps}", arrays).items()
    }


def _decode_plans(header: Header, arrays: Arrays) -> PlanSet:
    return PlanSet(
        _decode_learned(part, inside(f"plans/{steps}", arrays))
        for steps, part in header["plans"].items()
    )


def grid_field(grid: TrainingGrid | None) -> Header:
    """Return the field ``grid`` of a header: a configuration of diffusers, or levels."""
    if grid is None:
        return {}
    known = {"config": dict(grid.config)} if grid.config else {"logsnr": grid.logsnr.tolist()}
    return {"grid": {"name": grid.name, **known}}


def grid_in(header: Header) -> TrainingGrid | None:
    """Return the grid of a header; None where levels could be anywhere."""
    if "grid" not in header:
        return None
    name, config = header["grid"]["name"], header["grid"].get("config")
    if config is None:
        return TrainingGrid(name, header["grid"]["logsnr"])
    return grid_of_config(name, config)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def rows_of(plan: SamplerPlan) -> Arrays:
    """Return :data:`ROWS`, the standard deviation ``start``, any signal, guidance and steer.

    All are float64.

    Raises:
      UserError: if a number is not finite.
    """
    more = [name for name in ("signal", "guidance", "steer") if getattr(plan, name) is not None]
    names = (*ROWS, "start", *more)
    rows = {name: np.asarray(getattr(plan, name), np.float64) for name in names}
    for name, array in rows.items():
        if not np.isfinite(array).all():
            raise UserError(f"the plan's {name} has numbers that are not finite: learn it again")
    return rows


def check_rows(plan: SamplerPlan, rows: Arrays, about: Mapping[str, Any]) -> None:
    """Refuse rows that another version made differently: what runs here must run elsewhere."""
    for name, own in rows_of(plan).items():
        given = rows[name]
        apart = own.shape != given.shape or abs(own - given).max() > _SAME_ROWS * abs(own).max()
        if apart or plan.stochastic != about["stochastic"]:
            raise UserError(
                f"its rows ({name}) are not those of its levels and corrections in this version "
                "of specjax: learn the plan again, or run the rows (docs/plans.md)"
            )


def corrections_document(by: Corrections | None) -> dict[str, Any] | None:
    """Make lists of corrections, for JSON; None stays None."""
    if by is None:
        return None
    lists = {name: codec.plain(x) for name, x in _arrays(by, _CORRECTIONS).items()}
    return dict.fromkeys(_CORRECTIONS) | lists


# Noises


def noise_field(noise: NoiseSpectrum | None) -> Header:
    """Return the field ``noise`` of a header or document; nothing for isotropic noise."""
    noise = anisotropic(noise)
    return {} if noise is None else {"noise": codec.plain(noise.document())}


def noise_in(header: Mapping[str, Any]) -> NoiseSpectrum | None:
    """Return the noise of a header; None where there is none, which is isotropic."""
    return noise_of_document(header["noise"]) if "noise" in header else None


def _encode_noise(noise: NoiseSpectrum) -> tuple[Header, Mapping[str, Any]]:
    return {"noise": noise.document()}, {}


def _decode_noise(header: Header, arrays: Arrays) -> NoiseSpectrum:
    return noise_of_document(header["noise"])


# Spectra and probes

_COLUMNS = ("eigenvalues", "mean", "weights", "mean_weights")


def _encode_spectrum(spectrum: Spectrum) -> tuple[Header, Mapping[str, Any]]:
    if spectrum.whitening is not None:
        raise UserError(
            "the spectrum is under a noise: save that of the data, and the noise in a file of its "
            "own"
        )
    header: Header = {"fingerprint": spectrum.fingerprint, "source": spectrum.source or {}}
    arrays, basis = _arrays(spectrum, _COLUMNS), spectrum.basis
    if isinstance(basis, DenseBasis | FourierBasis | ReflectedBasis):
        arrays |= within("basis", _arrays(basis, ("vectors", "factor")))
        header["basis"] = {"shape": basis.shape, "spatial": getattr(basis, "spatial", None)}
        if isinstance(basis, FourierBasis) and basis.channel_axis is not None:
            header["basis"]["channel_axis"] = basis.channel_axis
    if spectrum.intervals is not None:
        header["intervals"] = {
            name: getattr(spectrum.intervals, name)
            for name in ("level", "replicates", "seed", "method")
        }
        arrays |= within("intervals", _arrays(spectrum.intervals, ("lower", "upper")))
    return header, arrays


def _decode_spectrum(header: Header, arrays: Arrays) -> Spectrum:
    columns: dict[str, Any] = {name: arrays[name] for name in _COLUMNS}
    if "basis" in header:
        columns["basis"] = _decode_basis(header["basis"], inside("basis", arrays))
    if "intervals" in header:
        ends: dict[str, Any] = inside("intervals", arrays)
        check_fields(Intervals, header["intervals"], ("level", "replicates", "seed", "method"))
        columns["intervals"] = Intervals(**ends, **header["intervals"])
    return Spectrum(**columns, source=_source(header["source"]))


def _decode_basis(header: Header, arrays: Arrays) -> Basis:
    vectors, shape, spatial = arrays["vectors"], tuple(header["shape"]), header["spatial"]
    if "factor" in arrays:
        return ReflectedBasis(vectors, arrays["factor"], shape)
    if spatial is None:
        return DenseBasis(vectors, shape)
    return FourierBasis(vectors, shape, spatial, header.get("channel_axis"))


def _encode_probe(probe: Probe) -> tuple[Header, Mapping[str, Any]]:
    spectrum = probe.spectrum
    header = {
        "fingerprint": probe.fingerprint,
        "source": probe.source,
        "spectrum_source": spectrum.source or {},
        **noise_field(spectrum.noise),
    }
    return header, {
        **within("spectrum", _arrays(spectrum, _COLUMNS)),
        **within("whitening", _arrays(spectrum.whitening, ("variance",))),
        **_arrays(probe, ("logsnr", *MEASURED)),
        **within("standard_errors", probe.standard_errors),
    }


def _decode_probe(header: Header, arrays: Arrays) -> Probe:
    columns: dict[str, Any] = inside("spectrum", arrays)
    if "whitening/variance" in arrays:
        columns["whitening"] = Whitening(noise_in(header), arrays["whitening/variance"])
    check_fields(Probe, header, ("source",))
    spectrum = Spectrum(**columns, source=_source(header["spectrum_source"]))
    logsnr, of_errors = check_options(arrays["logsnr"], n=3), inside("standard_errors", arrays)
    shape = (*logsnr.shape, spectrum.dimension)
    measured = {name: finite(name, arrays[name], shape) for name in MEASURED}
    errors = {name: finite(f"standard_errors/{name}", of_errors[name], shape) for name in MEASURED}
    about = header["source"]
    return Probe(spectrum, logsnr=logsnr, **measured, standard_errors=errors, source=about)


_RESPONSE = tuple(one.name for one in dataclasses.fields(Measured))


def _nodes(nodes: Modes | None) -> Arrays:
    """Return the arrays of the quadrature that a fit ran on, and of the denoiser on it."""
    arrays = _arrays(nodes, (*_COLUMNS, "denoiser_error"))
    return arrays | within("response", _arrays(getattr(nodes, "response", None), _RESPONSE))


def _nodes_from(arrays: Arrays) -> Modes:
    columns: dict[str, Any] = {name: arrays[name] for name in _COLUMNS}
    response: dict[str, Any] = inside("response", arrays)
    measured = Measured(**response) if response else None
    return Modes(**columns, response=measured, denoiser_error=arrays.get("denoiser_error"))


def _arrays(value: Any, names: Iterable[str]) -> Arrays:
    """Return the arrays among the fields of a value; of None there are none."""
    fields = {name: getattr(value, name, None) for name in names}
    return {name: np.asarray(x) for name, x in fields.items() if x is not None}


def within(name: str, arrays: Mapping[str, Any]) -> Arrays:
    """Put a name and a slash before the names of arrays."""
    return {f"{name}/{key}": np.asarray(array) for key, array in arrays.items()}


def inside(name: str, arrays: Arrays) -> Arrays:
    """Undo :func:`within`."""
    prefix = f"{name}/"
    return {k.removeprefix(prefix): x for k, x in arrays.items() if k.startswith(prefix)}


KINDS = {
    "learned": Kind(LearnedResult, 1, "json", _encode_learned, _decode_learned),
    "plans": Kind(PlanSet, 1, "json", _encode_plans, _decode_plans),
    "schedule": Kind(NoiseSchedule, 1, "json", _encode_schedule, _decode_schedule),
    "noise": Kind(NoiseSpectrum, 1, "json", _encode_noise, _decode_noise),
    "spectrum": Kind(Spectrum, 1, "npz", _encode_spectrum, _decode_spectrum),
    "probe": Kind(Probe, 1, "npz", _encode_probe, _decode_probe),
}
"""Every kind of file of the core, by its name."""

ABOVE = {"posterior": (1, "specjax.restoration.files")}
"""Kinds of classes above this package: the version of the format, and the module of the row."""
