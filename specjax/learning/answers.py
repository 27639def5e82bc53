"""A denoiser as a function of NumPy arrays, in batches, counted.

Learning by least squares sees every denoiser so: a JAX function is compiled for one batch size and
serves any number of samples, calls and plans; a :class:`specjax.BlackBox` is called as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from specjax.sampling.black_box import BlackBox
from specjax.sampling.programs import program_of

if TYPE_CHECKING:
    from jax.sharding import Mesh

_BATCH_OF_NETWORK, _BATCH = {"cpu": 32}, 128
_BEYOND = 1e6  # of a sample, in units of its level
_BATCH_ELSEWHERE = 256  # of a network on an accelerator


class Answers:
    """The answers ``(x [n, *shape], alpha, sigma[, conditions]) -> x0 [n, *shape]`` of a denoiser.

    Attributes:
      calls: how many samples were denoised so far, without those that fill a batch.
      may_call: asked before each batch; where it says no, :class:`OutOfCallsError` is raised.
      after_batch: called after each batch.
    """

    def __init__(
        self, denoise: Any, *, network: bool, batch: int | None = None, mesh: Mesh | None = None
    ) -> None:
        self.calls = 0
        self.may_call: Callable[[], bool] | None = None
        self.after_batch: Callable[[], None] | None = None
        boxes = [x for x in jax.tree.leaves(denoise) if isinstance(x, BlackBox)]
        self._black_box = boxes[0] if boxes else None
        self._denoise, self._mesh = denoise, mesh
        ways = 1 if mesh is None else mesh.shape[mesh.axis_names[0]]
        size = batch or (boxes[0].batch if boxes else _default_batch(network))
        self._size = ways * -(-size // ways)

    @property
    def is_black_box(self) -> bool:
        """Tell whether the denoiser is one that JAX does not see."""
        return self._black_box is not None

    @property
    def precision(self) -> float:
        """The unit roundoff of an answer's dtype."""
        given = None if self._black_box is None else getattr(self._black_box, "precision", None)
        return float(np.finfo(np.float32).eps) if given is None else float(given)

    def __call__(self, x: np.ndarray, alpha: float, sigma: float, conditions: Any) -> np.ndarray:
        """Return the estimates [n, *shape] of the clean data.

        Where samples are beyond all bounds, as along a step of learning that went too far, the
        denoiser is not asked, and the answers are NaN.
        """
        if not np.abs(x).max(initial=0) < _BEYOND * np.hypot(alpha, sigma):
            return np.full_like(x, np.nan)
        found = np.empty_like(x)
        for part in range(0, len(x), self._size):
            if self.may_call is not None and not self.may_call():
                raise OutOfCallsError
            here = slice(part, part + self._size)
            of_batch = jax.tree.map(lambda c, here=here: c[here], conditions)
            found[here] = self._of_batch(x[here], alpha, sigma, of_batch)
            self.calls += len(x[here])
            if self.after_batch is not None:
                self.after_batch()
        return found

    def _of_batch(self, x: np.ndarray, alpha: float, sigma: float, conditions: Any) -> np.ndarray:
        more = () if conditions is None else (conditions,)
        if self._black_box is not None:
            return np.asarray(self._denoise(x, alpha, sigma, *more))
        count = len(x)
        x, more = jax.tree.map(self._filled, (x, more))
        program, arrays = program_of(self._denoise)
        level = np.float32(alpha), np.float32(sigma)
        return np.asarray(program.compiled(_answer)(arrays, x, *level, *more))[:count]

    def _filled(self, x: np.ndarray) -> Any:
        """Fill a batch up with its last sample, and put it on the devices."""
        x = np.asarray(x)
        if len(x) < self._size:
            x = np.concatenate([x, np.repeat(x[-1:], self._size - len(x), 0)])
        if self._mesh is None:
            return x
        from jax.sharding import NamedSharding, PartitionSpec

        spec = PartitionSpec(self._mesh.axis_names[0])
        return jax.device_put(x, NamedSharding(self._mesh, spec))


class OutOfCallsError(Exception):
    """Raised where a denoiser has been called as often as was allowed."""


def _default_batch(network: bool) -> int:
    return _BATCH_OF_NETWORK.get(jax.default_backend(), _BATCH_ELSEWHERE) if network else _BATCH


def _answer(denoise: Any, x: Any, alpha: Any, sigma: Any, *conditions: Any) -> Any:
    return denoise(x, alpha, sigma, *conditions)
