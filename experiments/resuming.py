"""Going on with a document that an earlier process began."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.common import read_json


def same_code(path: Path, document: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to mix cases of two commits, or of other versions, in one document.

    Args:
      document: what is at the path. now: :func:`experiments.common.circumstances`.

    Raises:
      ValueError: where the document was begun by other code.
    """
    for what in ("commit", "versions"):
        if document[what] != now[what]:
            raise ValueError(
                f"{path} was begun with {what} {document[what]}, this is {now[what]}: "
                "finish it with that, remove it, or give another --results"
            )


def result_at(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The document that is there, or nothing.

    Args:
      settings: the config that it must be of, as :func:`plain_config` has it.

    Raises:
      ValueError: where it is of another config.
    """
    document = read_json(path)
    if document and document["config"] != settings:
        raise ValueError(f"{path} is of another config: remove it, or give another --results")
    return document
