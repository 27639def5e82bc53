"""Where prepared TFDS sets lie on the disk, and what to do where they do not."""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
from pathlib import Path
from typing import Any, NamedTuple


class Place(NamedTuple):
    """Where a prepared set lies: ``data_dir/name[/config]/version``."""

    data_dir: Path
    name: str
    config: str | None
    version: str

    @property
    def folder(self) -> Path:
        """Of the files."""
        return Path(self.data_dir, self.name, self.config or "", self.version)

    @property
    def builder(self) -> str:
        """TFDS's name for it; with the version it reads the files and runs no code of the set."""
        return "/".join(filter(None, (self.name, self.config))) + f":{self.version}"


def data_dir_of(given: str | os.PathLike[str] | None) -> Path:
    """The folder of all sets: the given one, or TFDS's own."""
    default = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    folder = Path(default if given is None else given).expanduser()
    if not folder.is_dir():
        raise ValueError(
            f"data_dir = {str(folder)!r} is not a folder: give that of the prepared TFDS sets "
            "with data_dir=... (--data-dir)"
        )
    return folder


def find(tfds: Any, data_dir: Path, name: str, config: str | None, version: str | None) -> Place:
    """The set's newest version, or that one.

    Raises:
      ValueError: if it is not there, with what is there or how to prepare it.
    """
    root = data_dir / name
    if not root.is_dir():
        raise ValueError(_no_such_set(tfds, data_dir, name))
    found = [_place(data_dir, name, file) for file in root.glob("*/**/dataset_info.json")]
    places = {place.config: place for place in sorted(found, key=_age)}
    if version is not None:
        places = {place.config: place for place in found if place.version == version}
    if config is None and len(places) == 1:
        return next(iter(places.values()))
    if config in places:
        return places[config]
    listed = ", ".join(sorted(f"tfds:{place.builder}" for place in found))
    if not listed:
        raise ValueError(unprepared(name, data_dir, f"{root} has no prepared set"))
    raise ValueError(f"data = 'tfds:{name}': name one that {root} has: {listed}")


def _place(data_dir: Path, name: str, file: Path) -> Place:
    *config, version = file.parent.relative_to(data_dir / name).parts
    return Place(data_dir, name, "/".join(config) or None, version)


def _age(place: Place) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", place.version)]


def _no_such_set(tfds: Any, data_dir: Path, name: str) -> str:
    known = tfds.list_builders(with_community_datasets=False)
    if name in known:
        return unprepared(name, data_dir, f"{name} is not prepared in {data_dir}")
    here = sorted(path.name for path in data_dir.iterdir() if path.is_dir())
    near = difflib.get_close_matches(name, [*here, *known], n=1)
    hint = f"; did you mean 'tfds:{near[0]}'?" if near else ""
    listed = ", ".join(here) or "nothing"
    return f"data = 'tfds:{name}': neither {data_dir} (which has {listed}) nor TFDS has it{hint}"


def unprepared(name: str, data_dir: Path | str, problem: str) -> str:
    """The problem, and the command that prepares a set."""
    missing = importlib.util.find_spec("tensorflow") is None
    needs = " (that needs TensorFlow, missing here: pip install tensorflow)" if missing else ""
    return (
        f"{problem}: prepare it once{needs} with "
        f"'tfds build {name} --file_format=array_record --data_dir={data_dir}'"
    )
