"""The plots of a market run: what the budget bought, who sold, how good the model became.

Made from the record alone, with the federation's canvas, so that all reports look alike.
Neighbour: ``supply`` draws a clearing.
"""

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equigrad.federation.report.plots.canvas import (
    INK,
    MANY,
    MUTED,
    Plot,
    Style,
    draw_line,
    drawing,
    label,
    new_figure,
    percent_axis,
    rounds_axis,
    side_legend,
    svg,
)
from equigrad.federation.trade.report.rows import (
    PartyRow,
    RoundRow,
    party_rows,
    round_rows,
    summarise,
)
from equigrad.federation.trade.report.story import Story
from equigrad.federation.trade.report.supply import supply

__all__ = ["draw_plots"]

_BLUE, _ORANGE, _GREEN, _RED = "#0072b2", "#e69f00", "#009e73", "#d55e00"


def draw_plots(story: Story) -> list[Plot]:
    """Return the plots that the record has something to show in; the same record, the same SVG."""
    rounds = [row for row in round_rows(story) if row.settled]
    parties = party_rows(story)
    with drawing():
        drawn = [
            _scores(story, rounds),
            _spending(story, rounds),
            _errors(rounds),
            _epsilons(parties),
            _payments(story, parties),
            supply(story),
            _values(parties),
        ]
    return [plot for plot in drawn if plot is not None]


def _scores(story: Story, rounds: Sequence[RoundRow]) -> Plot | None:
    own = [(row.round + 1, row.score) for row in rounds if row.score is not None]
    if not own:
        return None
    figure, axes = new_figure()
    what = "R\u00b2" if story.regression else "accuracy"
    series = {"bought": own}
    for name, words in (("buy-all", "everybody sells its cap"), ("non-private", "no noise")):
        rival = (story.baselines or {}).get(name)
        if rival is not None:
            pairs = zip(rival["rounds"], rival["score"], strict=True)
            told = [(t + 1, y) for t, y in pairs if y is not None]
            series[words] = told
    looks = (Style(_BLUE, "-", "o"), Style(_ORANGE, "--", "s"), Style(MUTED, ":", "^"))
    ends = []
    for (name, points), look in zip(series.items(), looks, strict=False):
        if points:
            xs, ys = [x for x, _ in points], [y for _, y in points]
            draw_line(axes, (xs, ys), name, look)
            ends.append(f"{name} {ys[-1]:.3f}")
    rounds_axis(axes)
    if not story.regression:
        percent_axis(axes)
    axes.set_ylabel(f"test {what}")
    side_legend(axes)
    text = f"Test {what} of the model after each round; at the end: {', '.join(ends)}."
    return Plot("score", "How good the bought model became", text, svg(figure, "score"))


def _spending(story: Story, rounds: Sequence[RoundRow]) -> Plot | None:
    if not rounds:
        return None
    figure, axes = new_figure(height=2.8)
    scale = story.currency.scale
    xs = [row.round + 1 for row in rounds]
    paid = [row.paid / scale for row in rounds]
    lost = [(row.spent - row.paid) / scale for row in rounds]
    axes.bar(xs, paid, color=_BLUE, width=0.8, label="paid")
    if any(lost):
        axes.bar(xs, lost, bottom=paid, color=_RED, width=0.8, label="awarded, not delivered")
    budget = [row.budget / scale for row in rounds]
    axes.step(
        [xs[0] - 0.5, *(x + 0.5 for x in xs)],
        [budget[0], *budget],
        where="pre",
        color=INK,
        linewidth=1,
        label="budget",
    )
    rounds_axis(axes, "round")
    axes.set_ylim(bottom=0)
    axes.set_ylabel(story.currency.code)
    side_legend(axes)
    total = summarise(story)
    money = story.currency.format
    text = (
        f"What was paid in each round, against its budget: {money(total.paid)} of "
        f"{money(total.budget)} {story.currency.code} in all. What is not paid goes back."
    )
    return Plot("spending", "What the budget was spent on", text, svg(figure, "spending"))


def _errors(rounds: Sequence[RoundRow]) -> Plot | None:
    known = [row for row in rounds if row.relative is not None]
    if not known:
        return None
    figure, axes = new_figure(height=2.8)
    xs = [row.round + 1 for row in known]
    whole = [row.relative or 0.0 for row in known]
    of_noise = [(row.relative or 0.0) * (row.variance or 0.0) / (row.err or 1.0) for row in known]
    draw_line(axes, (xs, whole), "bound", Style(_BLUE, "-", "o"))
    draw_line(axes, (xs, of_noise), "noise alone", Style(_ORANGE, "--", "s"))
    axes.axhline(1.0, color=MUTED, linewidth=1, dashes=(4, 3), label="no update")
    positive = [y for y in (*whole, *of_noise) if y > 0]
    if positive and max(positive) > 20 * min((*positive, 1.0)):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    rounds_axis(axes, "round")
    axes.set_ylabel("ERR / L\u00b2")
    side_legend(axes)
    above = sum(y > 1 for y in whole)
    text = (
        f"Error bound of each round's aggregate over L\u00b2: first {whole[0]:.3g}, last "
        f"{whole[-1]:.3g}. Above 1 ({above} of {len(whole)} rounds) no update at all would have "
        "the smaller bound; the bound is a worst case, the model may learn all the same."
    )
    return Plot("error", "How noisy each round was", text, svg(figure, "error"))


def _epsilons(parties: Sequence[PartyRow]) -> Plot | None:
    shown = _most(parties, lambda row: row.epsilon)
    if not any(row.epsilon for row in shown):
        return None
    figure, axes = _bars(shown, [row.epsilon for row in shown], _BLUE, "sold")
    places = range(len(shown))
    axes.plot([row.limit for row in shown], places, "|", color=INK, markersize=10, label="limit")
    axes.set_xlabel("epsilon over all sales, added up")
    side_legend(axes)
    top = max(shown, key=lambda row: row.epsilon)
    text = (
        f"Epsilon that each party sold, beside the limit of its account{_of(shown, parties)}; "
        f"most {top.party}, {top.epsilon:.3g} of {top.limit:g}."
    )
    return Plot("epsilon", "What each party sold", text, svg(figure, "epsilon"))


def _payments(story: Story, parties: Sequence[PartyRow]) -> Plot | None:
    shown = _most(parties, lambda row: float(row.earned))
    if not any(row.earned for row in shown):
        return None
    scale = story.currency.scale
    figure, axes = _bars(shown, [row.earned / scale for row in shown], _GREEN, "paid")
    costs = [row.cost / scale for row in shown]
    axes.plot(costs, range(len(shown)), "|", color=INK, markersize=10, label="declared cost")
    axes.set_xlabel(f"{story.currency.code} over all rounds")
    side_legend(axes)
    top = max(shown, key=lambda row: row.earned)
    text = (
        f"What each party was paid, beside its declared cost{_of(shown, parties)}; most "
        f"{top.party}, {story.currency.format(top.earned)} {story.currency.code}."
    )
    return Plot("payments", "What each party was paid", text, svg(figure, "payments"))


def _values(parties: Sequence[PartyRow]) -> Plot | None:
    valued = [row for row in parties if row.value is not None]
    if not valued:
        return None
    shown = _most(valued, lambda row: abs(row.value or 0.0))
    figure, axes = _bars(shown, [row.value or 0.0 for row in shown], _ORANGE, "value")
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_xlabel("mean value of its gradients, noise taken out")
    told = ", ".join(f"{row.party} {row.value:.3g}" for row in shown)
    text = f"What the delivered gradients were worth, by CGSV: {told}. It changed no payment."
    return Plot("values", "What the gradients were worth", text, svg(figure, "values"))


def _most(rows: Sequence[PartyRow], key: Callable[[PartyRow], float]) -> list[PartyRow]:
    """Return the rows to draw, from below to above: of many parties those with most."""
    ranked = sorted(rows, key=key, reverse=True)[:MANY]
    return [row for row in reversed(rows) if row in ranked]


def _of(shown: Sequence[PartyRow], parties: Sequence[PartyRow]) -> str:
    return "" if len(shown) == len(parties) else f" (the {len(shown)} with most of {len(parties)})"


def _bars(
    rows: Sequence[PartyRow], widths: Sequence[float], colour: str, name: str
) -> tuple[Figure, Axes]:
    figure, axes = new_figure(height=max(1.7, 0.85 + 0.27 * len(rows)))
    axes.barh(range(len(rows)), widths, color=colour, height=0.7, label=name)
    axes.set_yticks(range(len(rows)), [label(row.party) for row in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(visible=False, axis="y")
    return figure, axes
