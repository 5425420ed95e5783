"""A griffe extension: cross-reference roles of docstrings become links of the built pages.

Docstrings say ``:class:`~package.module.Name```, which editors understand; Markdown does not. The
role becomes an optional automatic reference: a link where the object is documented on some page,
and plain code where it is not. Double backticks become single ones and interactive examples fenced
code. ``mkdocs.yml`` is this module's only neighbour.
"""

import re
from typing import Any

import griffe

__all__ = ["Roles", "translate"]

_ROLE = re.compile(r":(?:mod|class|func|meth|attr|data|exc|obj|ref):`(~?)([^`]+)`")
_LITERAL = re.compile(r"``([^`]+)``")
_EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1\S.*)*", re.MULTILINE)


def translate(text: str) -> str:
    """Return ``text`` with roles as optional references, and interactive examples as code."""

    def link(match: re.Match[str]) -> str:
        short, target = match.groups()
        shown = target.rpartition(".")[2] if short else target
        return f'<autoref identifier="{target}" optional><code>{shown}</code></autoref>'

    def fence(match: re.Match[str]) -> str:
        indent = match[1]
        return f"{indent}```pycon\n{match[0]}\n{indent}```"

    return _EXAMPLE.sub(fence, _LITERAL.sub(r"`\1`", _ROLE.sub(link, text)))


class Roles(griffe.Extension):
    """Translates every docstring before it is rendered."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of one object, if it has one."""
        if obj.docstring is not None:
            obj.docstring.value = translate(obj.docstring.value)
