"""Compiled programs that another process may use: found again, never the wrong one."""

from typing import NamedTuple

import jax
import numpy as np
import pytest

import specjax as sx
from specjax._core import cache, kept_programs
from specjax.gaussian.losses import Loss
from specjax.sampling.samplers import ipndm

SPECTRUM = sx.Spectrum.power_law(30, 1.5)
TRACED = "/jax/core/compile/jaxpr_trace_duration"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_programs", cache.ProgramsFolder(tmp_path, 2**30))
    monkeypatch.setattr(kept_programs, "_READY", {})
    return tmp_path


def forget():
    """Know of a program what a new process does."""
    kept_programs._READY.clear()
    jax.clear_caches()


@pytest.fixture
def traced():
    """The functions traced so far."""
    names = []

    def note(event, seconds, fun_name="", **_):
        names.extend([fun_name] * (event == TRACED))

    jax.monitoring.register_event_duration_secs_listener(note)
    yield names
    jax.monitoring.unregister_event_duration_listener(note)


def test_a_program_is_found_again_without_tracing(folder, traced):
    plain = sx.fit(SPECTRUM, 6)
    assert [one.suffix for one in folder.iterdir()] == [".program"]
    forget()
    traced.clear()
    again = sx.fit(SPECTRUM, 6)
    assert not traced
    np.testing.assert_array_equal(again.schedule.logsnr, plain.schedule.logsnr)
    np.testing.assert_array_equal(again.history, plain.history)
    assert sx.fit(SPECTRUM, 9, loss="kl").value > 0
    assert len(list(folder.iterdir())) == 1  # one serves them all


@pytest.mark.thorough
def test_a_damaged_program_is_made_anew(folder):
    plain = sx.fit(SPECTRUM, 6)
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    forget()
    assert sx.fit(SPECTRUM, 6).value == plain.value
    assert path.stat().st_size > 1000


def test_what_runs_code_of_others_is_not_kept(folder):
    w2 = sx.LOSSES["w2"]
    doubled = Loss("doubled", lambda lam, h: 2 * w2.spread(lam, h), w2.shift, w2.importance)
    assert sx.fit(SPECTRUM, 4, loss=doubled).value > 0
    assert not list(folder.iterdir())


@pytest.mark.thorough
def test_the_latest_programs_are_kept(folder, monkeypatch):
    sx.fit(SPECTRUM, 6)
    (first,) = folder.iterdir()
    room = cache.ProgramsFolder(folder, int(1.8 * first.stat().st_size))
    monkeypatch.setattr(cache, "_programs", room)
    sx.fit(SPECTRUM, 6, sampler="heun")
    assert [one != first for one in folder.iterdir()] == [True]


def test_samplers_and_losses_are_told_apart():
    parts = [*sx.SAMPLERS.values(), *sx.LOSSES.values(), ipndm(order=2)]
    assert len({repr(kept_programs.describe(one)) for one in parts}) == len(parts)


class Numbers(NamedTuple):
    """A value with a method of its own, as somebody's sampler may be."""

    order: int

    def rows(self):
        return self.order


def test_methods_of_others_are_refused_in_any_container():
    for one in (Numbers(1), (Numbers(1),), {"a": Numbers(1)}, type("Text", (str,), {})("a")):
        with pytest.raises(kept_programs.UnknownError):
            kept_programs.describe(one)


def test_closures_are_told_apart_and_functions_of_others_refused():
    known = {repr(kept_programs.describe(ipndm(order=k))) for k in (2, 3, 4)}
    assert len(known) == 3
    with pytest.raises(kept_programs.UnknownError):
        kept_programs.describe((1, np.linalg.eigh))
    with pytest.raises(kept_programs.UnknownError):
        kept_programs.describe(lambda x: x)
