"""Learning a plan on one rung of the ladder of priors.

The objective is a weighted sum of logarithms of the terms of :mod:`specjax.learning.judge`. It is
minimised by BFGS over the parameters of :mod:`specjax.learning.form`, on noise that stays the
same, from the best heuristic plan or from one that was learned before. Other noise, and data that
were kept aside, decide which of the plans on the way is kept, and when to end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from specjax._core import checks
from specjax.fitting.bfgs import BFGS
from specjax.fitting.learned import PlanResult
from specjax.fitting.optax_method import with_optax
from specjax.learning.descend import Found, Progress, descend, plan_of, value_of
from specjax.learning.form import GROUPS, Form, forms_of, pack, unpack
from specjax.learning.heuristics import Heuristic, closed_form_for, heuristics
from specjax.learning.judge import terms_of
from specjax.learning.prepare import Bench, Request, bench_of, prior_from, request_of
from specjax.learning.teacher import check_answers
from specjax.learning.warm import parameters_after
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.priors.prior import prior_noise
from specjax.sampling.samplers import SAMPLERS, options_of
from specjax.sampling.scaled import SamplerLike
from specjax.schedules.schedule import NoiseSchedule, alpha_bar_to_logsnr

if TYPE_CHECKING:
    import optax
    from jax.sharding import Mesh

LEARNED = "learned"


class _Start(NamedTuple):
    """A plan to start from, with its held-out value."""

    name: str
    form: Form
    parameters: np.ndarray
    value: float


def learn(
    prior: Any,
    steps: int,
    *,
    sampler: str | SamplerLike | None = None,
    groups: Sequence[str] = GROUPS,
    memory: int | None = None,
    objective: Mapping[str, float] | None = None,
    loss: str = "w2",
    data: Any = None,
    noise: NoiseSpectrum | None = None,
    process: str = "vp",
    alpha_bar_range: tuple[float, float] = checks.DEFAULT_ALPHA_BAR_RANGE,
    start: PlanResult | Sequence[PlanResult] = (),
    n: int | None = None,
    batch: int | None = None,
    mesh: Mesh | None = None,
    optimizer: optax.GradientTransformation | None = None,
    max_iterations: int = 300,
    teacher_tolerance: float = 0.01,
    cache: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    teaching: Callable[[str], Callable[[int, int], None]] | None = None,
) -> PlanResult:
    """Learn the levels and the coefficients of a plan of S denoiser calls.

    Args:
      prior: what is known of the data: a :class:`Spectrum` (also one with a probed denoiser), a
        prior of :mod:`specjax.priors`, or a trained network (:func:`specjax.nn.open_run`).
      steps: S. sampler: whose plan it is in the beginning, along the best of all schedule
        families; None tries DDIM and DPM-Solver++(2M).
      groups: what is learned, of "levels", "ratios", "weights" and "noise". Levels alone, which any
        sampler has, are what :func:`fit` learns.
      memory: past estimates that a step leans on, up to 2; None is the sampler's own, or 1.
      objective: weights of "transfer", "teacher" and "energy", see :data:`TERMS`. By default the
        transfer loss for a Gaussian, the distance to the teacher for a network, with a tenth of the
        transfer loss for other priors of which there is a spectrum, and the energy distance for a
        sampler with noise. loss: of the transfer, a name in LOSSES.
      data: [N, *shape] for "energy", in the data's own space; half of them are held out.
      noise: of the forward process, under which a spectrum of data is put. A prior, a run, or a
        spectrum by :func:`specjax.effective` has its own; another is refused.
      process: "vp" or "ve". alpha_bar_range: the two ends (noisy, clean).
      start: plans learned before, of other steps or on another rung, to start from if they are
        better than all heuristics.
      n: noises learned on, and as many held out; 512, or 256 for a network. batch: noises in one
        call. mesh: of devices over which the noises are cut.
      optimizer: any optax transformation; BFGS by default. max_iterations: evaluations at most.
      teacher_tolerance: how much doubling the teacher's steps may change its solutions, as a part
        of their standard deviation. cache: a folder that keeps them.
      seed: of the noises. progress: see :data:`Progress`. teaching: given what is solved, returns
        what is called with the teacher's steps (done, of all).

    Returns:
      A :class:`PlanResult`, never worse on what is held out than the best heuristic.

    Raises:
      ValueError: for names and numbers out of bounds, another noise than the prior's, a teacher
        that does not converge, a denoiser whose answers are not finite at some level, an energy
        distance without a finite value.

    Example:
      >>> result = learn(sx.Spectrum.power_law(64, 2.0), 4)
      >>> result.value < min(result.baselines.values()) - 5  # a logarithm
      True
    """
    began = time.perf_counter()
    steps, prior = checks.whole_number("steps", steps), prior_from(prior, noise)
    ends = checks.alpha_bar_range(alpha_bar_range)
    forms = forms_of(steps, sampler, memory, groups, ends[1] == 1, process)
    samplers = tuple(form.sampler for form in forms.values())
    checks.whole_number("max_iterations", max_iterations)
    given = _plans(start)
    request = request_of(
        prior, any(form.stochastic for form in forms.values()), objective=objective, loss=loss,
        data=data, process=process, alpha_bar_range=ends, n=n, batch=batch, mesh=mesh,
        teacher_tolerance=teacher_tolerance, cache=cache, seed=seed,
    )  # fmt: skip
    bench = bench_of(prior, request, teaching)
    method = BFGS if optimizer is None else with_optax(optimizer)
    limits = alpha_bar_to_logsnr(ends)
    with bench.precision():
        closed = closed_form_for(dict(request.objective), request.loss)
        known = heuristics(prior, steps, samplers, ends, closed)
        baselines = _judged(known, bench, process, max(form.memory for form in forms.values()))
        name = _best(baselines, known, bench, process)
        fall_back = _from_heuristic(name, known[name], forms, baselines[name], bench)
        first = _first(fall_back, given, forms, bench, limits)
        found = descend(
            first.form, method, bench, first.parameters, limits, max_iterations, progress
        )
        kept = LEARNED
        moved = not np.array_equal(found.parameters, fall_back.parameters.astype(bench.dtype))
        if not (moved and found.held_out < fall_back.value):
            kept, first = fall_back.name, fall_back
            found = found._replace(parameters=fall_back.parameters, held_out=fall_back.value)
        return _result(
            first.form, found, bench, limits,
            process=process, prior=prior.kind, objective=dict(request.objective),
            loss=request.loss, kept=kept, alpha_bar_range=ends,
            baselines=baselines, source=_source(prior, request, bench), seed=seed, began=began,
            noise=prior_noise(prior),
        )  # fmt: skip


def _judged(
    known: Mapping[str, Heuristic], bench: Bench, process: str, memory: int
) -> dict[str, float]:
    """The held-out value of each heuristic plan."""
    return {
        name: float(bench.held_out.total(terms_of(bench.held_out, one.plan(process, memory))))
        for name, one in known.items()
    }


def _best(
    baselines: Mapping[str, float], known: Mapping[str, Heuristic], bench: Bench, process: str
) -> str:
    finite = {name: x for name, x in baselines.items() if math.isfinite(x)}
    for name in baselines.keys() - finite.keys():
        if not bench.exact:
            check_answers(bench.held_out, known[name].plan(process, 0))
    if not finite:
        raise ValueError(
            "no heuristic plan has a finite objective: try another one, or other ends "
            "(alpha_bar_range)"
        )
    return min(finite, key=finite.__getitem__)


def _plans(start: PlanResult | Sequence[PlanResult]) -> list[PlanResult]:
    given = [start] if isinstance(start, PlanResult) else list(start)
    for one in given:
        if not isinstance(one, PlanResult):
            raise ValueError(f"start of type {type(one).__name__}: give plans that learn returned")
    return given


def _from_heuristic(
    name: str, one: Heuristic, forms: Mapping[str, Form], value: float, bench: Bench
) -> _Start:
    form = forms[one.sampler.name]
    logsnr = np.asarray(one.schedule.logsnr, bench.dtype)  # levels' least distance is the dtype's
    return _Start(name, form, np.asarray(pack(form, logsnr, None)), value)


def _first(
    fall_back: _Start, given: Sequence[PlanResult], forms: Mapping[str, Form], bench: Bench,
    ends: np.ndarray,
) -> _Start:  # fmt: skip
    """The best of the starts on what is held out."""
    found = [fall_back]
    for one in given:
        form = forms.get(one.sampler, fall_back.form)
        parameters = parameters_after(one, form, bench.dtype)
        if parameters is not None:
            value = float(value_of(form, bench.held_out, parameters, ends))
            found.append(_Start(f"{one.prior}, {one.steps} steps", form, parameters, value))
    finite = [one for one in found if math.isfinite(one.value)]
    return min(finite, key=lambda one: one.value)


def _source(prior: Any, request: Request, bench: Bench) -> dict[str, Any]:
    about = {"fingerprint": prior.fingerprint, "noises": request.n, "teacher": bench.facts}
    return {**(prior.source or {}), **about}


def _result(
    form: Form, found: Found, bench: Bench, ends: np.ndarray, *, prior: str, began: float,
    **about: Any,
) -> PlanResult:  # fmt: skip
    parameters, ends = (np.asarray(x, bench.dtype) for x in (found.parameters, ends))
    logsnr, by = jax.tree.map(lambda x: np.asarray(x, np.float64), unpack(form, parameters, ends))
    terms = terms_of(bench.held_out, plan_of(form, parameters, ends))
    return PlanResult(
        schedule=NoiseSchedule(logsnr), corrections=by, sampler=form.sampler.name,
        sampler_options=options_of(form.sampler),
        custom_sampler=None if form.sampler.name in SAMPLERS else form.sampler,
        groups=form.groups, prior=prior,
        value=found.held_out, train_value=found.train, history=found.history,
        terms={name: float(x) for name, x in terms.items()},
        seconds=time.perf_counter() - began, **about,
    )  # fmt: skip
