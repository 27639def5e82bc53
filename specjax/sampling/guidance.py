"""Guidance: a denoiser made of two, ``d = d_u + w (d_c - d_u)``.

Classifier-free guidance (2207.12598): ``d_c`` is told a condition, ``d_u`` is not. The weight w may
differ from call to call: those of a plan are :attr:`specjax.SamplerPlan.guidance`. Where w is known
and 1 or 0, one of the two answers is not asked for; so a guided call counts two calls of the
network, any other one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from specjax._core.arrays import Array, concrete, namespace, value
from specjax._core.checks import UserError
from specjax._core.shown import Brief
from specjax.sampling.black_box import BlackBox
from specjax.sampling.step import SamplerPlan


def guided(
    conditional: Callable[..., Array],
    unconditional: Callable[..., Array] | None = None,
    weight: Any = 1.0,
    *,
    null: Any = None,
    interval: tuple[float, float] | None = None,
) -> Guided:
    """Make a denoiser of two: ``d_u + weight (d_c - d_u)``.

    Classifier-free guidance (2207.12598). A weight of 1 is the conditional denoiser alone, and of 0
    the unconditional one: then the other one is not called.

    Args:
      conditional: ``(x, alpha, sigma, *conditions) -> d_c``; a :class:`specjax.BlackBox`, too.
      unconditional: ``(x, alpha, sigma) -> d_u``, which is told no conditions. By default the
        conditional one, told ``null`` in their place.
      weight: w, one number, or one for each of the S calls of a plan. The weights of a plan
        (:attr:`specjax.SamplerPlan.guidance`) go before it and the interval.
      null: a label, or a tree of arrays, that every sample is told in place of its conditions.
      interval: (low, high) in sigma / alpha, outside of which w is 1 (2404.07724).

    Returns:
      A denoiser ``(x, alpha, sigma, *conditions, weight=None) -> x0``; a pytree if both are.

    Raises:
      UserError: for what is no function, neither or both of ``unconditional`` and ``null``, weights
        that are not finite, an interval that is none.

    Example:
      >>> cat, any_animal = sx.wiener(sx.Spectrum([1.0], [2.0])), sx.wiener(sx.Spectrum([4.0]))
      >>> denoise = guided(cat, any_animal, 2.0)
      >>> float(denoise(np.zeros(1), 1.0, 1.0)[0])  # 0 + 2 (1 - 0)
      2.0
    """
    for name, given in (("conditional", conditional), ("unconditional", unconditional)):
        if not callable(given) and (given is not None or name == "conditional"):
            raise UserError(f"{name} = {given!r}: give a denoiser (x, alpha, sigma) -> x0")
    if (unconditional is None) == (null is None):
        raise UserError(
            "unconditional and null: give one, another denoiser or what this one is told in place "
            "of conditions"
        )
    if interval is not None:
        interval = _checked_interval(interval)
    null = jax.tree.map(lambda x: x if isinstance(x, jax.Array) else np.asarray(x), null)
    return Guided(conditional, unconditional, checked_weights(weight), null, interval)


@value(data=["conditional", "unconditional", "weight", "null"], static=["interval"])
@dataclass(frozen=True, eq=False, repr=False)
class Guided(Brief):
    """A guided denoiser, see :func:`guided`; a pytree if the two denoisers are.

    Attributes:
      conditional: ``(x, alpha, sigma, *conditions) -> d_c``.
      unconditional: ``(x, alpha, sigma) -> d_u``; None is the conditional one, told ``null``.
      weight: [] or [S].
      null: a tree of arrays, or None.
      interval: (low, high) in sigma / alpha, or None.
    """

    conditional: Callable[..., Array]
    unconditional: Callable[..., Array] | None
    weight: Array
    null: Any = None
    interval: tuple[float, float] | None = None

    @property
    def without_conditions(self) -> Unconditional:
        """The denoiser of d_u."""
        return Unconditional(self.unconditional or self.conditional, self.null)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, of a black box or a prior among the two.

        Raises:
          AttributeError: where neither says it.
        """
        part: Any
        for part in (self.conditional, self.unconditional):
            if isinstance(part, BlackBox) or hasattr(part, "held_out"):
                return tuple(part.shape)
        raise AttributeError("shape: neither denoiser says that of a sample")

    def weights_at(self, alpha: Array | float, sigma: Array | float) -> Array:
        """Return its own weights at levels [] or [S]: 1 outside of the interval.

        Raises:
          UserError: for another number of weights than levels.
        """
        weight, xp = self.weight, namespace(self.weight, alpha, sigma)
        if np.ndim(weight) and np.shape(weight) != np.shape(alpha):
            raise UserError(
                f"weight has {np.shape(weight)[0]} numbers, {np.size(alpha)} calls are made: give "
                "one number, or one for each call of the plan"
            )
        inside = xp.ones(np.shape(alpha), bool)
        if self.interval is not None:
            low, high = self.interval
            inside = (sigma > low * alpha) & (True if high == np.inf else sigma <= high * alpha)
        return xp.where(inside, weight, 1.0)

    def __call__(
        self, x: Array, alpha: Array, sigma: Array, *conditions: Any, weight: Any = None
    ) -> Array:
        """Estimate ``d_u + w (d_c - d_u)`` of x [n, ...].

        Args:
          x: samples at one level.
          alpha: [].
          sigma: [].
          conditions: at most one tree of arrays [n, ...], for the conditional denoiser.
          weight: w []; by default its own at this level.
        """
        w = self.weights_at(alpha, sigma) if weight is None else weight
        known = concrete(w)
        if known is not None and known == 1:
            return self.conditional(x, alpha, sigma, *conditions)
        d_u = self.without_conditions(x, alpha, sigma)
        if known is not None and known == 0:
            return d_u
        d_c = self.conditional(x, alpha, sigma, *conditions)
        return d_u + namespace(d_u, d_c, w).asarray(w, d_u.dtype) * (d_c - d_u)


@value(data=["denoise", "null"])
@dataclass(frozen=True, eq=False, repr=False)
class Unconditional(Brief):
    """A denoiser that is told ``null`` (nothing where that is None) whatever the conditions are."""

    denoise: Callable[..., Array]
    null: Any

    def __call__(self, x: Array, alpha: Array, sigma: Array, *conditions: Any) -> Array:
        """Estimate ``E[x0 | x]`` of x [n, ...]."""
        if self.null is None:
            return self.denoise(x, alpha, sigma)
        rows = np.shape(x)[:1]
        told = jax.tree.map(
            lambda c: namespace(c).broadcast_to(c, (*rows, *np.shape(c))), self.null
        )
        return self.denoise(x, alpha, sigma, told)


def guided_in(denoise: Any) -> Guided | None:
    """Return the guided denoiser that a denoiser is or, as a pytree, has in it."""
    leaves = jax.tree.leaves(denoise, is_leaf=_is_guided)
    return next(filter(_is_guided, leaves), None)


def at_weight(denoise: Any, weight: Any) -> Any:
    """Return the denoiser of calls of one weight; the given one for None, or if it is not guided.

    Args:
      denoise: a guided denoiser, or a pytree with one in it.
      weight: []. Where it is known and 1 or 0, only one of the two is left.
    """
    known = None if weight is None else concrete(weight)

    def of(leaf: Any) -> Any:
        if not _is_guided(leaf):
            return leaf
        if known is not None and known in (0, 1):
            return leaf.conditional if known == 1 else leaf.without_conditions
        return replace(leaf, weight=weight, interval=None)

    if weight is None or guided_in(denoise) is None:
        return denoise
    return jax.tree.map(of, denoise, is_leaf=_is_guided)


def weights_of(plan: SamplerPlan, denoise: Any) -> Array | None:
    """Return the weights [K] of a plan's calls: the plan's, else the denoiser's own.

    None for a denoiser that is not guided.

    Raises:
      UserError: if a plan has weights and the denoiser is not guided, either has weights for
        another number of calls, or the plan's are not finite.
    """
    found = guided_in(denoise)
    if plan.guidance is None:
        return None if found is None else found.weights_at(plan.alpha, plan.sigma)
    if found is None:
        raise UserError(
            "guidance: the plan has a weight for each call, but the denoiser is not guided: make "
            "it so by specjax.guided(conditional, unconditional), or drop the weights by "
            "dataclasses.replace(plan, guidance=None)"
        )
    if np.shape(plan.guidance) != (plan.calls,):
        raise UserError(
            f"guidance has shape {np.shape(plan.guidance)}: give one weight for each of "
            f"{plan.calls} calls"
        )
    known = concrete(plan.guidance)
    if known is not None and not np.isfinite(known).all():
        raise UserError(f"guidance = {known.tolist()}: give finite numbers")
    return plan.guidance if known is None else known


def alike(denoise: Any, weights: Array | None) -> Iterator[tuple[slice, Any]]:
    """Yield consecutive calls that need the same parts of a denoiser, with these parts.

    One part serves all calls where weights [K] are traced, or None.
    """
    known = None if weights is None else concrete(weights)
    if known is None:
        yield slice(None), denoise
        return
    first = 0
    for kind, group in itertools.groupby(x if x in (0, 1) else None for x in known.tolist()):
        count = len(list(group))
        yield slice(first, first + count), at_weight(denoise, kind)
        first += count


def checked_weights(given: Any) -> Array:
    """Return weights [] or [S] as an array.

    Raises:
      UserError: for anything else, and numbers that are not finite.
    """
    if isinstance(given, jax.Array) and concrete(given) is None:
        return given
    try:
        found = np.asarray(given, np.float32)
    except (TypeError, ValueError):
        found = np.array(np.nan, np.float32)
    if found.ndim > 1 or not found.size or not np.isfinite(found).all():
        raise UserError(f"weight = {given!r}: give a finite number, or one for each call")
    return found


def _checked_interval(given: Any) -> tuple[float, float]:
    say = "(low, high) in sigma / alpha, with 0 <= low < high; high may be inf"
    try:
        low, high = (float(x) for x in given)
    except (TypeError, ValueError):
        raise UserError(f"interval = {given!r}: give {say}") from None
    if not 0 <= low < high:
        raise UserError(f"interval = {given!r}: give {say}")
    return low, high


def _is_guided(leaf: Any) -> bool:
    return isinstance(leaf, Guided)
