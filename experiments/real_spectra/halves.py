"""How sure a number is: the same from random halves of the data.

Drawn without replacement, a half's mean has the variance ``s^2/(n/2) (1 - 1/2) = s^2/n`` about
that of all n: the spread over halves is the standard error of a number of all the data (the
jackknife that deletes half: Shao and Wu 1989). Parts of sound are whole recordings.
"""

from __future__ import annotations

import numpy as np


def halves_of(part: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which samples [N] are in the first and in the second random half of the parts."""
    names = np.unique(part)
    chosen = np.random.default_rng(seed).permutation(names)[: (names.size + 1) // 2]
    first = np.isin(part, chosen)
    return first, ~first


def half_error(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """The standard error of a number of all the data, from that of both halves of all splits.

    Both halves of a split mirror each other where the number is a mean, so that deviations are
    taken from the mean of all and their mean square is that of independent splits.
    """
    return np.std(np.asarray(values, np.float64), axis=axis)
