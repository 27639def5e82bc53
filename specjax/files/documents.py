"""JSON documents that carry their format, provenance and checksum: what all kinds of files share.

Strict JSON: +inf in a list of numbers is the text "inf", which ``float`` and NumPy read.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from specjax.schedules.schedule import NoiseSchedule

_PACKAGES = ("specjax", "jax", "jaxlib", "optax", "numpy")


def numbers(array: Any) -> list[float | str]:
    """A list for strict JSON: +inf as "inf", which ``numpy.array(..., float)`` reads back."""
    return ["inf" if np.isposinf(x) else float(x) for x in np.asarray(array, np.float64)]


def plain(value: Any) -> Any:
    """Mappings, sequences and NumPy's scalars and arrays as strict JSON."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def finite(value: Any) -> Any:
    """Numbers in mappings and lists as floats, None for those that are not finite: strict JSON."""
    if isinstance(value, Mapping):
        return {str(name): finite(x) for name, x in value.items()}
    if isinstance(value, list | tuple):
        return [finite(x) for x in value]
    return float(value) if np.isfinite(value) else None


def or_nan(value: float | None) -> float:
    """A number that :func:`finite` wrote."""
    return float("nan") if value is None else value


def versions() -> dict[str, str]:
    """Versions of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def levels_document(kind: str, format_version: int, schedule: NoiseSchedule) -> dict[str, Any]:
    """What a file of any kind says first: its format, the levels, when and by what it was made."""
    ends_clean = schedule.ends_clean
    return {
        "format": kind,
        "format_version": format_version,
        "steps": schedule.steps,
        "order": "noisy to clean",
        "terminal": "denoised estimate (sigma = 0)" if ends_clean else "last level (sigma > 0)",
        "logsnr": numbers(schedule.logsnr),
        "alpha_bar": numbers(schedule.alpha_bar),
        "sigmas": numbers(schedule.sigmas),
        **made_now(),
    }


def made_now() -> dict[str, Any]:
    """When and by what a file is made."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"created": now, "versions": versions()}


def checksum(document: Mapping[str, Any]) -> str:
    """SHA-256 of the content of a JSON document, apart from its own field ``checksum``."""
    content = {k: v for k, v in document.items() if k != "checksum"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def text_of(document: dict[str, Any]) -> bytes:
    """The bytes of a file: the document with its checksum."""
    whole = {**document, "checksum": checksum(document)}
    return (json.dumps(whole, indent=1, allow_nan=False) + "\n").encode()


def checked_document(content: bytes, path: Any, formats: Mapping[str, int]) -> dict[str, Any]:
    """The document in the bytes of a file.

    Args:
      path: named in errors. formats: the newest version that is known of each format.

    Raises:
      ValueError: if it is truncated, corrupted, newer, or of another format.
    """
    kinds = " or ".join(name.removeprefix("specjax.") for name in formats)
    try:
        document = json.loads(content)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not a {kinds} file, or is truncated: {error}; write it again by "
            "'specjax fit' or 'specjax learn'"
        ) from error
    kind = document.get("format") if isinstance(document, dict) else None
    if not isinstance(kind, str) or kind not in formats:
        raise ValueError(f"{path} is JSON but not a specjax {kinds} file (no 'format' in it)")
    check_version(path, document.get("format_version"), formats[kind])
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
