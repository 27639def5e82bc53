"""The data of a run: what it was trained on, or what is given in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from specjax import data as datasets
from specjax._core.checks import UserError
from specjax.cli.data import Reading
from specjax.spectra.units import check_units

if TYPE_CHECKING:
    from specjax.nn.run import Run

_KEPT = ("data_range", "limit", "shard", "seed")
"""Options that built-in sets are read with, as a run's source has them."""


def data_of_run(run: Run, name: str, against: str | None, reading: Reading) -> datasets.Dataset:
    """What is given, or what the network was trained on, where that can be had again.

    Raises:
      UserError: for data of other units, of another range than that of the training, of another
        shape, and where nothing is given and the run's own data are not built in.
    """
    if against is not None:
        opened = datasets.open(against, reading)
        check_units(run.source, opened.source, schedule=name, data=str(against))
        _check_range(run, name, opened)
    else:
        own = str(run.source.get("name"))
        if own not in datasets.BUILTIN:
            raise UserError(
                f"{name} was trained on {own}, which is not built in: give it, or data like it, by "
                "--against"
            )
        kept = {key: run.source[key] for key in _KEPT if run.source.get(key) is not None}
        opened = datasets.open(own, **kept)
        if "corruption" in run.source:
            opened = datasets.corrupted(opened, **run.source["corruption"])
    shape = tuple(opened.source["shape"])
    if shape != tuple(run.shape):
        raise UserError(
            f"samples of {opened.name} have shape {shape}, those of {name} {tuple(run.shape)}: "
            "give data of that shape"
        )
    return opened


def _check_range(run: Run, name: str, opened: datasets.Dataset) -> None:
    """Refuse the data of the training in another range: the network knows them in its own."""
    learned, now = (source.get("data_range") for source in (run.source, opened.source))
    same = opened.source["name"] == run.source.get("name")
    if same and learned is not None and list(learned) != list(now or ()):
        raise UserError(
            f"{name} was trained on {opened.name} read with data_range = {tuple(learned)}, here it "
            f"is {tuple(now or ())}: give that one (--data-range)"
        )
