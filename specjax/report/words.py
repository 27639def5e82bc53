"""Phrases that several reports share."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from specjax.gaussian.losses import Loss
    from specjax.gaussian.modes import Modes

MEAN_DECIDES = 0.1
"""The part of a loss above which the mean is warned of."""


def shown(text: str) -> str:
    """Escape what a terminal, a table or a picture would not show as a character of its own.

    Names come from outside: of files, classes, arrays. Control characters, also those that turn
    the direction of writing, and bytes that are no text are written as Python writes them; ends of
    lines and all that can be read stay.

    Example:
      >>> shown("a[b]\\x1b[31m$x$")
      'a[b]\\\\x1b[31m$x$'
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one == "\n" or unicodedata.category(one) == "Zs"
        else one.encode("unicode_escape").decode()
        for one in text
    )  # fmt: skip


def at_step(step: int | None) -> str:
    """Write `` at step 700``; nothing for a denoiser that has no checkpoints."""
    return "" if step is None else f" at step {step:,}"


def count(number: int, one: str, several: str | None = None) -> str:
    """Write a number with its noun.

    Example:
      >>> count(1, "fit"), count(2000, "loss", "losses")
      ('1 fit', '2,000 losses')
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def with_options(name: str, options: Mapping[str, Any]) -> str:
    """Write a name with its options.

    Example:
      >>> with_options("ddim", {"eta": 0.5}), with_options("heun", {})
      ('ddim (eta = 0.5)', 'heun')
    """
    words = ", ".join(f"{option} = {value}" for option, value in options.items())
    return f"{name} ({words})" if words else name


def shortened(name: str, most: int = 16) -> str:
    """Keep the beginning and the end of a long name, since names often differ at the end.

    Example:
      >>> shortened("church_outdoor_train_64", 12)
      'churc…ain_64'
    """
    if len(name) <= most:
        return name
    end = max(most // 2, 1)
    return f"{name[: most - 1 - end]}…{name[-end:]}"


def spread(length: int, most: int) -> list[int]:
    """Choose at most so many indices below a length, evenly, the first and the last among them.

    Example:
      >>> spread(9, 3)
      [0, 4, 8]
    """
    if length <= most:
        return list(range(length))
    return [round(i * (length - 1) / (most - 1)) for i in range(most)]


def wrote(paths: Iterable[str]) -> list[str]:
    """List the files that were written in one line; no line without files."""
    names = ", ".join(paths)
    return [f"wrote {names}"] if names else []


def loss_title(loss: Loss) -> str:
    """Write a loss with what it is, such as ``w2: squared 2-Wasserstein distance``."""
    return f"{loss.name}: {loss.summary}" if loss.summary else loss.name


def error_text(modes: Modes) -> str:
    """Write what denoiser's error a loss counts, such as `` with an error of 0.1``, if any."""
    error = modes.denoiser_error
    return "" if error is None else f" with an error of {float(error):g}"


def amplification_warning(ratio: float, loss: Loss, denoiser_error: Any) -> list[str]:
    """Warn in one line where a network may not follow a schedule, and say what helps.

    Args:
      ratio: the amplification, see :class:`specjax.fitting.compare.Comparison`.
      denoiser_error: what the fit counted of the denoiser's error, or None.
    """
    from specjax.fitting.compare import AMPLIFIED

    if not ratio > AMPLIFIED:
        return []
    remedy = "; --denoiser-error 0.1 counts them in the fit"
    return [
        "a network may not follow this schedule: independent errors of a denoiser count "
        f"{ratio:.2g} times what they do along other schedules"
        + (remedy if denoiser_error is None and loss.counts_mean else "")
    ]


def percent(value: float | None) -> str:
    """Write a share as percent, to three digits.

    Example:
      >>> percent(0.0123), percent(1e-7)
      ('1.23 %', '1e-05 %')
    """
    if value is None or math.isnan(value):
        return "-"
    return f"{100 * value:.3g} %"


def share_title(loss: Loss) -> str:
    """Name the column of a loss's share: of the data's variance, or of a direction."""
    return "of the variance" if loss.in_data_units else "a direction"


def share_text(share: float, loss: Loss) -> str:
    """Write the share of a loss: percent of the data's variance, a number for other losses."""
    return percent(share) if loss.in_data_units else f"{share:.3g}"


def mean_warning(share: float) -> list[str]:
    """Warn in one line where the mean decides a loss.

    Args:
      share: the part of the loss that is the mean's.
    """
    if not share > MEAN_DECIDES:
        return []
    return [
        f"{percent(share)} of this loss is the data's mean, which a start at 0 misses: subtract it "
        "from the data, start samples at it (mean=... of sx.sample), or --mean ignore fits the "
        "fluctuations alone"
    ]
