"""Import the libraries that ``pip install 'specjax[evaluate]'`` brings, once they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from specjax._core.checks import UserError


def import_extra(module: str, purpose: str) -> Any:
    """Import a module of an optional library.

    Raises:
      UserError: if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{purpose}: {error.name} is not installed here: pip install 'specjax[evaluate]'"
        ) from None
