"""Compiled functions of a denoiser, kept as long as the denoiser lives and no longer.

A denoiser is a pytree: its arrays are arguments of what is compiled, so that one program serves all
values of them; its other leaves (a closure is one) are referred to weakly, by identity. What is
compiled cannot stand in a ``jax.jit`` of a module with the denoiser as a static argument: such a
cache is global, and would hold the denoiser and the arrays it closes over for ever. Each
:class:`Program` has jitted functions of its own, and it is dropped with the first of its leaves.
"""

from __future__ import annotations

import functools
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from specjax.noise.noise_spectrum import NoiseSpectrum, colored
from specjax.sampling.conditions import telling
from specjax.sampling.sample import call_row, scan_rows
from specjax.sampling.step import Row

_MOST_PROGRAMS = 64
_PROGRAMS: OrderedDict[Any, Program] = OrderedDict()
"""The latest, by structure and leaves."""


def drawn(
    keys: jax.Array, index: Any, shape: tuple[int, ...], dtype: Any, noise: NoiseSpectrum | None
) -> jax.Array:
    """Noise [m, *shape] of one time: index 0 is the start, k + 1 the row k."""

    def of_sample(key: jax.Array) -> jax.Array:
        return jax.random.normal(jax.random.fold_in(key, index), shape, dtype)

    return colored(noise, jax.vmap(of_sample)(keys))


class Program:
    """The compiled functions of one value: a denoiser, or a pytree that holds one."""

    def __init__(self, rebuilt: Callable[[list[Any]], Any], watches: Sequence[Any] = ()) -> None:
        self._rebuilt, self._watches = rebuilt, watches
        self._compiled: dict[Callable[..., Any], Callable[..., Any]] = {}

    def compiled(self, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        """Compile ``function(value, *args)`` into a function of ``(arrays, *args)``.

        Args:
          function: one of a module, which is compiled once for this value and each shape.
          options: those of ``jax.jit``; static arguments by name.
        """
        if function not in self._compiled:
            rebuilt = self._rebuilt  # not self, which would then end with the next collection only

            @functools.wraps(function)
            def of_arrays(arrays: list[Any], *args: Any, **named: Any) -> Any:
                return function(rebuilt(arrays), *args, **named)

            self._compiled[function] = jax.jit(of_arrays, **options)
        return self._compiled[function]

    @property
    def one_row(self) -> Callable[..., jax.Array]:
        """:func:`one_row` with arrays in place of the denoiser."""
        return self.compiled(one_row, static_argnames="stochastic", donate_argnames="r")

    @property
    def all_rows(self) -> Callable[..., jax.Array]:
        """:func:`all_rows` with arrays in place of the denoiser."""
        return self.compiled(all_rows, static_argnames="stochastic", donate_argnames="r")


def one_row(
    denoise: Callable[..., Any], conditions: Any, r: jax.Array, row: Row, keys: jax.Array, k: Any,
    noise: NoiseSpectrum | None, stochastic: bool, weight: Any = None,
) -> jax.Array:  # fmt: skip
    """Make call k of a plan, with a weight of guidance, of a batch of seeded samples."""
    z = drawn(keys, k + 1, r.shape[2:], r.dtype, noise) if stochastic else None
    return call_row(telling(denoise, conditions), r, row, z, weight)


def all_rows(
    denoise: Callable[..., Any], conditions: Any, r: jax.Array, rows: Row, keys: jax.Array,
    first: Any, noise: NoiseSpectrum | None, stochastic: bool, weights: Any = None,
) -> jax.Array:  # fmt: skip
    """Make calls of a plan from the ``first`` on as one scan, of a batch of seeded samples."""

    def of_row(k: jax.Array) -> jax.Array:
        return drawn(keys, first + k + 1, r.shape[2:], r.dtype, noise)

    told = telling(denoise, conditions)
    return scan_rows(told, r, rows, of_row if stochastic else None, weights)


def program_of(value: Any) -> tuple[Program, list[Any]]:
    """Return the program of a denoiser (or of a pytree that holds one), and its arrays.

    A value whose structure has no hash counts as one leaf, and its arrays as constants.
    """
    leaves, structure = jax.tree.flatten(value)
    try:
        hash(structure)
    except TypeError:
        leaves, structure = [value], jax.tree.structure(0)
    references = [None if isinstance(x, _ARRAYS) else _reference(x) for x in leaves]
    arrays = [x for x in leaves if isinstance(x, _ARRAYS)]

    def rebuilt(arrays: list[Any]) -> Any:
        left = iter(arrays)
        parts = [next(left) if refer is None else refer() for refer in references]
        return jax.tree.unflatten(structure, parts)

    weak = [x for x, refer in zip(leaves, references, strict=True) if isinstance(refer, _WEAK)]
    key = (
        structure,
        tuple(id(refer()) if isinstance(refer, _WEAK) else refer for refer in references),
    )
    try:
        found = _PROGRAMS.pop(key, None)
    except TypeError:  # a leaf has neither a hash nor a weak reference
        return Program(rebuilt), arrays
    if found is None:
        # The program holds what drops it, so that neither outlives the other.
        found = Program(rebuilt, [weakref.ref(x, lambda _: _PROGRAMS.pop(key, None)) for x in weak])
    _PROGRAMS[key] = found
    if len(_PROGRAMS) > _MOST_PROGRAMS:
        _PROGRAMS.popitem(last=False)
    return found, arrays


_ARRAYS, _WEAK = (jax.Array, np.ndarray), weakref.ref


class _Constant(NamedTuple):
    """A leaf that cannot be referred to weakly, such as a number; 1 is not the same as True."""

    kind: type
    leaf: Any

    def __call__(self) -> Any:
        return self.leaf


def _reference(leaf: Any) -> Any:
    """Refer to a leaf, weakly where that can be; called, it gives the leaf."""
    try:
        return weakref.ref(leaf)
    except TypeError:
        return _Constant(type(leaf), leaf)
