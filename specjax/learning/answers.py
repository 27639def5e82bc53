"""A denoiser as a function of NumPy arrays, in batches, counted.

Learning by least squares sees every denoiser so: a JAX function is compiled for one batch size and
serves any number of samples, calls and plans; a :class:`specjax.BlackBox` is called as it is. The
two of a guided denoiser are asked one by one, so that both answers are known, and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from specjax._core.checks import UserError
from specjax.sampling.black_box import BlackBox
from specjax.sampling.guidance import at_weight, guided_in
from specjax.sampling.programs import program_of

if TYPE_CHECKING:
    from jax.sharding import Mesh

_BATCH_OF_NETWORK, _BATCH = {"cpu": 32}, 128
_BEYOND = 1e6  # of a sample, in units of its level
_BATCH_ELSEWHERE = 256  # of a network on an accelerator


class Answers:
    """The answers ``(x [n, *shape], alpha, sigma[, conditions]) -> x0 [n, *shape]`` of a denoiser.

    Attributes:
      calls: how many samples were denoised so far, without those that fill a batch; of a guided
        denoiser once or twice each.
      may_call: asked before each batch; where it says no, :class:`OutOfCallsError` is raised.
      after_batch: called after each batch.
    """

    def __init__(
        self, denoise: Any, *, network: bool, batch: int | None = None, mesh: Mesh | None = None
    ) -> None:
        self.calls = 0
        self.may_call: Callable[[], bool] | None = None
        self.after_batch: Callable[[], None] | None = None
        self._boxes = [x for x in jax.tree.leaves(denoise) if isinstance(x, BlackBox)]
        self._denoise, self._mesh, self._guided = denoise, mesh, guided_in(denoise)
        self._of_weight = {w: at_weight(denoise, np.float32(w)) for w in (0, 1)}
        ways = 1 if mesh is None else mesh.shape[mesh.axis_names[0]]
        least = min((x.batch for x in self._boxes), default=_default_batch(network))
        self._size = ways * -(-(batch or least) // ways)

    @property
    def is_black_box(self) -> bool:
        """Tell whether the denoiser is one that JAX does not see."""
        return bool(self._boxes)

    @property
    def precision(self) -> float:
        """The unit roundoff of an answer's dtype."""
        return max((x.precision for x in self._boxes), default=float(np.finfo(np.float32).eps))

    def __call__(
        self, x: np.ndarray, alpha: float, sigma: float, conditions: Any,
        weight: float | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Return the estimates [n, *shape] of the clean data.

        Where samples are beyond all bounds, as along a step of learning that went too far, the
        denoiser is not asked, and the answers are NaN.

        Args:
          weight: of a guided denoiser; by default its own at this level.
        """
        if weight is None:
            if self._guided is None:
                return self._asked(self._denoise, x, alpha, sigma, conditions)
            weight = float(self._guided.weights_at(alpha, sigma))
        if self._guided is not None and weight in (0, 1):
            return self._asked(self._of_weight[int(weight)], x, alpha, sigma, conditions)
        return self.with_slope(x, alpha, sigma, conditions, weight)[0]

    def with_slope(
        self, x: np.ndarray, alpha: float, sigma: float, conditions: Any, weight: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the estimates of a guided denoiser and their derivatives in the weight.

        Raises:
          UserError: for a denoiser that is not guided.
        """
        if self._guided is None:
            raise UserError("guidance: the plan has weights, but the denoiser is not guided")
        d_u, d_c = (self._asked(self._of_weight[w], x, alpha, sigma, conditions) for w in (0, 1))
        slope = d_c - d_u
        return d_u + np.asarray(weight, slope.dtype) * slope, slope

    def _asked(
        self, denoise: Any, x: np.ndarray, alpha: float, sigma: float, conditions: Any
    ) -> np.ndarray:
        """Ask a denoiser, batch by batch."""
        if not np.abs(x).max(initial=0) < _BEYOND * np.hypot(alpha, sigma):
            return np.full_like(x, np.nan)
        found = np.empty_like(x)
        for part in range(0, len(x), self._size):
            if self.may_call is not None and not self.may_call():
                raise OutOfCallsError
            here = slice(part, part + self._size)
            of_batch = jax.tree.map(lambda c, here=here: c[here], conditions)
            found[here] = self._of_batch(denoise, x[here], alpha, sigma, of_batch)
            self.calls += len(x[here])
            if self.after_batch is not None:
                self.after_batch()
        return found

    def _of_batch(
        self, denoise: Any, x: np.ndarray, alpha: float, sigma: float, conditions: Any
    ) -> np.ndarray:
        more = () if conditions is None else (conditions,)
        if self._boxes:
            return np.asarray(denoise(x, alpha, sigma, *more))
        count = len(x)
        x, more = jax.tree.map(self._filled, (x, more))
        program, arrays = program_of(denoise)
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
