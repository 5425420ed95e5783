"""Several market runs in one plot: how good their models became.

Neighbour: ``plots`` draws a single run.
"""

from collections.abc import Sequence

from equigrad.errors import RecordError
from equigrad.federation.report.plots.canvas import (
    Plot,
    draw_line,
    drawing,
    label,
    new_figure,
    percent_axis,
    rounds_axis,
    side_legend,
    styles,
    svg,
)
from equigrad.federation.trade.report.rows import round_rows
from equigrad.federation.trade.report.story import Story

__all__ = ["draw_runs"]


def draw_runs(names: Sequence[str], stories: Sequence[Story]) -> Plot:
    """Draw the score of each run's model over its rounds.

    Parameters
    ----------
    names
        What the runs are called.
    stories
        Their records.

    Raises
    ------
    RecordError
        If some scores are accuracies and others R squared.
    """
    if len({story.regression for story in stories}) > 1:
        raise RecordError(
            "Expected runs whose scores are of one kind, got accuracy and R^2. Compare runs on the "
            "same data."
        )
    looks = styles([str(i) for i in range(len(names))])
    what = "R\u00b2" if stories[0].regression else "accuracy"
    ends = []
    with drawing():
        figure, axes = new_figure(7.2)
        for i, (name, story) in enumerate(zip(names, stories, strict=True)):
            rows = [row for row in round_rows(story) if row.score is not None]
            xs, ys = [row.round + 1 for row in rows], [row.score or 0.0 for row in rows]
            if ys:
                draw_line(axes, (xs, ys), label(name, 28), looks[str(i)])
                ends.append(f"{name} {ys[-1]:.3f}")
        rounds_axis(axes)
        if not stories[0].regression:
            percent_axis(axes)
        axes.set_ylabel(f"test {what}")
        if ends:
            side_legend(axes)
        text = f"Test {what} of each run's model over its rounds; at the end: {', '.join(ends)}."
        return Plot("runs", "How good the bought models became", text, svg(figure, "runs"))
