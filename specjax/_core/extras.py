"""Libraries of the optional extras, imported when they are needed."""

from __future__ import annotations

import importlib
import re
import shlex
from importlib.metadata import requires
from typing import Any

from specjax._core.checks import UserError


def import_extra(module: str, extra: str, purpose: str) -> Any:
    """Import a module of an optional library.

    Args:
      module: name of the module, such as "flax.nnx".
      extra: extra of this package that installs it, such as "train".
      purpose: what needs it, for the message.

    Raises:
      UserError: if the library is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{purpose}: {error.name} is not installed here. What specjax[{extra}] has: "
            f"pip install {shlex.join(requirements(extra))}"
        ) from None


def requirements(extra: str) -> list[str]:
    """List the libraries of an extra, as pip takes them."""
    of_it = re.compile(rf"extra == ['\"]{extra}['\"]")
    return [one.partition(";")[0].strip() for one in requires("specjax") or () if of_it.search(one)]
