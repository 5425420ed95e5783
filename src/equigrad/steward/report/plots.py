"""The plots of a training: who is served how well, and what clipping and noise do, over the steps.

Made from the record alone, with the federation's canvas, so that all reports look alike.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from equigrad.federation.report.plots.canvas import (
    INK,
    MUTED,
    Plot,
    Style,
    drawing,
    label,
    new_figure,
    percent_axis,
    rounds_axis,
    styles,
    svg,
)
from equigrad.steward.report.story import Story

__all__ = ["draw_plots"]

Points = tuple[list[int], list[float]]

_TERMS = {"R_mag": "clip size", "R_dir": "clip direction", "R_noise": "noise"}


def draw_plots(story: Story) -> list[Plot]:
    """Return the plots that the record has something to show in; the same record, the same SVG."""
    style = styles(story.groups)
    with drawing():
        drawn = [
            _measured(story, style, "accuracy"),
            _measured(story, style, "loss"),
            _state(story),
            _misalignment(story, style),
            *(_risk(story, name, style) for name in _TERMS),
        ]
    return [plot for plot in drawn if plot is not None]


def _measured(story: Story, style: Mapping[str, Style], metric: str) -> Plot | None:
    if not story.measured:
        return None
    figure, axes = new_figure()
    told = []
    whole = _points(story, "test", metric)
    _line(axes, whole, "all records", Style(INK, "-", "o"), width=1.2)
    for name in story.groups:
        points = _points(story, "test", metric, name)
        _line(axes, points, label(name), style[name])
        told += [f"{name} {points[1][-1]:.3f}"] if points[1] else []
        if story.paired:
            twin = _points(story, "twin", metric, name)
            dashed = Style(style[name].colour, ":", style[name].marker)
            _line(axes, twin, f"{label(name)}, not private", dashed, width=1.1)
    _finish(axes, f"test {metric}")
    if metric == "accuracy":
        percent_axis(axes)
    who = "by group" if story.groups else "of all records"
    twin_words = " Dotted: the twin without privacy." if story.paired and story.groups else ""
    told = told or [f"{y:.3f}" for y in whole[1][-1:]]
    last = f" At the end: {', '.join(told)}." if told else ""
    text = f"Test {metric} {who} over the steps.{last}{twin_words}"
    return Plot(metric, f"Test {metric} over training", text, svg(figure, metric))


def _state(story: Story) -> Plot | None:
    """Draw the clipping rule's released numbers (a threshold, bounds)."""
    series: dict[str, Points] = {}
    for step, body in story.measured:
        for name, value in _numbers(body["state"]).items():
            xs, ys = series.setdefault(name, ([], []))
            xs.append(step)
            ys.append(value)
    if not series:
        return None
    figure, axes = new_figure()
    look = styles(list(series))
    for name, points in series.items():
        _line(axes, points, label(name), look[name])
    if min(min(ys) for _, ys in series.values()) > 0:
        axes.set_yscale("log")
        for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            formatter(FuncFormatter(_short))  # Matplotlib's own writes powers as mathematics
    _finish(axes, "released value")
    rule = story.start["event"]["rule"]
    ends = ", ".join(f"{name} {ys[-1]:.4g}" for name, (_, ys) in series.items())
    text = f"Released state of the clipping rule {rule} over the steps. At the end: {ends}."
    return Plot("state", "What the clipping rule learnt", text, svg(figure, "state"))


def _misalignment(story: Story, style: Mapping[str, Style]) -> Plot | None:
    """Draw the cosine between each group's gradient and the step, before and after clipping."""
    if not story.diagnosed:
        return None
    figure, axes = new_figure()
    told = []
    for k, name in enumerate(story.groups):
        before = _diagnosed(story, "cos_gk_g", k)
        after = _diagnosed(story, "cos_gk_gb", k)
        _line(axes, after, f"{label(name)}, clipped", style[name])
        dotted = Style(style[name].colour, ":", style[name].marker)
        _line(axes, before, f"{label(name)}, as it was", dotted, width=1.1)
        if before[1] and after[1]:
            told.append(f"{name} {after[1][-1] - before[1][-1]:+.3f}")
    _finish(axes, "cosine with the step's gradient")
    changes = ", ".join(told) or "none known"
    text = (
        "How well each group\u2019s own gradient is aligned with the batch\u2019s, before and "
        f"after clipping. Change by clipping at the last diagnosis: {changes}."
    )
    return Plot("misalignment", "Gradient misalignment", text, svg(figure, "misalignment"))


def _risk(story: Story, term: str, style: Mapping[str, Style]) -> Plot | None:
    """Draw one term of the excessive risk by group."""
    lines = {n: _diagnosed(story, term, k) for k, n in enumerate(story.groups)}
    if not any(ys for _, ys in lines.values()):
        return None
    figure, axes = new_figure()
    axes.axhline(0, color=MUTED, linewidth=0.9)
    for name, points in lines.items():
        _line(axes, points, label(name), style[name])
    cause = _TERMS[term]
    _finish(axes, f"loss added by {cause}, per step")
    sums = ", ".join(f"{name} {sum(ys):+.3g}" for name, (_, ys) in lines.items() if ys)
    text = (
        f"Second-order estimate of the loss that one step adds to each group because of {cause}. "
        f"Sum over the steps diagnosed: {sums}."
    )
    return Plot(term, f"Excessive risk by {cause}", text, svg(figure, term))


def _points(story: Story, model: str, metric: str, group: str | None = None) -> Points:
    """Return a model's metric over the steps, of one group or of all records."""
    found = []
    for step, body in story.measured:
        tables = body[model]
        value = tables["overall"] if group is None else tables["by_group"]
        found.append((step, value[metric] if group is None else value[metric][group]))
    return _known(found)


def _diagnosed(story: Story, series: str, group: int) -> Points:
    found = [
        (step, body["by_group"][series][group])
        for step, body in story.diagnosed
        if series in body["by_group"]
    ]
    return _known(found)


def _known(found: Sequence[tuple[int, Any]]) -> Points:
    """Return the points that have a finite number."""
    kept = [(x, y) for x, y in found if isinstance(y, int | float)]  # "inf" is text in a record
    return [x for x, _ in kept], [float(y) for _, y in kept]


def _numbers(state: Mapping[str, Any]) -> dict[str, float]:
    """Return a rule's state as named numbers; a list becomes one for each entry."""
    numbers: dict[str, float] = {}
    for name, value in state.items():
        if isinstance(value, list):
            numbers |= {f"{name} {i}": float(v) for i, v in enumerate(value)}
        elif isinstance(value, int | float) and not isinstance(value, bool):
            numbers[name] = float(value)
    return numbers


def _short(value: float, _: object) -> str:
    return f"{value:.3g}"


def _line(axes: Axes, points: Points, name: str, look: Style, *, width: float = 1.6) -> None:
    marker = look.marker if len(points[0]) < 4 else None
    axes.plot(
        *points,
        color=look.colour,
        linestyle=look.dash,
        linewidth=width,
        marker=marker,
        markersize=3.5,
        label=name,
    )


def _finish(axes: Axes, what: str) -> None:
    rounds_axis(axes, "steps")
    axes.set_xlim(left=0)
    axes.set_ylabel(what)
    entries = len(axes.get_legend_handles_labels()[0])
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        fontsize=8.5 if entries <= 12 else 7,
        labelcolor=MUTED,
        handlelength=1.8,
    )
