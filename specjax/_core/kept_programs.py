"""Compiled programs of the package that are kept between processes.

JAX's own cache keeps what XLA makes of a program; to find it there, the function must be traced and
lowered first, which takes longer than to load it. A :class:`specjax._core.programs.Program` is
known by less: by the package's files, the versions and the settings of JAX, the machine, and by the
arguments (what is static in them by its value, all others by shape and dtype). What holds functions
of other packages is not known, and not kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import pickle
import platform
import sys
import tempfile
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import FunctionType, MappingProxyType
from typing import Any, NamedTuple

import jax
import jaxlib
import numpy as np
from jax.experimental import serialize_executable

from specjax._core.cache import ProgramsFolder

_PACKAGE = Path(__file__).parents[1]
_PLAIN = {str, bytes, int, float, complex, bool, type(None)}
_READY: dict[Any, Callable[..., Any]] = {}


class UnknownError(ValueError):
    """A value that cannot be described in a way that another process would."""


class Call(NamedTuple):
    """A program and what it is called with.

    Attributes:
      key: what the program is in this process, hashable. static: what it is in others, see
        :func:`describe`.
      arguments: trees of arrays and numbers.
      compile_it: returns the program as ``jax.stages.Compiled``, compiled anew: XLA cannot write
        what it has read itself.
    """

    key: Any
    static: Any
    arguments: tuple[Any, ...]
    compile_it: Callable[[], Any]


def run(call: Call, folder: ProgramsFolder) -> Any:
    """Run a program that is known, kept in a folder, or compiled now; return NumPy's arrays.

    Raises:
      UnknownError: for what cannot be described.
    """
    leaves, tree = jax.tree.flatten(call.arguments)
    shapes = tuple((np.shape(x), str(getattr(x, "dtype", type(x).__name__))) for x in leaves)
    key = call.key, tree, shapes
    if key not in _READY:
        text = repr((describe(call.static), str(tree), shapes, _surroundings()))
        path = folder.path / f"{hashlib.sha256(text.encode()).hexdigest()}.program"
        with contextlib.suppress(Exception):  # absent, damaged, or of another version
            kept = _load(path)
            found = _run(kept, call)
            _READY[key] = kept
            return found
        _READY[key] = call.compile_it()
        _save(path, _READY[key], folder.max_bytes)
    return _run(_READY[key], call)


def _run(program: Any, call: Call) -> Any:
    return jax.tree.map(np.asarray, program(*call.arguments))


def describe(value: Any) -> Any:
    """Return what a value is, by names of the package's functions and by what they close over.

    Raises:
      UnknownError: for objects that are not made of numbers, words and functions of the package.
    """
    if type(value) in _PLAIN or isinstance(value, np.dtype):
        return repr(value)
    if type(value) in (tuple, list):
        return type(value).__name__, [describe(one) for one in value]
    if type(value) in (dict, MappingProxyType):
        return [(describe(one), describe(x)) for one, x in value.items()]
    # What is not plain may run code: that of the package is known, methods of others are not.
    module = getattr(value, "__module__", None) or ""
    if module.split(".")[0] != __name__.split(".")[0]:
        raise UnknownError(repr(value))
    if isinstance(value, Enum):
        return module, repr(value)
    if isinstance(value, tuple):
        return module, type(value).__qualname__, [describe(one) for one in value]
    if isinstance(value, FunctionType):
        cells = [one.cell_contents for one in value.__closure__ or ()]
        given = describe([cells, value.__defaults__, value.__kwdefaults__])
        return module, value.__qualname__, value.__code__.co_firstlineno, given
    if isinstance(value, type):
        return module, value.__qualname__
    if dataclasses.is_dataclass(value):
        fields = [getattr(value, one.name) for one in dataclasses.fields(value)]
        return module, type(value).__qualname__, describe(fields)
    raise UnknownError(repr(value))


@functools.cache
def _surroundings() -> str:
    """Describe the package's files, the versions, the machine, and JAX's settings but its cache."""
    files = sorted(
        (str(one.relative_to(_PACKAGE)), one.stat().st_size, one.stat().st_mtime_ns)
        for one in _PACKAGE.rglob("*.py")
    )
    settings = {
        name: str(x) for name, x in sorted(jax.config.values.items()) if "cache" not in name
    }
    versions = jax.__version__, jaxlib.__version__, np.__version__, sys.version
    return repr((files, versions, _machine(), os.environ.get("XLA_FLAGS"), settings))


def _machine() -> str:
    """Tell apart what programs run on: by the processor's features, where they can be read."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        known = [line for line in lines if line.lower().startswith(("flags", "features"))]
        if known:
            return known[0]
    return f"{platform.machine()} {platform.processor()} {platform.node()}"


def _load(path: Path) -> Any:
    """Load a program from the user's own folder; reading runs what is there, as in JAX's cache."""
    content, tree, out_tree = pickle.loads(path.read_bytes())
    here = jax.local_devices(backend="cpu")[:1]
    found = serialize_executable.deserialize_and_load(content, tree, out_tree, "cpu", here)
    os.utime(path)
    return found


def _save(path: Path, program: Any, max_bytes: int) -> None:
    """Keep a program; where it cannot be, it is compiled anew next time."""
    with contextlib.suppress(Exception):
        content = pickle.dumps(serialize_executable.serialize(program))
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            part = Path(folder, path.name)
            part.write_bytes(content)
            part.replace(path)
        _trim(path.parent, max_bytes)


def _trim(folder: Path, max_bytes: int) -> None:
    """Remove the programs that were not used for longest."""
    known = {one: one.stat() for one in folder.glob("*.program")}
    for one in sorted(known, key=lambda one: known[one].st_mtime, reverse=True):
        max_bytes -= known[one].st_size
        if max_bytes < 0:
            one.unlink(missing_ok=True)
