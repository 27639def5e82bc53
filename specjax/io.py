"""Files: schedules as JSON, spectra and probes as npz. No pickle; atomic; with a checksum.

A schedule file can be read with ``json`` and NumPy alone; :func:`load` also checks it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import io
import json
import os
import platform
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from specjax.basis import Basis, DenseBasis, FourierBasis
from specjax.intervals import Intervals
from specjax.probe import MEASURED, Probe
from specjax.response import Measured
from specjax.result import FitResult
from specjax.schedule import NoiseSchedule
from specjax.spectrum import Spectrum

SCHEDULE_FORMAT = 2
"""2 has nodes with a measured denoiser; a fit without one is still written as 1."""

PROBE_FORMAT = 1
SPECTRUM_FORMAT = 2
"""2 has intervals of the eigenvalues; a spectrum without them is still written as 1."""

_PACKAGES = ("specjax", "jax", "jaxlib", "optax", "numpy")


Saved = FitResult | NoiseSchedule | Spectrum | Probe


def save(path: str | os.PathLike[str], value: Saved) -> Path:
    """Write a fit or a schedule (JSON), a spectrum or a probe (.npz), whole or not at all.

    Raises:
      ValueError: if the folder does not exist or cannot be written to, or the disk is full; for
        a spectrum with a probed denoiser.
    """
    if isinstance(value, Spectrum):
        return write_atomically(path, _spectrum_bytes(value))
    if isinstance(value, Probe):
        return write_atomically(path, _probe_bytes(value))
    if isinstance(value, NoiseSchedule):
        document = _schedule_document(value)
    else:
        document = _result_document(value)
    document["checksum"] = checksum(document)
    text = json.dumps(document, indent=1, allow_nan=False)
    return write_atomically(path, (text + "\n").encode())


def load(path: str | os.PathLike[str]) -> Saved:
    """Read what :func:`save` wrote.

    Raises:
      ValueError: if the file is missing, truncated, corrupted, newer than this version of
        specjax, or not one of its files.
    """
    content = read(path)
    if content[:2] == b"PK":
        return _npz_of(content, path)
    document = _checked_document(content, path)
    try:
        schedule = NoiseSchedule(np.array(document["logsnr"], np.float64))
        return schedule if "fit" not in document else _result_of(schedule, document)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} lacks a field of a schedule file: {error}") from error


def is_spectrum(path: str | os.PathLike[str]) -> bool:
    """Whether there is a spectrum file of that name; its numbers are neither read nor checked."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {"header.npy", "eigenvalues.npy"} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def read(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file, or a ValueError that says why not."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from error


def check_folder(path: str | os.PathLike[str]) -> Path:
    """The path, if its folder exists and can be written to."""
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {path}: the folder {path.parent} does not exist; create it")
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder; give a file name")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"cannot write {path}: the folder {path.parent} is not writable")
    return path


@contextlib.contextmanager
def atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place if the block succeeds."""
    path = check_folder(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        try:
            yield Path(name)
            with open(name, "rb") as whole:
                os.fsync(whole.fileno())
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(
            f"cannot write {path}: {reason}; nothing was written, free space or choose another "
            "folder"
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_atomically(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write bytes so that the file is whole or untouched."""
    with atomically(path) as temporary, open(temporary, "wb") as file:
        file.write(content)
    return Path(path)


def numbers(array: Any) -> list[float | str]:
    """A list for strict JSON: +inf as "inf", which ``numpy.array(..., float)`` reads back."""
    return ["inf" if np.isposinf(x) else float(x) for x in np.asarray(array, np.float64)]


def versions() -> dict[str, str]:
    """Versions of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _schedule_document(schedule: NoiseSchedule) -> dict[str, Any]:
    ends_clean = schedule.ends_clean
    return {
        "format": "specjax.schedule",
        "format_version": 1,
        "steps": schedule.steps,
        "order": "noisy to clean",
        "terminal": "denoised estimate (sigma = 0)" if ends_clean else "last level (sigma > 0)",
        "logsnr": numbers(schedule.logsnr),
        "alpha_bar": numbers(schedule.alpha_bar),
        "sigmas": numbers(schedule.sigmas),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
    }


def _result_document(result: FitResult) -> dict[str, Any]:
    nodes = result.nodes
    names = ("eigenvalues", "mean", "weights", "mean_weights")
    fit = {
        "sampler": result.sampler,
        "sampler_options": dict(result.sampler_options),
        "process": result.process,
        "alpha_bar_range": list(result.alpha_bar_range),
        "loss": result.loss,
        "value": result.value if result.finite else None,
        "node_value": result.node_value if np.isfinite(result.node_value) else None,
        "converged": result.converged,
        "iterations": result.iterations,
        "seed": result.seed,
        "seconds": round(result.seconds, 6),
        "baselines": {name: float(v) for name, v in result.baselines.items()},
    }
    document = {
        **_schedule_document(result.schedule),
        "fit": fit,
        "data": plain(result.source),
        "spectrum_nodes": {name: numbers(getattr(nodes, name)) for name in names},
    }
    if nodes.denoiser is not None:
        document["format_version"] = SCHEDULE_FORMAT
        document["spectrum_nodes"]["denoiser"] = {
            one.name: np.asarray(getattr(nodes.denoiser, one.name), np.float64).tolist()
            for one in dataclasses.fields(nodes.denoiser)
        }
    return document


def plain(value: Any) -> Any:
    """Mappings, sequences and NumPy scalars as strict JSON."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _result_of(schedule: NoiseSchedule, document: Mapping[str, Any]) -> FitResult:
    fit = document["fit"]
    nan = float("nan")
    return FitResult(
        schedule=schedule,
        value=nan if fit["value"] is None else fit["value"],
        converged=fit["converged"],
        finite=fit["value"] is not None,
        history=np.full(fit["iterations"] + 1, nan),
        sampler=fit["sampler"],
        sampler_options=fit["sampler_options"],
        loss=fit["loss"],
        process=fit["process"],
        alpha_bar_range=tuple(fit["alpha_bar_range"]),
        nodes=_nodes_of(document["spectrum_nodes"]),
        node_value=nan if fit["node_value"] is None else fit["node_value"],
        baselines=fit["baselines"],
        source=document["data"],
        seed=fit["seed"],
        seconds=fit["seconds"],
    )


def _nodes_of(columns: Mapping[str, Any]) -> Spectrum:
    arrays: dict[str, Any] = {name: x for name, x in columns.items() if name != "denoiser"}
    if "denoiser" not in columns:
        return Spectrum(**arrays)
    parts = {name: np.array(x, np.float64) for name, x in columns["denoiser"].items()}
    return Spectrum(**arrays, denoiser=Measured(**parts))


def checksum(document: Mapping[str, Any]) -> str:
    """SHA-256 of the content of a JSON document, apart from its own field ``checksum``."""
    content = {k: v for k, v in document.items() if k != "checksum"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _checked_document(content: bytes, path: Any) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not a schedule file, or is truncated: {error}; write it again by "
            "'specjax fit'"
        ) from error
    if not isinstance(document, dict) or document.get("format") != "specjax.schedule":
        raise ValueError(f"{path} is JSON but not a specjax schedule file (no 'format' in it)")
    check_version(path, document.get("format_version"), SCHEDULE_FORMAT)
    if document.get("checksum") != checksum(document):
        raise ValueError(
            f"{path} is corrupted: its checksum does not match its content; write it again, or "
            "give its sigmas as a plain list"
        )
    return document


def check_version(path: Any, found: Any, known: int) -> None:
    """Refuse the format version of a file that is none, or newer than what is known here."""
    if not isinstance(found, int) or found < 1:
        raise ValueError(f"{path} has no valid format version")
    if found > known:
        raise ValueError(
            f"{path} has format version {found}, this specjax reads up to {known}: "
            "upgrade specjax to read it"
        )


_COLUMNS = ("eigenvalues", "mean", "weights", "mean_weights")


def _npz(header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    header["created"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    header["versions"] = versions()
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(buffer, header=text, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _spectrum_bytes(spectrum: Spectrum) -> bytes:
    if spectrum.denoiser is not None:
        raise ValueError(
            "the spectrum has a probed denoiser: save the probe, or the spectrum alone"
        )
    arrays = {name: np.asarray(getattr(spectrum, name)) for name in _COLUMNS}
    header: dict[str, Any] = {
        "format": "specjax.spectrum",
        "format_version": 1,
        "fingerprint": spectrum.fingerprint,
        "source": plain(spectrum.source or {}),
    }
    if isinstance(spectrum.basis, DenseBasis | FourierBasis):
        arrays["basis"] = np.asarray(spectrum.basis.vectors)
        header["basis"] = {"shape": list(spectrum.basis.shape)}
        if isinstance(spectrum.basis, FourierBasis):
            header["basis"]["spatial"] = spectrum.basis.spatial
    if spectrum.intervals is not None:
        header["format_version"] = SPECTRUM_FORMAT
        header["intervals"] = plain(dataclasses.asdict(spectrum.intervals))
        for name in ("lower", "upper"):
            arrays[f"intervals_{name}"] = header["intervals"].pop(name)
    return _npz(header, arrays)


def _probe_bytes(probe: Probe) -> bytes:
    spectrum = probe.spectrum
    header = {
        "format": "specjax.probe",
        "format_version": PROBE_FORMAT,
        "fingerprint": probe.fingerprint,
        "source": plain(probe.source),
        "spectrum_source": plain(spectrum.source or {}),
    }
    columns = {f"spectrum_{name}": np.asarray(getattr(spectrum, name)) for name in _COLUMNS}
    measured = {name: getattr(probe, name) for name in ("logsnr", *MEASURED)}
    errors = {f"standard_error_{name}": probe.standard_errors[name] for name in MEASURED}
    return _npz(header, {**columns, **measured, **errors})


def _npz_of(content: bytes, path: Any) -> Spectrum | Probe:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays.pop("header").tobytes())
    except Exception as error:
        raise ValueError(f"{path} is not a spectrum file, or is truncated: {error}") from error
    kind = header.get("format") if isinstance(header, dict) else None
    if kind not in ("specjax.spectrum", "specjax.probe"):
        raise ValueError(f"{path} is an npz file but not a specjax spectrum")
    is_probe = kind == "specjax.probe"
    check_version(path, header.get("format_version"), PROBE_FORMAT if is_probe else SPECTRUM_FORMAT)
    try:
        found = _probe_from(arrays, header) if is_probe else _spectrum_from(arrays, header)
        fingerprint = header["fingerprint"]
    except (KeyError, TypeError, AttributeError) as error:
        name = "probe" if is_probe else "spectrum"
        raise ValueError(f"{path} lacks a field of a {name} file: {error}") from error
    if found.fingerprint != fingerprint:
        raise ValueError(f"{path} is corrupted: its fingerprint does not match its numbers")
    return found


def _probe_from(arrays: dict[str, np.ndarray], header: Mapping[str, Any]) -> Probe:
    columns = {name: arrays[f"spectrum_{name}"] for name in _COLUMNS}
    values = {name: arrays[name] for name in ("logsnr", *MEASURED)}
    errors = {name: arrays[f"standard_error_{name}"] for name in MEASURED}
    spectrum = Spectrum(**columns, source=header["spectrum_source"])  # type: ignore[arg-type]
    return Probe(spectrum, **values, standard_errors=errors, source=header["source"])


def _spectrum_from(arrays: dict[str, np.ndarray], header: Mapping[str, Any]) -> Spectrum:
    basis: Basis | None = None
    vectors = arrays.pop("basis", None)
    if vectors is not None:
        place = header["basis"]
        shape = tuple(place["shape"])
        spatial = place.get("spatial")
        basis = FourierBasis(vectors, shape, spatial) if spatial else DenseBasis(vectors, shape)
    intervals: Intervals | None = None
    if header.get("intervals"):
        lower, upper = (arrays.pop(f"intervals_{name}") for name in ("lower", "upper"))
        intervals = Intervals(lower, upper, **header["intervals"])
    columns: dict[str, Any] = arrays
    return Spectrum(**columns, basis=basis, source=header["source"], intervals=intervals)
