"""The plots of a scoring's page: spreads, detection, removal, agreement, keep rates."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from equigrad.errors import ConfigError
from equigrad.federation.report.plots.canvas import (
    GRID,
    INK,
    MUTED,
    Plot,
    drawing,
    label,
    new_figure,
    percent_axis,
    styles,
    svg,
)
from equigrad.steward.scoring.report.story import ScoreStory
from equigrad.steward.scoring.table import restored
from equigrad.valuation import suspicion
from equigrad.valuation.detection import discovery_curve

__all__ = ["draw_score_plots"]

_BINS = 40
_RIGHT, _WRONG = "#0072b2", "#d55e00"


def draw_score_plots(story: ScoreStory, frame: pd.DataFrame | None) -> list[Plot]:
    """Return the plots that there is something to show in; the same folder, the same SVG."""
    if not story.scores or frame is None:
        return []
    with drawing():
        drawn = [_spread(story, frame, name, k) for k, name in enumerate(story.scorers)]
        drawn += [_discovery(story, frame), _removal(story), _agreement(story)]
        drawn += [
            _rates(name, body, k)
            for k, (name, body) in enumerate(story.selection.get("rates", {}).items())
        ]
    return [plot for plot in drawn if plot is not None]


def _spread(story: ScoreStory, frame: pd.DataFrame, name: str, number: int) -> Plot | None:
    """Draw one scorer's histogram, wrong labels apart where they are known."""
    values = frame[name].to_numpy(dtype=np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        return None
    figure, axes = new_figure()
    edges = np.histogram_bin_edges(values[finite], bins=_BINS)
    wrong = frame["wrong"].to_numpy(dtype=bool) if "wrong" in frame else None
    if wrong is None:
        axes.hist(values[finite], bins=edges.tolist(), color=_RIGHT)
    else:
        parts = [values[finite & ~wrong], values[finite & wrong]]
        names = ["label taken for right", "label known to be wrong"]
        axes.hist(parts, bins=edges.tolist(), color=[_RIGHT, _WRONG], label=names, stacked=True)
        axes.legend(frameon=False, fontsize=8.5, labelcolor=MUTED)
    threshold = _threshold(story, name)
    if threshold is not None:
        axes.axvline(threshold, color=INK, linewidth=1.0, linestyle="--")
    axes.set_xlabel(label(name, 40))
    axes.set_ylabel("records")
    low, middle, high = np.quantile(values[finite], [0.0, 0.5, 1.0])
    endless = "" if finite.all() else f" {int((~finite).sum())} infinite scores are left out."
    line = "" if threshold is None else f" Dashed: the threshold {threshold:.3g}."
    text = (
        f"Scores of {len(values)} records by {name}: from {low:.3g} over {middle:.3g} (median) to "
        f"{high:.3g}.{line}{endless}"
    )
    key = f"spread-{number}"
    return Plot(key, f"Scores by {name}", text, svg(figure, key))


def _threshold(story: ScoreStory, name: str) -> float | None:
    """Return the threshold that the selection used on these scores."""
    body = story.selection.get("selection")
    if body is None or body["scorer"] != name:
        return None
    if "threshold" in body["released"]:
        return float(body["released"]["threshold"])
    if body["selector"] != "fixed-threshold":
        return None
    fixed = body["settings"]["threshold"]
    if fixed is not None:
        return float(fixed)
    return 0.0 if name.startswith("aum") else math.log(body["settings"]["n_classes"])


def _discovery(story: ScoreStory, frame: pd.DataFrame) -> Plot | None:
    """Draw how many wrong labels an inspection in each scorer's order finds."""
    if not story.scores["detection"] or "wrong" not in frame:
        return None
    wrong = frame["wrong"].to_numpy(dtype=bool)
    curves: dict[str, Any] = {}
    for name, body in story.scorers.items():
        values = frame[name].to_numpy(dtype=np.float64)
        try:
            scores = restored(body, values, public_validation=False)
            curves[name] = discovery_curve(suspicion(scores), wrong)
        except ConfigError:
            continue
    if not curves:
        return None
    figure, axes = new_figure()
    look = styles(list(curves))
    for name, curve in curves.items():
        axes.plot(
            curve.inspected,
            curve.found,
            color=look[name].colour,
            linestyle=look[name].dash,
            label=label(name),
        )
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=":", label="at random")
    _percent_both(axes, "records inspected", "wrong labels found")
    told = ", ".join(
        f"{name} {np.interp(0.2, c.inspected, c.found):.0%}" for name, c in curves.items()
    )
    text = f"Wrong labels found when the most suspicious 20 % are inspected: {told}."
    return Plot("discovery", "Finding wrong labels", text, svg(figure, "discovery"))


def _removal(story: ScoreStory) -> Plot | None:
    """Draw what becomes of a model when records are removed by score."""
    body = story.removal
    if "removed" not in body:
        return None
    figure, axes = new_figure()
    series = {
        "most suspicious first": body["least_valuable"],
        "at random": body["random"],
        "least suspicious first": body["most_valuable"],
    }
    look = styles(list(series))
    for name, values in series.items():
        axes.plot(
            body["removed"], values, color=look[name].colour, linestyle=look[name].dash, label=name
        )
    _percent_both(axes, "records removed", "test accuracy")
    at = f"{body['removed'][-1]:.0%}"
    told = ", ".join(f"{name} {values[-1]:.1%}" for name, values in series.items())
    text = (
        f"Test accuracy without the removed records, by {body['scorer']}; models trained without "
        f"privacy. With {at} removed: {told}."
    )
    return Plot("removal", "Removing records by score", text, svg(figure, "removal"))


def _agreement(story: ScoreStory) -> Plot | None:
    """Draw the rank correlations between scorers."""
    found: Mapping[str, Any] = story.scores["agreement"]
    names = found["scorers"]
    if len(names) < 2:
        return None
    matrix = np.array(
        [[math.nan if v is None else v for v in row] for row in found["matrix"]], dtype=np.float64
    )
    figure, axes = new_figure(height=1.4 + 0.35 * len(names))
    axes.grid(visible=False)
    axes.imshow(matrix, vmin=-1.0, vmax=1.0, cmap="RdBu", aspect="auto")
    axes.set_xticks(range(len(names)), [label(n, 14) for n in names], rotation=30, ha="right")
    axes.set_yticks(range(len(names)), [label(n, 22) for n in names])
    for i, j in np.ndindex(*matrix.shape):
        if np.isfinite(matrix[i, j]):
            dark = "white" if abs(matrix[i, j]) > 0.6 else "black"
            axes.text(j, i, f"{matrix[i, j]:.2f}", ha="center", va="center", color=dark, fontsize=8)
    off = matrix[~np.eye(len(names), dtype=bool)]
    text = (
        "Rank correlations between scorers, each turned so that high is suspicious; from "
        f"{np.nanmin(off):.2f} to {np.nanmax(off):.2f}."
        if np.isfinite(off).any()
        else "Rank correlations between scorers: none is defined, scores are constant."
    )
    return Plot("agreement", "Do the scorers agree?", text, svg(figure, "agreement"))


def _rates(name: str, body: Mapping[str, Any], number: int) -> Plot:
    """Draw the share kept of each group."""
    figure, axes = new_figure(height=1.2 + 0.3 * len(body["names"]))
    rates: npt.NDArray[np.float64] = np.array(
        [math.nan if rate is None else rate for rate in body["rates"]], dtype=np.float64
    )
    places = np.arange(len(rates))
    axes.barh(places, np.nan_to_num(rates), color=_RIGHT, height=0.6)
    axes.set_yticks(places, [label(n) for n in body["names"]])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_color(GRID)
    axes.set_xlabel("share kept")
    percent_axis(axes, of="x")
    told = ", ".join(
        f"{group} {'no records' if np.isnan(rate) else f'{rate:.0%}'}"
        for group, rate in zip(body["names"], rates, strict=True)
    )
    ratio = body["ratio"]
    last = "" if ratio is None else f" Smallest over largest: {ratio:.2f}."
    text = f"Share of each group that the selection keeps, by {name}: {told}.{last}"
    key = f"rates-{number}"
    return Plot(key, f"Kept, by {name}", text, svg(figure, key))


def _percent_both(axes: Axes, across: str, up: str) -> None:
    percent_axis(axes)
    percent_axis(axes, of="x")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.legend(frameon=False, fontsize=8.5, labelcolor=MUTED)
