"""An export target that is written outside the package and passed in place of a name."""

from dataclasses import dataclass

import numpy as np
import pytest
from test_plan_file import learned

import specjax as sx
from specjax.interop.export import TARGETS, Export


@dataclass(frozen=True)
class Angles:
    """The levels as angles of the cosine schedule, for a program that steps in them."""

    name: str = "angles"
    summary: str = "arctan(sigma) in degrees, a line each"
    suffix: str = ".deg"

    def write(self, result, grid, shift):
        notes = [] if grid is None else [f"trained on {grid.name}, shift {shift:g}"]
        if result.corrections is not None:
            notes.append("corrections are left out")
        degrees = np.rad2deg(np.arctan(result.schedule.sigmas))
        return "".join(f"{x!r}\n" for x in degrees.tolist()), notes


def test_a_target_of_ones_own_takes_the_place_of_a_name():
    schedule = sx.NoiseSchedule.from_sigmas([1.0, 3**-0.5, 0.0])
    made = sx.export(schedule, to=Angles(), grid="sd", shift=3.0)
    assert isinstance(made, Export)
    np.testing.assert_allclose([float(x) for x in made.content.split()], [45, 30, 0], atol=1e-12)
    assert (made.target, made.suffix) == ("angles", ".deg")
    assert made.notes == ("trained on sd, shift 3",)


def test_it_is_given_plans_and_decides_itself():
    plan = learned()
    made = sx.export(plan, to=Angles(), grid=None)
    assert made.notes == ("corrections are left out",)
    np.testing.assert_allclose(
        np.tan(np.deg2rad([float(x) for x in made.content.split()])), plan.schedule.sigmas
    )


@pytest.mark.parametrize("name", TARGETS)
def test_it_is_of_the_same_kind_as_those_of_the_package(name):
    own, target = Angles(), TARGETS[name]
    assert target.name == name
    for attribute in ("name", "summary", "suffix"):
        assert type(getattr(own, attribute)) is type(getattr(target, attribute)) is str
    schedule = sx.NoiseSchedule([-3.0, 0.0, np.inf])
    content, notes = target.write(sx.LearnedResult.from_schedule(schedule), None, 1.0)
    assert (content, tuple(notes)) == (sx.export(schedule, target, grid=None).content, tuple(notes))
