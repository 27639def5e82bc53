"""The rows of a sweep's table that pictures and tables are made of.

A heuristic here is a schedule family that does not look at the data; the closed form of the
spectrum, which a sweep judges too, is none.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from specjax.noise.families import NOISES
from specjax.sampling.samplers import plan
from specjax.schedules.schedule import NoiseSchedule

if TYPE_CHECKING:
    import pyarrow as pa

_FIT = (
    "spectrum", "steps", "sampler", "sampler_options", "loss", "process", "alpha_bar_noisy",
    "alpha_bar_clean",
)  # fmt: skip
_NOISE = ("noise", "noise_parameters")
_CLOSED_FORM = "heuristic_spectral"


class Usable(NamedTuple):
    """What is left of a sweep's table.

    Attributes:
      table: the fits with a finite loss, of each the best seed, and two columns more, ``family``
        and ``family_value``: the best heuristic (NaN where there is none). failed: other rows.
      seeds: how many there are.
    """

    table: pa.Table
    failed: int
    seeds: int


def usable(table: pa.Table) -> Usable:
    """The rows with a finite loss.

    Raises:
      ValueError: if there is none.
    """
    import pyarrow as pa

    finite = np.isfinite(column(table, "value"))
    left = table.filter(pa.array(finite))
    if not left.num_rows:
        said = [str(x) for x in table.column("error").unique().to_pylist() if x]
        why = f": {said[0]}" if said else ""
        raise ValueError(f"none of the {table.num_rows} fits of the sweep has a finite loss{why}")
    seeds = len(left.column("seed").unique())
    if seeds > 1:
        rising = left.sort_by("value")
        rank = pa.array(np.arange(rising.num_rows))
        best = (
            rising.append_column("rank", rank)
            .group_by(names_of(left, _FIT))
            .aggregate([("rank", "min")])
        )
        left = rising.take(np.sort(column(best, "rank_min")))
    return Usable(_with_family(left), int((~finite).sum()), seeds)


def _with_family(table: pa.Table) -> pa.Table:
    import pyarrow as pa

    names = [x for x in table.column_names if x.startswith("heuristic_") and x != _CLOSED_FORM]
    every = np.array([column(table, x) for x in names])
    ranked = np.where(np.isfinite(every), every, np.inf)
    best = ranked.argmin(0)
    value = ranked[best, np.arange(table.num_rows)]
    family = np.array([x.removeprefix("heuristic_") for x in names])[best]
    return table.append_column("family", pa.array(family)).append_column(
        "family_value", pa.array(np.where(np.isfinite(value), value, np.nan))
    )


def column(table: pa.Table, name: str) -> np.ndarray:
    """A column as an array."""
    return np.asarray(table.column(name).to_numpy())


def distinct(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    """The combinations of some columns, in the order of the table."""
    columns = [table.column(name).to_pylist() for name in names]
    return list(dict.fromkeys(zip(*columns, strict=True)))


def where(table: pa.Table, **values: Any) -> pa.Table:
    """The rows with these values in these columns."""
    import pyarrow as pa

    chosen = np.ones(table.num_rows, bool)
    for name, value in values.items():
        chosen &= column(table, name) == value
    return table.filter(pa.array(chosen))


def sampler_label(sampler: str, options: str) -> str:
    """``ddim (eta = 0.5)``, from the name and the options as JSON."""
    words = [f"{name} = {value}" for name, value in json.loads(options).items()]
    return f"{sampler} ({', '.join(words)})" if words else sampler


def names_of(table: pa.Table, names: Sequence[str]) -> list[str]:
    """These columns and those of the noise, where the sweep has noises."""
    return [*names, *(name for name in _NOISE if name in table.column_names)]


def noise_label(noise: str, parameters: str, *, short: bool = False) -> str:
    """``power-law (exponent = -0.06)``, from the name and the parameters as JSON.

    Parameters that are the family's defaults are left out; where all are, the first stands.

    Args:
      short: ``power-law -0.06``, for panels.
    """
    family = NOISES.get(noise.replace("-", "_"))
    usual = {} if family is None else inspect.signature(family.weights).parameters
    known = json.loads(parameters)
    own = {
        name: given
        for name, given in known.items()
        if name not in usual or np.any(given != np.asarray(usual[name].default))
    }
    told = own or dict(list(known.items())[:1])
    if short:
        return " ".join([noise, ", ".join(map(_brief, told.values()))]).rstrip()
    words = [f"{name} = {_brief(given)}" for name, given in told.items()]
    return f"{noise} ({', '.join(words)})" if words else noise


def _brief(given: Any) -> str:
    if isinstance(given, list):
        return " ".join(map(_brief, given))
    return f"{given:g}" if isinstance(given, float) else str(given)


def row_label(sampler: str, options: str, *noise: str) -> str:
    """A sampler, and the noise where the sweep has noises."""
    label = sampler_label(sampler, options)
    return f"{label}, {noise_label(*noise)}" if noise else label


def by_noise(table: pa.Table) -> pa.Table:
    """The same with the noise in the name of the spectrum, where there are several of either."""
    if _NOISE[0] not in table.column_names or len(distinct(table, *_NOISE)) == 1:
        return table
    one = len(distinct(table, "spectrum")) == 1
    columns = (table.column(name).to_pylist() for name in ("spectrum", *_NOISE))
    names = [
        noise_label(*noise, short=True) if one else f"{spectrum}, {noise_label(*noise, short=True)}"
        for spectrum, *noise in zip(*columns, strict=True)
    ]
    place = table.column_names.index("spectrum")
    return table.set_column(place, "spectrum", [names])


def calls(table: pa.Table) -> np.ndarray:
    """Calls of the denoiser of each fit: Heun makes two a step."""
    names = "steps", "sampler", "sampler_options", "process", "alpha_bar_clean"
    known: dict[tuple[Any, ...], int] = {}
    found = []
    for key in zip(*(table.column(name).to_pylist() for name in names), strict=True):
        if key not in known:
            steps, sampler, options, process, clean = key
            ends = np.append(np.linspace(-9.0, 5.0, steps), np.inf if clean == 1 else 9.0)
            made = plan(sampler, NoiseSchedule(ends), process, **json.loads(options))
            known[key] = made.calls
        found.append(known[key])
    return np.array(found, int)


def spread(count: int, most: int) -> list[int]:
    """At most that many of the indices below ``count``, both ends among them, evenly."""
    return sorted({round(x) for x in np.linspace(0, count - 1, min(count, most))})


def by_exponent(table: pa.Table) -> dict[str, float]:
    """The power-law exponents of the spectra, rising; those without one (NaN) last."""
    pairs: Sequence[tuple[str, float]] = distinct(
        table.select(["spectrum", "exponent"]), "spectrum", "exponent"
    )
    exponents: dict[str, float] = {}
    for name, exponent in pairs:
        exponents.setdefault(name, exponent)
    return dict(sorted(exponents.items(), key=lambda item: (np.isnan(item[1]), item[1])))
