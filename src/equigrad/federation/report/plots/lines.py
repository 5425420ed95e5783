"""What changes from round to round: scores, reputations, shares of the gradient received.

Every party is a line. Above :data:`~equigrad.federation.report.plots.canvas.MANY` parties the ten
that contributed most and least are lines, and a band shows where the middle 80 % of all lie.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from equigrad.federation.report.plots.canvas import (
    MANY,
    MUTED,
    Plot,
    Style,
    label,
    new_figure,
    percent_axis,
    rounds_axis,
    styles,
    svg,
)
from equigrad.federation.report.rows import PartyRow
from equigrad.federation.report.story import Round, Run

__all__ = ["reputations", "scores", "shares"]

Series = dict[str, tuple[list[int], list[float]]]

_ENDS = 5


def scores(run: Run, rows: Sequence[PartyRow], style: Mapping[str, Style]) -> Plot | None:
    """Draw every party's score after each round, the initial model's at 0."""
    series: Series = {}
    for index in range(-1, len(run.rounds)):
        for party, measure in run.scores_after(index).items():
            if measure.score is not None:
                _add(series, party, index + 1, measure.score)
    if not series:
        return None
    figure, axes = new_figure()
    _draw(axes, series, rows, style)
    rounds_axis(axes)
    if not run.regression:
        percent_axis(axes)
    what = "R\u00b2" if run.regression else "accuracy"
    axes.set_ylabel(f"test {what}")
    title = "How good each party\u2019s model became"
    return Plot("scores", title, _ends(series, rows, f"Test {what}"), svg(figure, "scores"))


def reputations(run: Run, rows: Sequence[PartyRow], style: Mapping[str, Style]) -> Plot | None:
    """Draw every party's share of all reputations after each round."""
    series = _series(run, lambda round_: round_.reputation)
    if not series:
        return None
    figure, axes = new_figure()
    equal = axes.axhline(1 / len(series), color=MUTED, linewidth=0.9, dashes=(4, 3))
    _draw(axes, series, rows, style, (equal, "equal shares"))
    rounds_axis(axes)
    percent_axis(axes)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("share of all reputations")
    text = _ends(series, rows, "Share of all reputations")
    return Plot("reputations", "Who earned reputation", text, svg(figure, "reputations"))


def shares(run: Run, rows: Sequence[PartyRow], style: Mapping[str, Style]) -> Plot | None:
    """Draw the share of the aggregate's entries that every party received in each round."""
    series = _series(run, lambda round_: round_.share)
    if not series:
        return None
    figure, axes = new_figure()
    _draw(axes, series, rows, style)
    rounds_axis(axes)
    percent_axis(axes)
    axes.set_xlim(left=0)
    axes.set_ylim(-0.02, 1.04)
    axes.set_ylabel("share of the entries received")
    title = "How much of the shared gradient each party received"
    return Plot("shares", title, _ends(series, rows, "Share received"), svg(figure, "shares"))


def _series(run: Run, of: Callable[[Round], Mapping[str, float]]) -> Series:
    series: Series = {}
    for round_ in run.rounds:
        for party, number in of(round_).items():
            _add(series, party, round_.index + 1, number)
    return series


def _add(series: Series, party: str, x: int, y: float) -> None:
    xs, ys = series.setdefault(party, ([], []))
    xs.append(x)
    ys.append(y)


def _ranked(series: Series, rows: Sequence[PartyRow]) -> list[str]:
    """Return the parties by mean contribution, the largest first; unvalued ones last."""
    worth = {row.party: row.contribution for row in rows}
    known = [row.party for row in rows if row.party in series]
    return sorted(known, key=lambda p: -w if (w := worth[p]) is not None else float("inf"))


def _draw(
    axes: Axes,
    series: Series,
    rows: Sequence[PartyRow],
    style: Mapping[str, Style],
    *more: tuple[Line2D, str],
) -> None:
    """Draw the lines and, beside them, their names (and those of ``more`` lines)."""
    ranked = _ranked(series, rows)
    if len(ranked) > MANY:
        _band(axes, series)
        ranked = ranked[:_ENDS] + ranked[-_ENDS:]
        style = styles(ranked)  # of so many parties some share a style; these ten must not
    flagged = {row.party for row in rows if row.flags}
    longest = max(len(series[party][0]) for party in ranked)
    handles = []
    for party in ranked:
        look = style[party]
        (line,) = axes.plot(
            *series[party],
            color=look.colour,
            linestyle=look.dash,
            linewidth=1.6,
            marker="o" if longest < 4 else None,
            markersize=3.5,
        )
        handles.append(line)
    names = [label(p) + (" (flagged)" if p in flagged else "") for p in ranked]
    axes.legend(
        handles + [line for line, _ in more],
        names + [name for _, name in more],
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        fontsize=8.5 if len(names) <= 12 else 7.5,
        labelcolor=MUTED,
        handlelength=1.8,
    )


def _band(axes: Axes, series: Series) -> None:
    """Shade where the middle 80 % of all parties lie, and draw their median."""
    by_x: dict[int, list[float]] = {}
    for xs, ys in series.values():
        for x, y in zip(xs, ys, strict=True):
            by_x.setdefault(x, []).append(y)
    xs = sorted(by_x)
    low, middle, high = np.array([np.quantile(by_x[x], [0.1, 0.5, 0.9]) for x in xs]).T
    axes.fill_between(xs, low, high, color=MUTED, alpha=0.2, linewidth=0)
    axes.plot(xs, middle, color=MUTED, linewidth=1)


def _ends(series: Series, rows: Sequence[PartyRow], what: str) -> str:
    """Return the last values in words, highest and lowest."""
    last = {party: ys[-1] for party, (_, ys) in series.items()}
    top, low = max(last, key=last.__getitem__), min(last, key=last.__getitem__)
    lines = "one line for each party"
    if len(_ranked(series, rows)) > MANY:
        lines = "the five parties that contributed most and least; the band holds the middle 80 %"
    return (
        f"{what} by round, {lines}. At the end highest for {top} ({last[top]:.3f}) "
        f"and lowest for {low} ({last[low]:.3f})."
    )
