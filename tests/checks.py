"""Checks that several test files make."""

import itertools

import pytest

from specjax._core.checks import UserError


def one_line(call, *args, **kwargs):
    """The message of the UserError that a call must raise, which is one line."""
    with pytest.raises(UserError, match=r"\S") as caught:
        call(*args, **kwargs)
    text = str(caught.value)
    assert "\n" not in text
    return text


def by_default(cases, *kept):
    """Cases of a parametrisation of which only those of these numbers run by default."""
    marked = []
    for i, case in enumerate(cases):
        values = case if isinstance(case, tuple) else (case,)
        marked.append(pytest.param(*values, marks=() if i in kept else pytest.mark.slow))
    return marked


def inside_and_apart(boxes, figure):
    """Texts (words, box in pixels) lie inside a figure, and none on another."""
    for text, box in boxes:
        assert min(box.x0, box.y0) >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
    pairs = itertools.combinations(boxes, 2)
    assert [(a, b) for (a, one), (b, other) in pairs if one.overlaps(other)] == []
