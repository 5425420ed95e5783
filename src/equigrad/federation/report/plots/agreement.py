"""Whose uploads pointed the same way: the cosines of the last round that was valued."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable

from equigrad.federation.record.canonical import decode_matrix
from equigrad.federation.report.plots.canvas import (
    MANY,
    MUTED,
    Plot,
    label,
    new_figure,
    svg,
)
from equigrad.federation.report.story import Run

__all__ = ["agreement"]

_WRITTEN_UP_TO = 12


def agreement(run: Run) -> Plot | None:
    """Draw the cosine of every two uploads of the last round whose inner products are there."""
    round_ = next((r for r in reversed(run.rounds) if r.gram is not None), None)
    if round_ is None or len(round_.gram_parties) < 2:
        return None
    cosines = _cosines(decode_matrix(round_.gram))
    count = len(cosines)
    figure, axes = new_figure(height=min(5.0, 2.2 + 0.26 * count))
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    shown: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -1.0, "vmax": 1.0}
    mesh: ScalarMappable
    if count <= MANY:
        mesh = axes.pcolormesh(cosines, edgecolors="none", **shown)
        axes.set_ylim(count, 0)
        names = [label(party) for party in round_.gram_parties]
        axes.set_yticks(np.arange(count) + 0.5, names)
        axes.set_xticks(np.arange(count) + 0.5, names, rotation=40, ha="right")
        axes.set_aspect("equal")
    else:
        mesh = axes.imshow(cosines, interpolation="none", **shown)
        axes.set_xlabel("party, in the run file\u2019s order")
        axes.set_ylabel("party, in the run file\u2019s order")
    if count <= _WRITTEN_UP_TO:
        for i, j in np.ndindex(count, count):
            ink = "#ffffff" if abs(cosines[i, j]) > 0.6 else "#222222"
            text = f"{round(float(cosines[i, j]), 2) + 0.0:.2f}".replace("-", "\u2212")
            axes.text(j + 0.5, i + 0.5, text, color=ink, fontsize=7.5, ha="center", va="center")
    bar = figure.colorbar(mesh, ax=axes, shrink=0.8, aspect=24)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=MUTED, labelsize=8, length=0)
    bar.set_label("cosine of the uploads", color=MUTED, fontsize=9)
    off = cosines[~np.eye(count, dtype=bool)]
    text = (
        f"Cosines between the uploads of round {round_.index}: from {off.min():.2f} to "
        f"{off.max():.2f}, mean {off.mean():.2f}."
    )
    title = f"Whose uploads agreed (round {round_.index})"
    return Plot("agreement", title, text, svg(figure, "agreement"))


def _cosines(gram: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the cosines of a Gram matrix; those with a zero upload are 0."""
    norms = np.sqrt(np.clip(np.diag(gram), 0, None))
    scale = np.outer(norms, norms)
    cosines: npt.NDArray[np.float64] = np.divide(
        gram, scale, out=np.zeros_like(gram), where=scale > 0
    )
    return cosines.clip(-1, 1)
