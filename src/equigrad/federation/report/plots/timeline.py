"""When somebody was flagged, excluded, refused, absent or not a member."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from equigrad.federation.report.plots.canvas import (
    INK,
    MUTED,
    Plot,
    label,
    new_figure,
    rounds_axis,
    svg,
)
from equigrad.federation.report.rows import PartyRow
from equigrad.federation.report.story import Run

__all__ = ["timeline"]

Spans = list[tuple[int, int]]

_MOST = 30
_STATES = {
    "echo": "#d55e00",
    "clones": "#e69f00",
    "random": "#cc79a7",
    "other flag": "#7f7f7f",
    "excluded": INK,
    "refused": "#0072b2",
    "absent": "#56b4e9",
}


def timeline(run: Run, rows: Sequence[PartyRow]) -> Plot | None:
    """Draw one row for each party that something happened to; None if nothing did."""
    events = {row.party: found for row in rows if (found := _events(run, row))}
    void = [r.index for r in run.rounds if r.void]
    if not events and not void:
        return None
    most = sorted(events, key=lambda p: -sum(n for spans in events[p].values() for _, n in spans))
    kept = set(most[:_MOST])
    shown = [party for party in events if party in kept]
    figure, axes = new_figure(height=max(1.7, 0.95 + 0.3 * len(shown)))
    for y, party in enumerate(reversed(shown)):
        _row(axes, y, events[party])
    for index in void:
        axes.axvspan(index - 0.5, index + 0.5, color=MUTED, alpha=0.25, linewidth=0)
    axes.set_yticks(range(len(shown)), [label(party) for party in reversed(shown)])
    axes.set_ylim(-0.6, max(len(shown), 1) - 0.4)
    axes.set_xlim(-0.5, max(len(run.rounds), 1) - 0.5)
    rounds_axis(axes, "round")
    axes.grid(visible=False, axis="y")
    used = {state for party in shown for state in events[party]}
    legend = [Patch(color=colour, label=s) for s, colour in _STATES.items() if s in used]
    if void:
        legend.append(Patch(color=MUTED, alpha=0.25, label="void round"))
    axes.legend(
        handles=legend,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=5,
        frameon=False,
        fontsize=8.5,
        labelcolor=MUTED,
    )
    return Plot(
        "timeline",
        "Flags and absences",
        _words(rows, len(events), len(void)),
        svg(figure, "timeline"),
    )


def _row(axes: Axes, y: int, events: dict[str, Spans]) -> None:
    for state, spans in events.items():
        thin = state in ("excluded", "absent", "refused")
        low, height = (y - 0.36, 0.2) if thin else (y - 0.12, 0.46)
        bars = [(first - 0.5, length) for first, length in spans]
        axes.broken_barh(bars, (low, height), facecolors=_STATES[state], linewidth=0)


def _events(run: Run, row: PartyRow) -> dict[str, Spans]:
    """Return what happened to a party as spans ``(first round, number of rounds)``."""
    rounds: dict[str, list[int]] = {}
    for r in run.rounds:
        state = r.state(row.party)
        if state != "present" and not r.void:  # a void round is shaded for everybody
            rounds.setdefault(state, []).append(r.index)
    events = {state: _joined(indices) for state, indices in rounds.items()}
    for span in row.flags:
        kind = span.kind if span.kind in _STATES else "other flag"
        events.setdefault(kind, []).append((span.first, span.last - span.first + 1))
    return events


def _joined(indices: Sequence[int]) -> Spans:
    spans: Spans = []
    for index in indices:
        if spans and sum(spans[-1]) == index:
            spans[-1] = (spans[-1][0], spans[-1][1] + 1)
        else:
            spans.append((index, 1))
    return spans


def _words(rows: Sequence[PartyRow], parties: int, void: int) -> str:
    flags = [f"{row.party}: {span}" for row in rows for span in row.flags]
    told = "; ".join(flags[:10]) or "none"
    more = f" and {len(flags) - 10} more" if len(flags) > 10 else ""
    return f"Flags: {told}{more}. Parties with any event: {parties}. Void rounds: {void}."
