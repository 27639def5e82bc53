"""Compiled forms of a denoiser: one call and all calls of a plan, for a batch of seeded samples.

A form is compiled once per shape and kept as long as it can be used again: for callables by the
object, which is not kept alive, for pytrees by their structure, with their arrays as arguments.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from specjax.noise.noise_spectrum import NoiseSpectrum, colored
from specjax.sampling.sample import call_row, scan_rows
from specjax.sampling.step import Row


def drawn(
    keys: jax.Array, index: Any, shape: tuple[int, ...], dtype: Any, noise: NoiseSpectrum | None
) -> jax.Array:
    """Noise [m, *shape] of one time: index 0 is the start, k + 1 the row k."""

    def of_sample(key: jax.Array) -> jax.Array:
        return jax.random.normal(jax.random.fold_in(key, index), shape, dtype)

    return colored(noise, jax.vmap(of_sample)(keys))


class Program(NamedTuple):
    """The compiled forms of one denoiser; each compiles once per shape."""

    one_row: Callable[..., jax.Array]  # (arrays, labels, r, row, keys, k, noise, stochastic) -> r
    all_rows: Callable[..., jax.Array]  # (arrays, labels, r, rows, keys, noise, stochastic) -> r


def _program(denoiser_of: Callable[[list[Any]], Callable[..., Any]]) -> Program:
    def bound(arrays: list[Any], labels: Any) -> Callable[..., Any]:
        denoise = denoiser_of(arrays)
        if labels is None:
            return denoise
        return lambda x, alpha, sigma: denoise(x, alpha, sigma, labels)

    def one_row(
        arrays: list[Any], labels: Any, r: jax.Array, row: Row, keys: jax.Array, k: Any,
        noise: NoiseSpectrum | None, stochastic: bool,
    ) -> jax.Array:  # fmt: skip
        z = drawn(keys, k + 1, r.shape[2:], r.dtype, noise) if stochastic else None
        return call_row(bound(arrays, labels), r, row, z)

    def all_rows(
        arrays: list[Any], labels: Any, r: jax.Array, rows: Row, keys: jax.Array,
        noise: NoiseSpectrum | None, stochastic: bool,
    ) -> jax.Array:  # fmt: skip
        def of_row(k: jax.Array) -> jax.Array:
            return drawn(keys, k + 1, r.shape[2:], r.dtype, noise)

        return scan_rows(bound(arrays, labels), r, rows, of_row if stochastic else None)

    compiled = functools.partial(jax.jit, static_argnames="stochastic", donate_argnames="r")
    return Program(compiled(one_row), compiled(all_rows))


_PROGRAMS: weakref.WeakKeyDictionary[Any, Program] = weakref.WeakKeyDictionary()
"""Of callables without arrays of their own, as long as they live."""


class Shell(NamedTuple):
    """What is left of a denoiser without its arrays; hashable if the rest of it is."""

    structure: Any
    rest: tuple[Any, ...]  # (type, leaf), as 1, 1.0 and True are equal; None where an array is

    def __call__(self, arrays: list[Any]) -> Callable[..., Any]:
        """The denoiser with arrays in their places."""
        left = iter(arrays)
        leaves = [next(left) if kept is None else kept[1] for kept in self.rest]
        return jax.tree.unflatten(self.structure, leaves)


def split(denoise: Callable[..., Any]) -> tuple[Shell, list[Any]]:
    """The shell of a denoiser, and its arrays: arguments of what is compiled, no constants."""
    leaves, structure = jax.tree.flatten(denoise)
    given = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]
    rest = tuple(
        None if array else (type(leaf), leaf) for leaf, array in zip(leaves, given, strict=True)
    )
    return Shell(structure, rest), [x for x, array in zip(leaves, given, strict=True) if array]


def program_of(denoise: Callable[..., Any]) -> tuple[Program, list[Any]]:
    """The program of a denoiser, and the arrays that it takes."""
    shell, arrays = split(denoise)
    if not arrays:
        return _of_callable(denoise), []
    try:
        return _of_shell(shell), arrays
    except TypeError:  # something in it has no hash
        return _of_callable(denoise), []


_of_shell = functools.lru_cache(maxsize=32)(_program)
"""One program for all denoisers of a shell, whatever is in their arrays."""


def _of_callable(denoise: Callable[..., Any]) -> Program:
    """One for this object, which it does not keep alive (nor its constants, once it is gone)."""
    try:
        found = _PROGRAMS.get(denoise)
        if found is None:
            alive = weakref.ref(denoise)
            found = _PROGRAMS[denoise] = _program(lambda _: alive())  # type: ignore[arg-type, return-value]
        return found
    except TypeError:  # it has no hash, or cannot be referred to weakly
        return _program(lambda _: denoise)
