"""From a market's run file to all that a run needs: records, model, sellers, auction, first line.

Everything that can be refused is refused here, before a folder is made. Neighbours: ``terms`` makes
a round's terms, ``run`` plays.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

import equigrad
from equigrad.data import Dataset, describe
from equigrad.errors import ConfigError
from equigrad.federation.dealing import Dealt, deal
from equigrad.federation.party.evaluate import evaluate
from equigrad.federation.party.spec import Records, model_input
from equigrad.federation.record.canonical import sha256_json
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.trade.config.check import setup_problem
from equigrad.federation.trade.config.schema import MarketConfig
from equigrad.federation.trade.curves import Offered, offers
from equigrad.federation.trade.gradient import FullGradient
from equigrad.federation.trade.inviting import invited_in
from equigrad.federation.trade.money import Ids, currency_of, funds_of
from equigrad.federation.trade.protection import local_mechanism
from equigrad.federation.trade.spec import SellerSpec
from equigrad.federation.trade.terms import (
    auction_terms,
    decimal_text,
    make_auction,
    settlement_terms,
    upload_bytes,
)
from equigrad.market import Auction
from equigrad.market import settlement as s
from equigrad.market.auctions.grid import COARSE_PRICE
from equigrad.market.local import LocalMechanism
from equigrad.market.settlement.codec import sha256
from equigrad.models import (
    ModelInput,
    load_flat,
    named_state,
    parameter_names,
    vector_sha256,
)
from equigrad.privacy.accounting import SEEDED_MARK

__all__ = ["MarketSetup", "make_specs", "prepare", "task_of"]


@dataclass(frozen=True, eq=False)
class MarketSetup:
    """A market run, ready to be played.

    Attributes
    ----------
    config, task
        The run file, and what identifies the run in messages.
    parties
        Names in the run's order.
    records, test
        Training records by party; test records.
    inputs
        Description of the data for models.
    offered
        What each party offers.
    auction
        The mechanism.
    local, noise
        The local mechanism at the model's dimension, and at that of the error bound.
    initial
        ``(dim,)``, the model before round 0.
    listings
        What is in the ledger's list, by party.
    held, funds
        Ledger units: what a round holds, what the buyer pays in.
    start
        The body of the record's first line.
    notes
        Sentences for whoever watches.
    """

    config: MarketConfig
    task: str
    parties: tuple[str, ...]
    records: dict[str, Records]
    test: Records
    inputs: ModelInput
    offered: dict[str, Offered]
    auction: Auction
    local: LocalMechanism
    noise: LocalMechanism
    initial: torch.Tensor
    listings: dict[str, s.Listing]
    held: int
    funds: int
    start: dict[str, Any]
    notes: tuple[str, ...]

    def invited(self, round_: int, out: Mapping[str, int]) -> tuple[str, ...]:
        """Return who is asked to bid in a round: all who are there, or so many in turn.

        Parameters
        ----------
        round_
            From 0.
        out
            The last round that a party misses because it did not open a bid.
        """
        return invited_in(self.config, self.parties, round_, out)

    def gradient(self, party: str) -> FullGradient:
        """Return the unprotected gradient of the records that a party sells, for rehearsals."""
        size = self.offered[party].size
        own = self.records[party]
        return FullGradient(
            Records(own.features[:size], own.labels[:size]),
            self.inputs,
            self.config.model,
            seed=self.config.seed,
            party=party,
            device=self.config.engine.device,
        )

    @cached_property
    def _scale(self) -> FullGradient:
        """A model to measure with."""
        return self.gradient(self.parties[0])

    def measure(self, weights: torch.Tensor) -> dict[str, float]:
        """Return score and loss of a flat model on the test records."""
        load_flat(self._scale.model, weights)
        device = torch.device(self.config.engine.device)
        return evaluate(self._scale.model, self.test.to(device), self.inputs.task)

    def named(self, weights: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return a flat model by parameter names, as ``load_state_dict`` takes it."""
        return named_state(self._scale.model, weights)


def task_of(config: MarketConfig) -> str:
    """Return what identifies a run in its messages and its ledger."""
    return sha256_json({"task": config.model_dump()})


def prepare(config: MarketConfig) -> MarketSetup:
    """Load and deal the data, build model, mechanisms and terms, to refuse what cannot work.

    Raises
    ------
    ConfigError, DataError, ModelError, CheckpointError
        If something that the run file asks for cannot be had.
    """
    trade = config.market
    dealt = deal(config)
    names = tuple(dealt.parties)
    if problem := setup_problem(config, names):
        raise ConfigError(problem)
    records = {name: Records.of(data) for name, data in dealt.parties.items()}
    offered = offers(config, {name: len(own) for name, own in records.items()})
    inputs = model_input(dealt.test)
    first = FullGradient(records[names[0]], inputs, config.model, seed=config.seed, party=names[0])
    dim = first.dim
    local = local_mechanism(trade.local, dim)
    told = dim if trade.dim == "model" else trade.dim
    noise = local_mechanism(trade.local, told)
    auction = make_auction(trade, told)
    task = task_of(config)
    ids = Ids(task, shared=trade.ledger is not None)
    schema = _schema(dealt.test)
    listings = {
        name: ids.listed(name, offer.attested, trade.eps_max, schema)
        for name, offer in offered.items()
    }
    public = auction_terms(auction, trade, list(listings.values()))
    terms = settlement_terms(trade, ids.job, public, dim)
    least = upload_bytes(dim)
    if terms.max_bytes < least:
        raise ConfigError(
            f"Expected market.max_upload_mb >= {least / 1e6:g}, what a model of {dim} parameters "
            f"needs, got {trade.max_upload_mb:g}. Raise it, or leave it out."
        )
    funds = funds_of(config, terms.held)
    start = _start_body(config, task, dealt, offered, auction, local, first)
    start["claims"] = auction.claims.describe()
    start["held"], start["funds"] = terms.held, funds
    notes = list(dealt.notes)
    if public.grid is not None and public.grid[0] < COARSE_PRICE:
        notes.append(
            f"The first price is {int(public.grid[0])} ledger units per record and level: prices "
            "are coarse. Raise market.scale or market.budget."
        )
    notes += _notes(config, offered, local, funds, terms.held)
    test = Records.of(dealt.test)
    return MarketSetup(
        config,
        task,
        names,
        records,
        test,
        inputs,
        offered,
        auction,
        local,
        noise,
        first.initial.cpu(),
        listings,
        terms.held,
        funds,
        start,
        tuple(notes),
    )


def make_specs(setup: MarketSetup, place: RunFolder) -> tuple[SellerSpec, ...]:
    """Return the sellers with their folders and accounts."""
    config = setup.config
    limits = config.market.account
    found = []
    for name in setup.parties:
        offer = setup.offered[name]
        limit = limits
        if offer.seller.limit is not None:
            limit = limits.model_copy(update={"limit": offer.seller.limit})
        found.append(
            SellerSpec(
                name=name,
                seed=config.seed,
                task=setup.task,
                listing=setup.listings[name].id,
                train=setup.records[name],
                size=offer.size,
                curve=offer.curve,
                eps_cap=offer.eps_cap,
                model_input=setup.inputs,
                model=config.model,
                local=config.market.local,
                limit=limit,
                account=place.account(name).absolute(),
                folder=place.party(name).absolute(),
                behaviour=offer.seller.behaviour,
                options=offer.seller.options,
                device=config.engine.device,
                test=setup.test,
            )
        )
    return tuple(found)


def _schema(data: Dataset) -> str:
    """Return the digest of what a record is: form, task and classes; not whose it is."""
    return sha256(
        {
            "name": data.name,
            "shape": list(data.shape),
            "task": data.task,
            "classes": [str(name) for name in data.classes],
        }
    )


def _notes(
    config: MarketConfig,
    offered: dict[str, Offered],
    local: LocalMechanism,
    funds: int,
    held: int,
) -> Iterator[str]:
    trade = config.market
    if trade.local.noise == "seeded":
        yield (
            f"A rehearsal, {SEEDED_MARK}: whoever knows the seed can take the noise off. Set "
            'market.local.noise = "secret" to be protected.'
        )
    elif not local.network_safe(trade.eps_max):
        yield (
            f"Uploads of {trade.local.mechanism!r} are floating-point numbers whose last bits may "
            "tell about the gradient: do not let them leave this machine. Use the mechanism "
            '"l2-sphere", or "laplace" with sampler = "discrete".'
        )
    above = [name for name, offer in offered.items() if offer.eps_cap > trade.eps_max]
    if above:
        yield f"{len(above)} cap(s) above eps_max = {trade.eps_max:g} are cut to the ladder."
    if funds < config.rounds * held:
        yield (
            f"The buyer's funds pay for {funds // held} of {config.rounds} rounds if all of the "
            "budget is spent; what a round does not spend goes back into the wallet."
        )


def _start_body(
    config: MarketConfig,
    task: str,
    dealt: Dealt,
    offered: dict[str, Offered],
    auction: Auction,
    local: LocalMechanism,
    first: FullGradient,
) -> dict[str, Any]:
    trade = config.market
    rows = describe(dealt.parties)
    seeded = trade.local.noise == "seeded"
    limits = [offer.seller.limit or trade.account.limit for offer in offered.values()]
    return {
        "schema": "equigrad-record-1",
        "kind": config.kind,
        "name": config.name,
        "config_sha256": sha256_json(config.model_dump()),
        "task": task,
        "seed": config.seed,
        "versions": _versions(),
        "rounds": config.rounds,
        "parties": list(offered),
        "sizes": [offer.attested for offer in offered.values()],
        "behaviours": [offer.seller.behaviour for offer in offered.values()],
        "buyer": config.buyer,
        "currency": trade.currency,
        "scale": trade.scale,
        "cents": currency_of(config).cents,
        "ladder": {"eps_max": decimal_text(trade.eps_max), "steps": trade.steps},
        "mechanism": auction.label,
        "local": {
            **trade.local.model_dump(),
            "dim": local.dim,
            "event": local.event(trade.eps_max, seeded=seeded).to_json(),
        },
        "aggregator": trade.aggregator,
        "dim": local.dim if trade.dim == "model" else trade.dim,
        "account": {**trade.account.model_dump(), "limit": limits},
        "ledger": "shared" if trade.ledger is not None else "own",
        "model": {
            "factory": config.model.factory,
            "parameters": first.dim,
            "names": list(parameter_names(first.model)),
            "initial_sha256": vector_sha256(first.initial),
        },
        "data": {
            "name": dealt.test.name,
            "task": dealt.test.task,
            "train": sum(row.records for row in rows),
            "test": len(dealt.test),
            "classes": list(dealt.test.classes),
            "notes": list(dealt.notes),
        },
        "mark": SEEDED_MARK if seeded else None,
    }


def _versions() -> dict[str, str]:
    import numpy as np

    return {
        "equigrad": equigrad.__version__,
        "numpy": np.__version__,
        "torch": str(torch.__version__),
    }
