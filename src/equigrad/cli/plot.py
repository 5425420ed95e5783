"""The picture of `equigrad data describe`: one bar for each party, cut by class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from equigrad.data.describe import PartyRow
from equigrad.errors import ConfigError

__all__ = ["FORMATS", "draw_division"]

FORMATS = (".svg", ".png", ".pdf")
"""File endings that a plot may have."""

_MOST_CLASSES = 20


def draw_division(rows: Sequence[PartyRow], classes: Sequence[str], path: Path) -> None:
    """Draw the parties' records by class into a file.

    Parameters
    ----------
    rows
        One for each party.
    classes
        Class names in order; empty for regression, which draws whole bars, as do very many classes.
    path
        Ends in one of :data:`FORMATS`.

    Raises
    ------
    ConfigError
        If the ending is another, or the file cannot be written.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(
            f"Expected a plot file ending in {', '.join(FORMATS)}; got {path}. Rename it."
        )
    figure = Figure(figsize=(8, 1.2 + 0.34 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    names = [row.party for row in rows]
    if 1 < len(classes) <= _MOST_CLASSES:
        counts = np.array([[row.label_counts[c] for c in classes] for row in rows])
        starts = counts.cumsum(axis=1) - counts
        colours = colormaps["viridis"](np.linspace(0.05, 0.95, len(classes)))
        for k, name in enumerate(classes):
            axes.barh(names, counts[:, k], left=starts[:, k], color=colours[k], label=name)
        figure.legend(title="class", loc="outside right upper", fontsize="small")
    else:
        axes.barh(names, [row.records for row in rows], color="#31688e")
    axes.invert_yaxis()
    axes.set_xlabel("training records")
    axes.set_title("What each party holds")
    axes.spines[["top", "right"]].set_visible(False)
    try:
        figure.savefig(path)
    except OSError as error:
        raise ConfigError(
            f"Expected to write {path}, got: {error.strerror}. Check the path."
        ) from None
