"""``equigrad auction``: bids from a file, cleared under a budget; and what is trained for it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from equigrad.cli.auction_train import auction_train
from equigrad.cli.complete import auctions, local_mechanisms
from equigrad.cli.output import note
from equigrad.errors import ConfigError

if TYPE_CHECKING:
    from equigrad.broker import BidFile, Offer
    from equigrad.market.misreports import Gain

__all__ = ["auction_app"]

_MOST_REPORTS = 100_000


class _ClearFirst(TyperGroup):
    """A group whose first word may be left out: ``equigrad auction bids.csv`` clears."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``clear`` in front unless another command, or help, is asked for."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["clear", *args]
        return super().parse_args(ctx, args)


auction_app = typer.Typer(
    cls=_ClearFirst,
    help=(
        "Clear bids offline under a budget, and train what learned auctions need. "
        "[bold]equigrad auction FILE[/] clears: the word clear may be left out."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@auction_app.command("clear")
def auction(
    file: Annotated[
        Path,
        typer.Argument(help="Bids (CSV or JSON): party, size, eps_cap, kind, factor, ..."),
    ],
    budget: Annotated[
        str, typer.Option("--budget", "-b", help="Currency of this round, such as 480.47.")
    ],
    mechanism: Annotated[
        str,
        typer.Option("--mechanism", "-m", help="An auction by name.", autocompletion=auctions),
    ] = "clock",
    form: Annotated[
        str | None, typer.Option("--form", help="Of all-in: truthful (default) or reference.")
    ] = None,
    eps_max: Annotated[float, typer.Option("--eps-max", help="Largest epsilon for sale.")] = 2.0,
    steps: Annotated[int, typer.Option("--steps", help="Levels of the ladder.")] = 32,
    quality_exponent: Annotated[
        float, typer.Option("--quality-exponent", help="Clock: value of a level, (k/K)^alpha.")
    ] = 1.0,
    size_exponent: Annotated[
        float, typer.Option("--size-exponent", help="Clock: more for small listings (beta).")
    ] = 0.0,
    local: Annotated[
        str,
        typer.Option(
            "--local", help="How sellers will add noise.", autocompletion=local_mechanisms
        ),
    ] = "laplace",
    delta: Annotated[float | None, typer.Option("--delta", help="Of --local gaussian.")] = None,
    dim: Annotated[
        int, typer.Option("--dim", help="Parameters of the model, for the error bound.")
    ] = 1,
    scale: Annotated[
        int, typer.Option("--scale", help="Ledger units to one unit of currency.")
    ] = 10**6,
    trained: Annotated[
        Path | None,
        typer.Option("--trained", help="What train wrote, for learned-clock and regret nets."),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Clear the same bids by every auction.")
    ] = False,
    misreport: Annotated[
        str | None,
        typer.Option("--misreport", metavar="PARTY", help="Try lies of this party: do they pay?"),
    ] = None,
    reports: Annotated[
        int, typer.Option("--reports", help="Lies of each kind that --misreport tries.")
    ] = 50,
    seed: Annotated[int, typer.Option("--seed", help="Of the lies.")] = 0,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw supply, epsilons, payments (SVG, PNG, PDF).")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all of it as JSON.")
    ] = None,
) -> None:
    """Clear bids offline: who sells which epsilon, for how much, and with which error.

    Sizes in the file are taken as attested. `--compare` shows what other auctions would have
    done; `--misreport` lets an owner see whether a lie about price, curve, cap or size would have
    paid, the others' bids being what they are. A round in which nobody sells is no mistake: the
    budget is returned. The word `clear` may be left out.

    Example: [bold]equigrad auction bids.csv --budget 480.47 --compare --plot auction.svg[/]
    """
    from equigrad.broker import Offer, clear_offline, outcome_json, read_bids
    from equigrad.broker import compare as clear_by_all
    from equigrad.cli.auction_story import tell_comparison, tell_lies, tell_outcome
    from equigrad.market import Ladder

    if plot is not None:
        from equigrad.broker.picture import check_format, draw_clearing

        check_format(plot)
    bids = read_bids(file)
    offer = Offer(
        budget,
        mechanism,
        form,
        Ladder(eps_max, steps),
        scale,
        quality_exponent,
        size_exponent,
        local,
        delta,
        dim,
        trained,
    )
    outcome = clear_offline(bids, offer)
    content = outcome_json(outcome)
    lies = None if misreport is None else _lies(bids, offer, misreport, reports, seed)
    rivals = clear_by_all(bids, offer) if compare else []
    tell_outcome(outcome)
    if rivals:
        tell_comparison(rivals)
        content["compare"] = {
            label: found if isinstance(found, str) else outcome_json(found)
            for label, found in rivals
        }
    if lies is not None:
        content["misreport"] = tell_lies(lies, outcome)
    if plot is not None:
        draw_clearing(outcome, plot)
        note(f"Drawn: {plot}")
    if json_file is not None:
        _write(json_file, content)


def _lies(bids: "BidFile", offer: "Offer", party: str, count: int, seed: int) -> "dict[str, Gain]":
    """Return the best lie of each kind that one party finds."""
    import numpy as np

    from equigrad._validate import positive_int
    from equigrad.broker.offline import draws_from, terms_of
    from equigrad.market.misreports import REPORT_KINDS, best_gain

    positive_int("seed", seed, least=0)
    if positive_int("reports", count) > _MOST_REPORTS:
        raise ConfigError(
            f"Expected reports <= {_MOST_REPORTS}, got reports={count}: each is one clearing."
        )
    auction, book, terms = terms_of(bids, offer)
    row, draws = book.row(party), draws_from(book)
    kinds = REPORT_KINDS[:-1] if offer.sizes_fixed else REPORT_KINDS
    found = {}
    for kind in kinds:
        generator = np.random.default_rng(seed)
        found[kind] = best_gain(
            auction, book, terms, row, generator, count=count, kinds=[kind], public_seed=draws
        )
    return found


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write one JSON object into a file."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"Expected to write {path}, got: {error.strerror}. Check the path."
        ) from None


auction_app.command("train")(auction_train)
