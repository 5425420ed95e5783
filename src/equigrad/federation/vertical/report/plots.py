"""The plots of a vertical run: how the loss fell, who was weighed how, what it cost in bytes.

Made from the record alone, with the federation's canvas, so that all reports look alike.
"""

from collections.abc import Mapping, Sequence

from matplotlib.ticker import FuncFormatter, NullFormatter

from equigrad.federation.report.plots.canvas import (
    INK,
    MANY,
    MUTED,
    PAPER,
    Plot,
    Style,
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
from equigrad.federation.vertical.report.rows import PartyRow, party_rows, round_rows, summarise
from equigrad.federation.vertical.report.story import Story

__all__ = ["draw_plots"]

Points = tuple[list[int], list[float]]

_ROUNDS = "rounds settled"
_STATES = {"absent": "#56b4e9", "refused": "#d55e00"}


def draw_plots(story: Story) -> list[Plot]:
    """Return the plots that the record has something to show in; the same record, the same SVG."""
    rows = party_rows(story)
    style = styles(story.parties)
    with drawing():
        drawn = [
            _losses(story),
            _weights(story, style),
            _steps(story),
            _contributions(rows, style),
            _traffic(story),
            _attendance(story),
        ]
    return [plot for plot in drawn if plot is not None]


def _losses(story: Story) -> Plot | None:
    series = _loss_series(story)
    if not any(ys for _, ys in series.values()):
        return None
    figure, axes = new_figure()
    looks = styles(list(series))
    told = []
    for name, points in series.items():
        if points[1]:
            draw_line(axes, points, name, looks[name])
            told.append(f"{name} {points[1][0]:.4g} to {points[1][-1]:.4g}")
    rounds_axis(axes, _ROUNDS)
    axes.set_xlim(left=0)
    axes.set_ylabel(f"loss ({story.start['loss']})")
    side_legend(axes)
    what = "estimated labels" if story.private else "labels"
    text = f"Mean loss against the {what} after each round: {'; '.join(told)}."
    return Plot("loss", "How the loss fell", text, svg(figure, "loss"))


def _loss_series(story: Story) -> dict[str, Points]:
    """Return losses over rounds, of the rounds behind the model; the first pass if it chose T."""
    kept = [(turn.t, turn.stepped) for turn in story.kept if turn.stepped]
    sent: Points = ([], [])
    if kept and kept[0][1]["loss_before"] is not None:
        sent = ([0], [kept[0][1]["loss_before"]])
    sent = (sent[0] + [t for t, _ in kept], sent[1] + [body["loss"] for _, body in kept])
    series = {"rows sent": sent}
    if story.start["settings"]["weigh_on"] == "holdout":
        series["rows that weigh"] = _known([(t, body["weigh_loss"]) for t, body in kept])
    chose = [turn for turn in story.settled if turn.pass_ == 0]
    held_out = [(turn.t, turn.stepped["validation_loss"]) for turn in chose if turn.stepped]
    again = story.finish is not None and story.finish["refitted"]
    name = "rows held out to stop" + (" (first pass)" if again else "")
    return series | {name: _known(held_out)}


def _weights(story: Story, style: Mapping[str, Style]) -> Plot | None:
    kept = [turn for turn in story.kept if turn.weighed is not None]
    if not kept:
        return None
    figure, axes = new_figure()
    last = {}
    mean = [sum(turn.weighed["w"][m] for turn in kept if turn.weighed) for m in _numbers(story)]
    shown = sorted(_numbers(story), key=lambda m: (-mean[m], m))[:MANY]
    for m in sorted(shown):
        name = story.parties[m]
        ys = [float(turn.weighed["w"][m]) for turn in kept if turn.weighed]
        draw_line(axes, ([turn.t for turn in kept], ys), label(name), style[name])
        last[name] = ys[-1]
    rounds_axis(axes, "round")
    percent_axis(axes)
    axes.set_ylim(-0.02, 1.04)
    axes.set_ylabel("weight in the round")
    side_legend(axes)
    top = max(last, key=last.__getitem__)
    more = f" The {MANY} with the largest weights of {len(mean)}." if len(mean) > MANY else ""
    text = (
        f"Assistance weight of each party by round; they sum to 100 %.{more} In the last round "
        f"the largest is {top} ({last[top]:.3f})."
    )
    return Plot("weights", "Who was weighed how", text, svg(figure, "weights"))


def _numbers(story: Story) -> range:
    return range(len(story.parties))


def _steps(story: Story) -> Plot | None:
    kept = [(turn.t, turn.stepped) for turn in story.kept if turn.stepped]
    if not kept:
        return None
    figure, axes = new_figure(height=2.6)
    ys = [float(body["eta"]) for _, body in kept]
    draw_line(axes, ([t for t, _ in kept], ys), "step", Style(INK, "-", "o"))
    capped = [(t, float(body["eta"])) for t, body in kept if body["capped"]]
    if capped:
        axes.plot(
            *zip(*capped, strict=True), "o", color="#d55e00", markersize=6, label="at the cap"
        )
        side_legend(axes)
    positive = [y for y in ys if y > 0.0]
    if len(positive) == len(ys) and max(ys) > 20 * min(ys):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(_short))  # not powers, as mathematics
        axes.yaxis.set_minor_formatter(NullFormatter())
    rounds_axis(axes, "round")
    axes.set_ylabel("eta")
    text = (
        f"Step along the weighed direction by round: first {ys[0]:.4g}, last {ys[-1]:.4g}, "
        f"{len(capped)} at the cap. A growing step is no sign of convergence or of its lack."
    )
    return Plot("steps", "How far each round went", text, svg(figure, "steps"))


def _contributions(rows: Sequence[PartyRow], style: Mapping[str, Style]) -> Plot | None:
    valued = [(row.loss_share, row) for row in rows if row.loss_share is not None]
    if not valued:
        return None
    ranked = sorted(valued, key=lambda pair: pair[0])[-MANY:]
    figure, axes = new_figure(height=max(1.6, 0.75 + 0.27 * len(ranked)))
    for y, (share, row) in enumerate(ranked):
        colour = style[row.party].colour
        axes.plot(share, y, "o", color=colour, markersize=7, zorder=4)
        if row.shapley is not None:
            shown = axes.plot(row.shapley, y, "D", color=colour, markersize=5, zorder=5)
            shown[0].set_markerfacecolor(PAPER)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_yticks(range(len(ranked)), [label(row.party) for _, row in ranked])
    axes.set_ylim(-0.6, len(ranked) - 0.4)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("loss taken away: dot by its share of each round, diamond by Shapley value")
    told = ", ".join(f"{row.party} {share:.3g}" for share, row in reversed(ranked))
    text = f"How much of the loss each party took away: {told}. Parts as fitted, not a retraining."
    return Plot("contributions", "What each party brought", text, svg(figure, "contributions"))


def _traffic(story: Story) -> Plot | None:
    outside = [row for row in round_rows(story) if row.party != story.sponsor and row.sent]
    if not outside:
        return None
    start = sum(
        int(told[name])
        for told in (story.align["sent"], story.align["received"])
        for name in story.parties[1:]
    )
    xs, ys = [0], [float(start)]
    for turn in story.turns:
        own = [row for row in outside if row.round == turn.index]
        xs.append(turn.index + 1)
        ys.append(ys[-1] + sum((row.sent or 0) + (row.received or 0) for row in own))
    figure, axes = new_figure(height=2.8)
    mega = [y / 1e6 for y in ys]
    draw_line(axes, (xs, mega), "this run", Style("#0072b2", "-", "o"))
    rival = summarise(story).split_learning
    if rival is not None:
        axes.axhline(rival / 1e6, color=MUTED, linewidth=1, dashes=(4, 3), label="split learning")
    rounds_axis(axes, "rounds asked")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("megabytes so far")
    side_legend(axes)
    beside = "" if rival is None else f" Split learning would have sent {rival / 1e6:.3g} MB."
    text = f"Bytes between sponsor and assistors, measured: {mega[-1]:.3g} MB in all.{beside}"
    return Plot("traffic", "What went over the wire", text, svg(figure, "traffic"))


def _attendance(story: Story) -> Plot | None:
    rows = [row for row in round_rows(story) if row.state in _STATES]
    if not rows:
        return None
    names = [name for name in story.parties if any(row.party == name for row in rows)][:MANY]
    figure, axes = new_figure(height=max(1.7, 0.95 + 0.3 * len(names)))
    for y, name in enumerate(reversed(names)):
        for state, colour in _STATES.items():
            at = [row.round for row in rows if row.party == name and row.state == state]
            axes.plot(at, [y] * len(at), "s", color=colour, markersize=6)
    for state, colour in _STATES.items():
        axes.plot([], [], "s", color=colour, label=state)
    axes.set_yticks(range(len(names)), [label(name) for name in reversed(names)])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlim(-0.5, max(len(story.turns), 1) - 0.5)
    rounds_axis(axes, "round, from 0 over both passes")
    axes.grid(visible=False, axis="y")
    side_legend(axes)
    told = ", ".join(f"{name} {sum(row.party == name for row in rows)}" for name in names)
    text = f"Rounds in which a party gave no usable answer: {told}."
    return Plot("attendance", "Who was missing when", text, svg(figure, "attendance"))


def _known(found: Sequence[tuple[int, float | None]]) -> Points:
    kept = [(x, y) for x, y in found if y is not None]
    return [x for x, _ in kept], [y for _, y in kept]


def _short(value: float, _: object) -> str:
    return f"{value:.3g}"
