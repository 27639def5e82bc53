"""A started run of an experiment: its config and folders, and result files that can be resumed."""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from specjax._core.checks import UserError
from specjax.files import versions, write_atomically

Keys = tuple[str, ...]


@dataclass(frozen=True)
class Session:
    """What is run, and where.

    Attributes:
      experiment: its name. config: all its numbers. selection: fields that change no result.
      cases, seeds: what of it is run.
      results: the folder of the JSON. work: the folder of what is not committed, such as networks.
    """

    experiment: str
    config: Any
    selection: tuple[str, ...]
    cases: tuple[str, ...]
    seeds: tuple[int, ...]
    results: Path
    work: Path

    @functools.cached_property
    def provenance(self) -> dict[str, Any]:
        """The commit, versions and machine of this process."""
        return provenance()

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """The config as JSON returns it, without the fields that change no result."""
        return plain_config(self.config, *self.selection)

    def document(
        self, stem: str, pieces: Sequence[Keys] = ((),), settings: Any = None, **about: Any
    ) -> Document:
        """Open a result file, or begin one.

        Args:
          stem: the name of the file. pieces: the keys of what it consists of; the default is a
            file that is written in one go.
          settings: what its numbers depend on, by default the config. about: facts at its head.

        Raises:
          UserError: if the file has other settings, or lacks pieces and was begun by another
            commit or with other versions.
        """
        settings = self.settings if settings is None else settings
        path = self.results / f"{stem}.json"
        content = read_json(path)
        missing = [keys for keys in pieces if not _has(content, keys)]
        if content and content.get("config", settings) != settings:
            raise UserError(f"{path} has another config: remove it, or give another --results")
        if content and missing:
            self._check_code(path, content)
        head = {"experiment": self.experiment, **about, "config": settings}
        if not content and missing:
            content = {**head, **self.provenance}
        return Document(path, content, missing)

    def _check_code(self, path: Path, content: dict[str, Any]) -> None:
        """Refuse to mix pieces of two commits, or of different versions, in one file."""
        for what in ("commit", "versions"):
            if content[what] != self.provenance[what]:
                raise UserError(
                    f"{path} was begun with {what} {content[what]}, this is "
                    f"{self.provenance[what]}: finish it with that, remove it, or give another "
                    "--results"
                )


@dataclass
class Document:
    """A result file that is filled piece by piece.

    Attributes:
      path: of the file. content: what is in it. missing: the keys of the pieces that it lacks.
    """

    path: Path
    content: dict[str, Any]
    missing: list[Keys]

    def add(self, keys: Keys, value: Any) -> None:
        """Put a value at its keys (with no keys: all its entries at the top) and write the file."""
        if keys:
            place = self.content
            for key in keys[:-1]:
                place = place.setdefault(key, {})
            place[keys[-1]] = value
        else:
            self.content.update(value)
        self.missing = [other for other in self.missing if other != keys]
        self.content["complete"] = not self.missing
        write_json(self.path, self.content)
        say(": ".join([self.path.stem, *keys[1:]]))


def _has(content: dict[str, Any], keys: Keys) -> bool:
    """Tell whether a nested dictionary has these keys; an empty one has none at all."""
    if not content:
        return False
    for key in keys:
        if key not in content:
            return False
        content = content[key]
    return True


def plain_config(config: Any, *without: str) -> dict[str, Any]:
    """Give a dataclass as JSON returns it, without some fields."""
    fields = {name: x for name, x in asdict(config).items() if name not in without}
    return json.loads(json.dumps(fields))


def provenance() -> dict[str, Any]:
    """Describe commit, versions and machine; the load tells whether other work shared it."""
    import jax
    import scipy
    import sklearn

    more = {"scipy": scipy.__version__, "scikit_learn": sklearn.__version__}
    return {
        "commit": _commit(),
        "versions": {**versions(), **more},
        "machine": {
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 2),
            "system": f"{platform.system()} {platform.machine()}",
            "devices": [device.device_kind for device in jax.devices()],
        },
    }


def _commit() -> str:
    """Give the commit of this checkout, with "-dirty" where the code differs from it."""
    here = Path(__file__).parent.parent
    command = ["git", "describe", "--always", "--abbrev=12", "--exclude=*"]
    code = ["specjax", "experiments/*.py"]
    try:
        name = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *code], cwd=here)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name.stdout.strip() + "-dirty" * bool(changed.returncode)


def say(text: str) -> None:
    """Print a line of progress with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def read_json(path: Path) -> dict[str, Any]:
    """Read a result, or an empty one if the file does not exist."""
    return json.loads(path.read_text()) if path.exists() else {}


def read_all(results: Path, pattern: str) -> list[dict[str, Any]]:
    """Read the results whose file names match a pattern, in the order of the names."""
    return [read_json(path) for path in sorted(results.glob(pattern))]


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write the whole file or none of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(value, indent=1) + "\n").encode())
