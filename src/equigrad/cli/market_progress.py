"""Showing a market run while it goes on: a live table on a terminal, plain lines elsewhere.

Both listen as :class:`equigrad.federation.trade.progress.MarketListener` says, and write to the
standard error, so that the standard output holds results alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from equigrad.cli.output import errors, number

if TYPE_CHECKING:
    from equigrad.federation.trade.progress import MarketListener, SettledRound
    from equigrad.market.settlement import Currency

__all__ = ["LiveMarket", "PlainMarket", "watch_market"]

_SHOWN = 8
_ROWS = 12
_STEPS = 4


@contextmanager
def watch_market(quiet: bool) -> Iterator["MarketListener"]:
    """Yield the listener that suits the standard error; nothing is shown if ``quiet``."""
    from equigrad.federation.trade.progress import SilentMarket

    console = errors()
    if quiet:
        yield SilentMarket()
    elif console.is_terminal:
        with LiveMarket(console) as live:
            yield live
    else:
        yield PlainMarket(console)


class _Telling:
    """What both have in common: the headline and the money's form."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._currency: Currency | None = None
        self._code = ""

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style), soft_wrap=True)

    def started(self, start_body: Mapping[str, Any]) -> None:
        """Say who buys from whom, by which auction."""
        from equigrad.market.settlement import Currency

        start = start_body
        self._code = str(start["currency"])
        self._currency = Currency(start["currency"], start["scale"], start["cents"])
        self._line(
            f"{start['buyer']} buys from {len(start['parties'])} parties by {start['mechanism']}, "
            f"{start['local']['mechanism']} noise, model {start['model']['factory']} with "
            f"{start['model']['parameters']} parameters"
        )

    def message(self, level: Literal["info", "warning"], text: str) -> None:
        """Pass it on."""
        self._line(f"{level}: {text}", "yellow" if level == "warning" else "")

    def _money(self, units: int) -> str:
        return str(units) if self._currency is None else self._currency.format(units)


class PlainMarket(_Telling):
    """One line for each round.

    Parameters
    ----------
    console
        Where the lines go.
    """

    def rehearsed(self, done: int, total: int) -> None:
        """Say how far the baselines are, in four lines or so."""
        if done == total or done % max(1, total // _STEPS) == 0:
            self._line(f"rehearsed baselines: {done}/{total}{' rounds' if done == total else ''}")

    def round_settled(self, facts: "SettledRound") -> None:
        """Say how the round ended."""
        money = f"paid {self._money(facts.paid)} of {self._money(facts.budget)}"
        words = [
            f"round {facts.round + 1}/{facts.total}  {facts.bids} bids, {facts.awards} awards, "
            f"{facts.verified} delivered, {money} {self._code}"
        ]
        words.append(_error(facts))
        if facts.score is not None:
            words.append(f"score {number(facts.score)}")
        if facts.missing:
            words.append(f"without {_some(_missing(facts))}")
        self._line("; ".join(words))

    def finished(self, folder: Path) -> None:
        """Say where everything is."""
        self._line(f"finished: {folder}")


class LiveMarket(_Telling):
    """A table of the last rounds that is redrawn in place; a context manager.

    Parameters
    ----------
    console
        A terminal.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live = Live(console=console, refresh_per_second=8, transient=True)
        self._rows: list[SettledRound] = []
        self._paid = 0

    def __enter__(self) -> "LiveMarket":
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def rehearsed(self, done: int, total: int) -> None:
        """Draw how far the baselines are."""
        self._live.update(Text(f"rehearsing the baselines: {done}/{total} rounds"))

    def round_settled(self, facts: "SettledRound") -> None:
        """Draw the table."""
        self._rows = [*self._rows, facts][-_ROWS:]
        self._paid += facts.paid
        status = Text.assemble(
            (f"round {facts.round + 1}/{facts.total}", "bold"),
            f"  paid since the start of this session: {self._money(self._paid)} {self._code}",
        )
        self._live.update(Group(status, self._table()))

    def _table(self) -> Table:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for name in ("round", "bids", "awards", "delivered", "paid", "ERR/L²", "score"):
            table.add_column(name, justify="right")
        table.add_column("missing")
        for facts in self._rows:
            table.add_row(
                *(str(n) for n in (facts.round + 1, facts.bids, facts.awards, facts.verified)),
                self._money(facts.paid),
                number(facts.relative_error, ".3g"),
                number(facts.score),
                Text(_some(_missing(facts)), style="red" if facts.failed else "yellow"),
            )
        return table

    def finished(self, folder: Path) -> None:
        """Take the table away."""
        self._live.update(Text(""))


def _error(facts: "SettledRound") -> str:
    if facts.relative_error is None:
        return "no update: too few delivered" if facts.failed else "no update: nobody sold"
    return f"ERR/L² {number(facts.relative_error, '.3g')}"


def _missing(facts: "SettledRound") -> list[str]:
    return [f"{party} ({why})" for party, why in facts.missing.items()]


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more
