"""SVG documents made fit to stand inside a page: titled, themed, without a size of their own."""

import re

from markupsafe import Markup, escape

from equigrad.federation.report.plots.canvas import GRID, INK, MUTED, PAPER, Plot

__all__ = ["inline_svg"]

_THEME = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--line)", PAPER: "var(--card)"}


def inline_svg(plot: Plot) -> Markup:
    """Return a plot's SVG element, with a title and a description that screen readers speak.

    The page defines its colours: ``--ink``, ``--muted``, ``--line`` and ``--card``.
    """
    svg = plot.svg[plot.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for colour, variable in _THEME.items():
        svg = re.sub(rf"(fill|stroke): {colour}\b", rf"\1: {variable}", svg)
    head = (
        f'<svg role="img" aria-labelledby="{plot.name}-title {plot.name}-text" '
        f'viewBox="{_view_box(svg)}" xmlns="http://www.w3.org/2000/svg" '
        'xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{plot.name}-title">{escape(plot.title)}</title>'
        f'<desc id="{plot.name}-text">{escape(plot.text)}</desc>'
    )
    # Everything below comes from Matplotlib, which escapes the texts that users supply.
    return Markup(head + svg[svg.index(">") + 1 :])  # noqa: S704


def _view_box(svg: str) -> str:
    found = re.search(r'viewBox="([^"]*)"', svg)
    return found[1] if found else "0 0 460 260"
