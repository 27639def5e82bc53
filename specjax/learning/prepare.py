"""From a prior to the two judges of a learning: one to learn by, one held out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax import files
from specjax._core import checks
from specjax._core.arrays import Array
from specjax.gaussian.task import GaussianTask
from specjax.learning.energy_distance import mean_pairwise_distance
from specjax.learning.judge import Judge, check_objective, keys_of
from specjax.learning.teacher import Teaching, fine
from specjax.noise.noise_spectrum import NoiseSpectrum, check_noise, colored
from specjax.noise.whitening import effective
from specjax.priors import Colored, Gaussian, Network
from specjax.priors.prior import Prior, as_denoiser, prior_noise
from specjax.sampling.programs import Shell, split
from specjax.schedules.schedule import check_process
from specjax.spectra.spectrum import Spectrum

if TYPE_CHECKING:
    from jax.sharding import Mesh

LEARNT, HELD_OUT = "learned on", "held out"

NOISES = {"network": 256}
"""Noises that a plan is learned on, where they are not 512."""

TRANSFER_SHARE = 0.1
"""The weight of the transfer loss beside the distance to an exact denoiser's teacher. It costs
nothing on such denoisers, and a plan learned on them alone does not carry over to a network: on the
digits, 5 calls, the Frechet distance is 0.389 without it, 0.188 with it, 0.292 by the best
heuristic (experiments/learned_plans)."""

_LINEAR, _EXACT = ("gaussian", "probed"), ("scale_mixture", "mixture", "empirical")


class Request(NamedTuple):
    """How a prior is to be judged; see :func:`specjax.learning.learn` for the fields."""

    objective: tuple[tuple[str, float], ...]
    loss: str
    n: int
    batch: int | None
    mesh: Mesh | None
    data: np.ndarray | None
    teaching: Teaching
    seed: int


def request_of(
    prior: Prior,
    stochastic: bool,
    *,
    objective: Mapping[str, float] | None = None,
    loss: str = "w2",
    data: Any = None,
    process: str = "vp",
    alpha_bar_range: tuple[float, float] = checks.DEFAULT_ALPHA_BAR_RANGE,
    n: int | None = None,
    batch: int | None = None,
    mesh: Mesh | None = None,
    teacher_tolerance: float = 0.01,
    cache: str | Path | None = None,
    seed: int = 0,
) -> Request:
    """What is asked for, checked; what is not, as it suits the rung and plans with noise."""
    found = Request(
        objective=(),
        loss=loss,
        n=_noises(NOISES.get(prior.kind, 512) if n is None else n, batch, mesh),
        batch=batch,
        mesh=mesh,
        data=None if data is None else np.asarray(data),
        teaching=Teaching(
            check_process(process),
            checks.alpha_bar_range(alpha_bar_range),
            checks.positive("teacher_tolerance", teacher_tolerance),
            None if cache is None else _folder(cache),
        ),
        seed=checks.seed(seed),
    )
    return found._replace(objective=objective_of(objective, prior, stochastic))


def objective_of(
    given: Mapping[str, float] | None, prior: Prior, stochastic: bool
) -> tuple[tuple[str, float], ...]:
    """The weights of the terms: those given, or what suits the rung and plans with noise."""
    given = _default(prior, stochastic) if given is None else given
    if stochastic and "teacher" in given:
        raise ValueError(
            "objective 'teacher' compares samples of the same noise: for a sampler with noise take "
            "'transfer' or 'energy'"
        )
    return check_objective(given)


def _default(prior: Prior, stochastic: bool) -> dict[str, float]:
    if prior.kind in _LINEAR:
        return {"transfer": 1.0}
    if stochastic:
        return {"energy": 1.0}
    if prior.kind in _EXACT and prior.spectrum is not None:
        return {"teacher": 1.0, "transfer": TRANSFER_SHARE}
    return {"teacher": 1.0}


def _noises(n: int, batch: int | None, mesh: Mesh | None) -> int:
    """The number of noises, if it can be cut into batches and over devices."""
    n = checks.whole_number("n", n, 2)
    if batch is not None and n % checks.whole_number("batch", batch):
        raise ValueError(f"n = {n} is no multiple of batch = {batch}: give one")
    ways = 1 if mesh is None else mesh.shape[mesh.axis_names[0]]
    if (batch or n) % ways:
        raise ValueError(f"{batch or n} noises at once do not divide over {ways} devices")
    return n


def _folder(cache: str | Path) -> Path:
    """The folder of the cache, if files can be written there."""
    files.check_folder(Path(cache) / "teacher.npz")
    return Path(cache)


class Bench(NamedTuple):
    """What a plan is learned on, and what decides; ``facts`` of the teachers."""

    learnt: Judge
    held_out: Judge
    facts: dict[str, Any]

    @property
    def exact(self) -> bool:
        """Whether all is in closed form, in float64."""
        return dict(self.learnt.weights).keys() == {"transfer"}

    @property
    def dtype(self) -> Any:
        """Of parameters and levels."""
        return np.float64 if self.exact else np.float32

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """What to compute in: float64 where all is in closed form."""
        return jax.enable_x64(True) if self.exact else contextlib.nullcontext()


def prior_from(given: Any, noise: NoiseSpectrum | None = None) -> Prior:
    """A prior, or what one can be made of: a spectrum, or a trained network's run.

    Args:
      noise: of the forward process. A spectrum of data is put under it; what has a noise of its
        own must have the same, or None is given.

    Raises:
      ValueError: for anything else, for what was made for another noise, and for a spectrum with
        a denoiser's error.
    """
    if isinstance(given, Spectrum) and given.noise is None:
        given = effective(given, noise)
    found = _colored(_prior_from(given))
    if noise is not None:
        check_noise(prior_noise(found), noise, what="the prior", where="noise")
    return found


def _colored(prior: Prior) -> Prior:
    """A Gaussian that works in whitened coefficients as one in the data's own space."""
    noise = prior.spectrum.noise if isinstance(prior, Gaussian) else None
    return prior if noise is None else Colored(prior, noise)


def _prior_from(given: Any) -> Prior:
    if isinstance(given, Spectrum):
        return Gaussian(given)
    if all(hasattr(given, name) for name in ("kind", "shape", "fingerprint", "held_out")):
        return given
    if all(hasattr(given, name) for name in ("denoiser", "shape", "spectrum")):
        noise = getattr(given, "noise", None)
        spectrum = given.spectrum if noise is None else given.effective
        return Network(given.denoiser(), given.shape, spectrum, source=given.source, noise=noise)
    raise ValueError(
        f"prior of type {type(given).__name__}: give a spectrum, a prior of specjax.priors (a "
        "denoiser of yours as priors.Network(denoise, shape)) or a run by specjax.nn.open_run"
    )


def bench_of(prior: Prior, request: Request, progress: Callable[[str], Any] | None) -> Bench:
    """Both judges, with fine solutions where the objective asks for them.

    Raises:
      ValueError: if a term cannot be computed, or the teacher has not converged.
    """
    aside = prior.held_out or prior
    if "transfer" in dict(request.objective):
        for one in (prior, aside):
            _check_transfer(one, request.loss)
    data = _halves(request, prior, aside)
    facts: dict[str, Any] = {}
    return Bench(
        learnt=_judge(prior, request, LEARNT, data[0], facts, progress),
        held_out=_judge(aside, request, HELD_OUT, data[1], facts, progress),
        facts=facts,
    )


def _check_transfer(prior: Prior, loss: str) -> None:
    if prior.spectrum is None:
        raise ValueError("objective 'transfer' needs the spectrum of the data: the prior has none")
    _task(prior, loss)


def _halves(
    request: Request, prior: Prior, aside: Prior
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Data to learn on and data held out, each in the coordinates of its prior."""
    if request.data is None or "energy" not in dict(request.objective):
        return None, None
    if len(request.data) < 4:
        raise ValueError(
            f"data has {len(request.data)} samples: an energy distance needs at least 4"
        )
    order = np.random.default_rng(request.seed).permutation(len(request.data))
    half = len(order) // 2
    chosen = ((prior, order[:half]), (aside, order[half:]))
    learnt, held_out = (_projected(one, request.data[rows]) for one, rows in chosen)
    return learnt, held_out


def _projected(prior: Prior, data: np.ndarray) -> np.ndarray:
    """Samples [n, *shape] in a prior's coordinates."""
    try:
        own = np.asarray(prior.project(data), np.float32)
    except (TypeError, ValueError):  # of a basis, for another number of pixels
        own = None
    if own is None or own.shape[1:] != prior.shape:
        raise ValueError(
            f"data has samples of shape {data.shape[1:]}, which is not what the prior is of: give "
            "samples in the data's own space"
        )
    if not np.isfinite(own).all():
        raise ValueError("data has NaN or infinite values: leave these samples out")
    return own


def _judge(
    prior: Prior, request: Request, name: str, data: Array | None, facts: dict[str, Any],
    progress: Callable[[str], Any] | None,
) -> Judge:  # fmt: skip
    names = dict(request.objective)
    samples = bool({"teacher", "energy"} & set(names))
    shell, arrays = _split(prior) if samples else (None, [])
    place = _placed(request.mesh)
    judge = Judge(
        arrays=[place(x, whole=True) for x in arrays],
        noise=place(_noise(prior, request, name) if samples else np.zeros((0, 1), np.float32)),
        keys=place(keys_of(_seed(request, name, 1), request.n if samples else 0)),
        target=None,
        data=None,
        data_spread=None,
        modes=_task(prior, request.loss).nodes if "transfer" in names else None,
        shell=shell,  # type: ignore[arg-type]
        weights=request.objective,
        loss=request.loss,
        batch=request.batch,
        by_calls=prior.kind == "network" and jax.default_backend() == "cpu",
        forward=jax.tree.map(lambda x: place(x, True), prior_noise(prior)) if samples else None,
    )

    def solved(by: Judge, what: str) -> np.ndarray:
        update = progress(f"fine solutions, {what}") if progress else None
        found = fine(prior, by, request.teaching, update)
        facts[what] = {"steps": found.steps, "change": found.change}
        return found.samples

    if "teacher" in names:
        judge = replace(judge, target=place(solved(judge, name)))
    if "energy" in names:
        if data is None:
            other = replace(judge, noise=place(_noise(prior, request, f"other {name}")))
            data = solved(other, f"{name}, other noise")
        placed = place(data, whole=True)
        judge = replace(judge, data=placed, data_spread=mean_pairwise_distance(placed))
    return judge


def _split(prior: Prior) -> tuple[Shell, list[Any]]:
    """What is static of a prior, and its arrays; as a whole static where a part has no hash."""
    prior = as_denoiser(prior)
    shell, arrays = split(prior)
    try:
        hash(shell)
    except TypeError:
        return split(prior.__call__)
    return shell, arrays


def _seed(request: Request, name: str, what: int) -> int:
    stream = 2 * (name.startswith("other")) + (name.endswith(HELD_OUT))
    return int(np.random.SeedSequence((request.seed, stream, what)).generate_state(1)[0])


def _noise(prior: Prior, request: Request, name: str) -> jax.Array:
    key = jax.random.key(np.uint32(_seed(request, name, 0)))
    white = jax.random.normal(key, (request.n, *prior.shape), jnp.float32)
    return colored(prior_noise(prior), white)


def _task(prior: Prior, loss: str) -> GaussianTask:
    assert prior.spectrum is not None
    inner = prior.inner if isinstance(prior, Colored) else prior
    return GaussianTask.resolve(
        prior.spectrum, loss=loss, denoiser=getattr(inner, "response", None)
    )


def _placed(mesh: Mesh | None) -> Callable[..., Any]:
    """Puts an array on the devices, cut along its first axis or whole."""
    from jax.sharding import NamedSharding, PartitionSpec

    def place(x: Any, whole: bool = False) -> Any:
        if mesh is None:
            return jnp.asarray(x) if isinstance(x, np.ndarray) else x
        if whole and isinstance(x, jax.Array) and x.sharding.device_set == set(mesh.devices.flat):
            return x  # a network that is there already, cut as its owner likes it
        spec = PartitionSpec() if whole else PartitionSpec(mesh.axis_names[0])
        return jax.device_put(x, NamedSharding(mesh, spec))

    return place
