"""The first lines of a market record: what was agreed before anybody was asked.

Neighbour: ``judge`` follows the rounds.
"""

from dataclasses import dataclass
from typing import Any

from equigrad.errors import EquigradError
from equigrad.federation.record.agreement import VerifyResult, fault, same
from equigrad.federation.record.canonical import plain
from equigrad.federation.record.chain import Line
from equigrad.federation.trade.config.schema import MarketConfig
from equigrad.federation.trade.money import Ids, currency_of, funds_of
from equigrad.federation.trade.protection import local_mechanism
from equigrad.federation.trade.setup import task_of
from equigrad.federation.trade.terms import (
    auction_terms,
    decimal_text,
    make_auction,
    published_auction,
    settlement_terms,
)
from equigrad.market import Auction
from equigrad.market import settlement as s
from equigrad.market.local import LocalMechanism
from equigrad.privacy.accounting import SEEDED_MARK

__all__ = ["Opening", "check_baselines", "check_start"]


@dataclass(frozen=True)
class Opening:
    """What a run agreed on, as far as run file and first line say.

    Attributes
    ----------
    config, task, ids
        The run file, the run's mark, and what things are called in the ledger.
    parties, sizes, limits
        Everybody's name, attested records, and limit of the account.
    auction
        The mechanism; as it was published if its own file is gone.
    whole
        Whether the mechanism's file is there, so that public tables can be made again.
    local, noise
        The local mechanism at the model's dimension, and at that of the error bound.
    """

    config: MarketConfig
    task: str
    ids: Ids
    parties: tuple[str, ...]
    sizes: dict[str, int]
    limits: dict[str, float]
    auction: Auction
    whole: bool
    local: LocalMechanism
    noise: LocalMechanism


def check_start(config: MarketConfig, line: Line, result: VerifyResult) -> Opening:
    """Compare the first line with the run file, and return what was agreed.

    Parties' names and sizes, the data's facts and the first model are the run's own to say: they
    come from records, which nobody needs for verifying.
    """
    body, trade = line.body, config.market
    dim = int(body["model"]["parameters"])
    told = dim if trade.dim == "model" else trade.dim
    local, noise = local_mechanism(trade.local, dim), local_mechanism(trade.local, told)
    auction, whole = _auction(config, told, str(body["mechanism"]), result)
    parties = tuple(body["parties"])
    listed = {seller.name: seller for seller in config.party}
    if not set(listed) <= set(parties) or len(set(parties)) < len(parties):
        raise fault(line, f"expected the parties of the run file, {sorted(listed)}, each once")
    limits = [
        (listed[name].limit if name in listed else None) or trade.account.limit for name in parties
    ]
    sizes = body["sizes"]
    if len(sizes) != len(parties) or any(type(n) is not int or n < 1 for n in sizes):
        raise fault(line, "expected the attested size of every party, whole and >= 1")
    ids = Ids(task_of(config), shared=trade.ledger is not None)
    seeded = trade.local.noise == "seeded"
    again: dict[str, Any] = {
        "schema": "equigrad-record-1",
        "kind": config.kind,
        "name": config.name,
        "task": task_of(config),
        "seed": config.seed,
        "rounds": config.rounds,
        "behaviours": [listed[n].behaviour if n in listed else "honest" for n in parties],
        "buyer": config.buyer,
        "currency": trade.currency,
        "scale": trade.scale,
        "cents": currency_of(config).cents,
        "ladder": {"eps_max": decimal_text(trade.eps_max), "steps": trade.steps},
        "mechanism": auction.label,
        "claims": auction.claims.describe(),
        "local": {
            **trade.local.model_dump(),
            "dim": dim,
            "event": local.event(trade.eps_max, seeded=seeded).to_json(),
        },
        "aggregator": trade.aggregator,
        "dim": told,
        "account": {**trade.account.model_dump(), "limit": limits},
        "ledger": "own" if trade.ledger is None else "shared",
        "mark": SEEDED_MARK if seeded else None,
    }
    for key, value in again.items():
        same(line, f"{key} of the start", body[key], plain(value), VerifyResult())
    result.count("the start, from the configuration", len(again))
    opening = Opening(
        config,
        task_of(config),
        ids,
        parties,
        dict(zip(parties, sizes, strict=True)),
        dict(zip(parties, limits, strict=True)),
        auction,
        whole,
        local,
        noise,
    )
    same(line, "model of the start", body["model"]["factory"], config.model.factory, VerifyResult())
    _money(opening, line, result)
    return opening


def _auction(
    config: MarketConfig, dim: int, label: str, result: VerifyResult
) -> tuple[Auction, bool]:
    try:
        return make_auction(config.market, dim), True
    except EquigradError as error:
        result.unchecked.append(
            f"That the public tables are those of the schedule: {error} Awards are cleared again "
            "from the tables in the record."
        )
        return published_auction(label), False


def _money(opening: Opening, line: Line, result: VerifyResult) -> None:
    config, trade = opening.config, opening.config.market
    listings = [
        s.Listing(opening.ids.listing(name), name, "0" * 64, size, size, _cap(trade.eps_max))
        for name, size in opening.sizes.items()
    ]
    public = auction_terms(published_auction("all-in form=truthful"), trade, listings)
    held = settlement_terms(trade, opening.ids.job, public, opening.local.dim).held
    same(line, "money", line.body["held"], held, result)
    same(line, "money", line.body["funds"], funds_of(config, held), result)


def _cap(eps_max: float) -> str:
    return decimal_text(eps_max)


def check_baselines(opening: Opening, line: Line, result: VerifyResult) -> None:
    """Check the form of the baselines; their scores need the records."""
    config = opening.config
    wanted = sorted(set(config.evaluation.baselines))
    same(line, "baselines", sorted(line.body), wanted, result)
    every, rounds = config.evaluation.every, config.rounds
    at = [t for t in range(rounds) if (t + 1) % every == 0 or t + 1 == rounds]
    for name in wanted:
        told = line.body[name]
        same(line, "baselines", told["rounds"], at, result)
        same(line, "baselines", [len(told["score"]), len(told["loss"])], [len(at)] * 2, result)
