"""The public names of specjax by area, and what their docstrings leave out.

A name is public where ``specjax``, or one of its public modules, lists it in ``__all__``. Its area is
the package that defines it. Docstrings are read by Griffe, as the reference pages are.
"""

import importlib
import inspect
import itertools
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import griffe

import specjax

AREAS = {
    "spectra": "Spectra",
    "noise": "Noise with a spectrum",
    "schedules": "Schedules",
    "sampling": "Sampling",
    "gaussian": "Gaussian transfer",
    "fitting": "Fitting schedules",
    "learning": "Learning plans",
    "priors": "Priors",
    "data": "Data",
    "nn": "Networks",
    "evaluate": "Measures",
    "bench": "The bench",
    "restoration": "Restoration",
    "sweep": "Sweeps",
    "advise": "Advice and shift",
    "report": "Figures",
    "interop": "Other software",
    "files": "Files and errors",
}
"""The titles of the reference pages, in their order, by package of specjax."""

_ELSEWHERE = {"_core": "files"}
_MORE = (
    "specjax.gaussian.task.TaskOptions",
    "specjax.sampling.denoisers.Denoiser",
    "specjax.learning.settings.LearnOptions",
    "specjax.sampling.scaled.LevelSteps",
    "specjax.sampling.scaled.SamplerLike",
    "specjax.sampling.scaled.ScaledRows",
    "specjax.nn.run.RunInfo",
    "specjax.fitting.compare.ComparedSchedule",
    "specjax.learning.on_network.ScheduleDistance",
    "specjax.interop.diffusers.PipelineDenoiser",
    "specjax.interop.diffusers.PlanScheduler",
    "specjax.interop.diffusers.guidance_callback",
    "specjax.interop.diffusers.learn",
    "specjax.interop.k_diffusion.sample_plan",
    "specjax.interop.export.Export",
    "specjax.interop.export.ExportTarget",
    "specjax.interop.export.TARGETS",
)
"""What the public functions take or return, and what is imported by its module."""


class PublicName(NamedTuple):
    """A public name: how a user writes it, and where it is defined."""

    written: str
    path: str

    @property
    def area(self) -> str:
        """The package that it is documented with."""
        package = self.path.split(".")[1]
        return _ELSEWHERE.get(package, package)


def public_names() -> list[PublicName]:
    """List all public names, sorted as they are written."""
    found: dict[str, PublicName] = {}
    for name in _of_module(specjax, "specjax"):  # of several names its own comes first
        if name.path not in found or name.written.endswith(name.path.rpartition(".")[2]):
            found[name.path] = name
    for path in _MORE:
        found.setdefault(path, PublicName(path, path))
    return sorted(found.values(), key=lambda name: name.written.lower())


def _of_module(module: ModuleType, written: str) -> Iterator[PublicName]:
    names = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]  # fmt: skip
    for name in names:
        value = getattr(module, name)
        if isinstance(value, ModuleType):
            yield from _of_module(value, f"{written}.{name}")
        else:
            yield PublicName(f"{written}.{name}", _definition(module, name, value))


def _definition(module: ModuleType, name: str, value: Any) -> str:
    """Return the path at which a value is defined; of a constant, the module that assigns it."""
    if inspect.isclass(value) or inspect.isfunction(value):
        return f"{value.__module__}.{value.__qualname__}"
    package = module.__name__ if hasattr(module, "__path__") else module.__name__.rpartition(".")[0]
    for info in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        source = syntax_tree().modules_collection
        parts = info.name.split(".")
        node = source.get_member(parts)
        if name in node.members and not node.members[name].is_alias:
            return f"{info.name}.{name}"
    raise LookupError(f"where is {module.__name__}.{name} assigned?")


@cache
def syntax_tree() -> griffe.Module:
    """Read the sources of specjax with Griffe."""
    tree = griffe.load("specjax", docstring_parser="google", allow_inspection=False)
    assert isinstance(tree, griffe.Module)
    return tree


def undocumented() -> list[str]:
    """List public names without a docstring and public parameters without a description.

    A parameter is described by a line of its own in a section, by a docstring below a field, or, where
    there is no section of parameters, in the text, as ``name`` or as name [shape].
    """
    missing = []
    for name in public_names():
        node = syntax_tree()[name.path.removeprefix("specjax.")]
        missing += _undocumented_in(node)
        if node.is_class:
            for member in node.members.values():
                if member.is_function and not member.name.startswith("_"):
                    missing += _undocumented_in(member)
    return missing


def _undocumented_in(node: griffe.Object | griffe.Alias) -> list[str]:
    if node.docstring is None:
        return [f"{node.path}: no docstring"]
    if not (node.is_function or node.is_class):
        return []
    described = _described(node)
    text = "" if described and node.is_function else node.docstring.value
    parameters = [parameter.name.lstrip("*") for parameter in node.parameters]
    if node.is_class and not parameters:  # a named tuple or a typed dictionary
        parameters = [n for n, x in node.members.items() if x.is_attribute and x.annotation]
    wanted = [name for name in parameters if name not in ("self", "cls") and name[0] != "_"]
    left = [name for name in wanted if name not in described and not _named(name, text)]
    unknown = described - set(wanted) if node.is_function else set()
    return [f"{node.path}: {name}" for name in left] + [
        f"{node.path}: {name} is no parameter" for name in sorted(unknown)
    ]


def _described(node: griffe.Object | griffe.Alias) -> set[str]:
    """Return the names in the sections of a docstring, and for a class those of its fields and bases."""
    sections = node.docstring.parse("google", warnings=False) if node.docstring else []
    rows = [s.value for s in sections if s.kind.value in ("parameters", "attributes")]
    described = {row.name.lstrip("*") for row in itertools.chain(*rows)}
    if node.is_class:
        described |= {name for name, member in node.members.items() if member.docstring}
        described.update(*(_described(base) for base in node.mro()))
    return described


def _named(name: str, text: str) -> bool:
    return re.search(rf"``[^`\n]*\b{name}\b[^`\n]*``|\b{name} \[", text) is not None
