"""Equations in LaTeX as MathML, made at build time: pages need no script and nothing from elsewhere."""

import html
import re

from latex2mathml.converter import convert

_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_DISPLAY = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)


def as_mathml(page: str) -> str:
    """Replace what pymdownx.arithmatex marked in a page's HTML."""
    page = _INLINE.sub(lambda found: convert(html.unescape(found[1])), page)
    return _DISPLAY.sub(
        lambda found: f'<div class="equation">{convert(html.unescape(found[1]), display="block")}</div>',
        page,
    )
