"""Libraries that extras bring, imported once they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from specjax._core.checks import UserError


def import_extra(module: str, extra: str, purpose: str) -> Any:
    """Import a module of an optional library.

    Args:
      module: such as "flax.nnx". extra: of this package, such as "train".
      purpose: what needs it, for the message.

    Raises:
      UserError: if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{purpose}: {error.name} is not installed here: pip install 'specjax[{extra}]'"
        ) from None
