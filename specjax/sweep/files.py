"""Sweep files: TOML, one key for each axis of a :class:`Sweep`, and the data by name.

::

    spectra = ["digits", "cifar10.npz", { data = "tfds:mnist", method = "shift-invariant" },
               { power_law = [1.0, 1.5, 2.0], dimension = 1024 }]
    steps = [5, 10, 20]
    samplers = ["ddpm", { name = "ddim", eta = [0.0, 0.5] }]
    noises = ["isotropic", { family = "power-law", exponent = [-0.1, -0.06] }, "kept.json"]
    losses = ["w2", "kl"]
    floor = 1e-6
    denoiser_error = 0.1
    grid = "sd"

``floor`` and ``denoiser_error`` are of all spectra; one that has its own in its table has that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from specjax import data, files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.interop.on_grid import read_grid
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.spectra.spectrum import Spectrum
from specjax.sweep.axes import Sweep

_READING = [field.name for field in fields(data.Options)]
_ESTIMATING = ["method", "shrinkage", "spatial", "rank"]
_OF_ALL_OR_ONE = ("floor", "denoiser_error")


def read_sweep(
    path: str | os.PathLike[str],
    note: Callable[[str], None] | None = None,
    **options: Any,
) -> Sweep:
    """Read a sweep from a file; relative names in it are relative to the file.

    ``options`` are keywords of :class:`Sweep` that go before those of the file.

    Raises:
      UserError: for a file that is missing or no TOML, an unknown key (with the nearest valid
        one), data that cannot be read, and all that :class:`Sweep` refuses.
    """
    path = Path(path)
    document = files.read_toml(path)
    with files.naming(path):
        return _sweep_of({**document, **options}, path, note)


def _sweep_of(document: dict[str, Any], path: Path, note: Callable[[str], None] | None) -> Sweep:
    axes = [field.name for field in fields(Sweep)]
    for key in document:
        checks.one_of("key", key, [*axes, *_OF_ALL_OR_ONE])
    for key in ("spectra", "steps"):
        if key not in document:
            raise UserError(f"it has no {key}: a sweep needs spectra and steps")
    of_all = {key: document.pop(key) for key in _OF_ALL_OR_ONE if key in document}
    if not isinstance(document["spectra"], list):
        raise UserError(f"spectra = {document['spectra']!r}: give a list")
    if isinstance(document.get("noises"), list):
        document["noises"] = [_noise(one, path.parent) for one in document["noises"]]
    if str(document.get("grid", "")).endswith(".json"):
        document["grid"] = read_grid(_located(document["grid"], path.parent))
    spectra: dict[str, Spectrum] = {}
    errors: dict[str, float] = {}
    for entry in document.pop("spectra"):
        table = {"data": entry} if isinstance(entry, str) else entry
        if not isinstance(table, Mapping) or ("data" in table) == ("power_law" in table):
            raise UserError(
                f"spectra has {entry!r}: give a name of data, or a table with data or power_law"
            )
        table = {**of_all, **table}
        erring: Any = table.pop("denoiser_error", 0.0)
        for name, spectrum in _spectra(table, path.parent, note):
            if name in spectra:
                raise UserError(f"spectra has {name!r} twice: give one of them a name")
            spectra[name], errors[name] = spectrum, erring
    return Sweep(spectra, denoiser_error=errors, **document)


def _noise(entry: Any, folder: Path) -> Any:
    """Load an entry of noises whose name ends in .json; leave the others as they are."""
    if not (isinstance(entry, str) and entry.endswith(".json")):
        return entry
    noise = files.load(_located(entry, folder))
    if not isinstance(noise, NoiseSpectrum):
        raise UserError(f"noises has {entry!r}, which is no noise file: give one by specjax.save")
    return noise


def _spectra(
    table: dict[str, Any], folder: Path, note: Callable[[str], None] | None
) -> Iterator[tuple[str, Spectrum]]:
    """Read the names and spectra of a table of the file."""
    if "power_law" in table:
        yield from _power_laws(table)
        return
    for key in table:
        checks.one_of("spectra: key", key, ["data", "name", "floor", *_READING, *_ESTIMATING])
    given = str(table.pop("data"))
    name = str(table.pop("name", given))
    if note:
        note(name)
    yield name, _spectrum(_located(given, folder), **table)


def _power_laws(table: dict[str, Any]) -> Iterator[tuple[str, Spectrum]]:
    exponents = table.pop("power_law")
    for key in table:
        checks.one_of("power_law: key", key, ["dimension", "scale", "floor"])
    floor = table.get("floor")
    for exponent in exponents if isinstance(exponents, list) else [exponents]:
        if isinstance(exponent, bool) or not isinstance(exponent, int | float):
            raise UserError(f"power_law = {exponents!r}: give exponents, such as [1.0, 2.0]")
        law = Spectrum.power_law(table.get("dimension", 1000), exponent, table.get("scale", 1.0))
        yield f"power law {exponent}", law if floor is None else law.floor(floor)


def _located(given: str, folder: Path) -> str:
    """Return the path of a file beside the sweep file, where there is one of that name."""
    if given in data.BUILTIN:
        return given
    beside = folder / given
    return str(beside) if not given.startswith("tfds:") and beside.exists() else given


def _spectrum(given: str, *, floor: float | None = None, **options: Any) -> Spectrum:
    """Load a spectrum file, or estimate from data; options as in ``data.open``, ``spectrum``."""
    path = Path(given)
    if files.is_spectrum(path):
        found = files.load(path)
        assert isinstance(found, Spectrum)
        if options:
            raise UserError(f"{given} is a spectrum file: {next(iter(options))} does not apply")
    else:
        estimating = {k: options.pop(k) for k in _ESTIMATING if k in options}
        reading: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in options.items()
        }
        found = data.open(given, **reading).spectrum(**estimating)
    return found if floor is None else found.floor(floor)
