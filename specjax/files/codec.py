"""Files: schedules, plans, noises as JSON; spectra, probes as npz. Atomic, checked, no pickle.

A JSON file can be read with ``json`` and NumPy alone; :func:`load` also checks it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from specjax.files import noise_file, plan_file, schedule_file
from specjax.files.documents import check_version as check_version
from specjax.files.documents import checked_document, text_of
from specjax.files.documents import checksum as checksum
from specjax.files.documents import numbers as numbers
from specjax.files.documents import plain as plain
from specjax.files.documents import versions as versions
from specjax.files.noise_file import noise_document, noise_field, noise_in
from specjax.files.plan_file import plan_document, plan_of
from specjax.files.schedule_file import schedule_document, schedule_of
from specjax.fitting.learned import LearnedResult
from specjax.gaussian.probe import MEASURED, Probe
from specjax.noise.noise_spectrum import NoiseSpectrum, anisotropic
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.basis import Basis, DenseBasis, FourierBasis
from specjax.spectra.intervals import Intervals
from specjax.spectra.spectrum import Spectrum

PROBE_FORMAT = 2
"""2 has a noise; a probe without one is still written as 1."""

SPECTRUM_FORMAT = 2
"""2 has intervals of the eigenvalues; a spectrum without them is still written as 1."""

_FORMATS = {
    schedule_file.FORMAT: schedule_file.VERSION,
    plan_file.FORMAT: plan_file.VERSION,
    noise_file.FORMAT: noise_file.VERSION,
}

Saved = LearnedResult | NoiseSchedule | NoiseSpectrum | Spectrum | Probe


def save(path: str | os.PathLike[str], value: Saved) -> Path:
    """Write a fit, schedule, plan or noise (JSON), a spectrum or probe (.npz), whole or not at all.

    Raises:
      ValueError: if the folder does not exist or cannot be written to, or the disk is full; for
        a spectrum with a denoiser that was probed or errs, or under a noise, and a plan of
        numbers that are not finite.
    """
    if isinstance(value, Spectrum):
        return write_atomically(path, _spectrum_bytes(value))
    if isinstance(value, Probe):
        return write_atomically(path, _probe_bytes(value))
    return write_atomically(path, text_of(_document(value)))


def _document(value: LearnedResult | NoiseSchedule | NoiseSpectrum) -> dict[str, Any]:
    if isinstance(value, LearnedResult) and value.nodes is None:
        return plan_document(value)
    return noise_document(value) if isinstance(value, NoiseSpectrum) else schedule_document(value)


def load(path: str | os.PathLike[str]) -> Saved:
    """Read what :func:`save` wrote.

    Raises:
      ValueError: if the file is missing, truncated, corrupted, newer than this version of
        specjax, or not one of its files.
    """
    content = read(path)
    if content[:2] == b"PK":
        return _npz_of(content, path)
    document = checked_document(content, path, _FORMATS)
    kind = document["format"].removeprefix("specjax.")
    try:
        return _value(document, path)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} lacks a field of a {kind} file: {error}") from error


def _value(document: Mapping[str, Any], path: Any) -> LearnedResult | NoiseSchedule | NoiseSpectrum:
    if document["format"] == plan_file.FORMAT:
        return plan_of(document, path)
    if document["format"] == schedule_file.FORMAT:
        return schedule_of(document, path)
    noise = noise_in({"noise": document["noise"]}, path)
    if noise is None:
        raise KeyError("noise")
    return noise


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


def check_apart(**paths: str | os.PathLike[str] | None) -> None:
    """Refuse outputs that would overwrite each other or what is read: paths by their names."""
    seen: dict[Path, str] = {}
    for name, path in paths.items():
        if path is None:
            continue
        whole = Path(path).resolve()
        if whole in seen:
            raise ValueError(f"{name} = {str(path)!r} would overwrite {seen[whole]}: rename it")
        seen[whole] = f"the {name}"


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
            f"cannot write {path}: {reason}; nothing was written there, free space or choose "
            "another folder"
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
    if spectrum.denoiser_error is not None:
        raise ValueError(
            "the spectrum has a denoiser_error, which belongs to a fit: save "
            "spectrum.with_denoiser_error(0)"
        )
    if spectrum.noise is not None or spectrum.noise_variance is not None:
        raise ValueError(
            "the spectrum is under a noise: save that of the data, and the noise in a file of its "
            "own"
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
    header: dict[str, Any] = {
        "format": "specjax.probe",
        "format_version": 1,
        "fingerprint": probe.fingerprint,
        "source": plain(probe.source),
        "spectrum_source": plain(spectrum.source or {}),
    }
    columns = {f"spectrum_{name}": np.asarray(getattr(spectrum, name)) for name in _COLUMNS}
    if spectrum.noise_variance is not None:
        header |= {"format_version": PROBE_FORMAT, **noise_field(anisotropic(spectrum.noise))}
        columns["spectrum_noise_variance"] = np.asarray(spectrum.noise_variance)
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
        found = _probe_from(arrays, header, path) if is_probe else _spectrum_from(arrays, header)
        fingerprint = header["fingerprint"]
    except (KeyError, TypeError, AttributeError) as error:
        name = "probe" if is_probe else "spectrum"
        raise ValueError(f"{path} lacks a field of a {name} file: {error}") from error
    if found.fingerprint != fingerprint:
        raise ValueError(f"{path} is corrupted: its fingerprint does not match its numbers")
    return found


def _probe_from(arrays: dict[str, np.ndarray], header: Mapping[str, Any], path: Any) -> Probe:
    columns: dict[str, Any] = {name: arrays[f"spectrum_{name}"] for name in _COLUMNS}
    columns["noise_variance"] = arrays.get("spectrum_noise_variance")
    columns["noise"] = noise_in(header, path)
    values = {name: arrays[name] for name in ("logsnr", *MEASURED)}
    errors = {name: arrays[f"standard_error_{name}"] for name in MEASURED}
    spectrum = Spectrum(**columns, source=header["spectrum_source"])
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
