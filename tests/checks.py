"""Checks that several test files make."""

import pytest


def one_line(call, *args, **kwargs):
    """The message of the ValueError that a call must raise, which is one line."""
    with pytest.raises(ValueError, match=r"\S") as caught:
        call(*args, **kwargs)
    assert type(caught.value) is ValueError
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
