"""Records of market runs: true to the form and to the market's own arithmetic, quick to make.

Bids, clearings, weights and books are the library's own; nothing is trained, so scores, losses and
estimates are made up. Used by the tests of the report and of verification.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from equigrad.federation.record.canonical import plain
from equigrad.federation.record.chain import RecordWriter
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.trade.terms import terms_facts
from equigrad.market import Curve, Ladder, Terms, canonical_bid
from equigrad.market import settlement as s
from equigrad.market.aggregation import AGGREGATORS, error_bound
from equigrad.market.auctions import Clock
from equigrad.market.local import LOCAL_MECHANISMS
from equigrad.market.settlement.codec import to_json

Lines = Iterator[tuple[str, int | None, dict[str, Any]]]

BUYER, EUR, DIM = "hospital", s.Currency("EUR"), 30
KINDS = ("quad", "sqrt", "linear", "exp")


def digest(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def names(count: int) -> list[str]:
    return [f"clinic-{i}" for i in range(count)]


def config(**changes: Any) -> dict[str, Any]:
    """Return a run file's content, as plain data."""
    return {
        "kind": "market",
        "name": "sale",
        "seed": 3,
        "rounds": 3,
        "buyer": BUYER,
        "data": {"name": "breast_cancer"},
        "market": {"budget": "40.00", "local": {"mechanism": "l2-sphere"}},
        **changes,
    }


@dataclass
class Sale:
    """One made-up run; ``trouble`` adds a decline, a silent bidder and a spoilt delivery."""

    count: int = 5
    rounds: int = 3
    trouble: bool = True
    void: int = -1
    appraise: bool = False
    baselines: bool = True
    fee_bps: int = 200
    budget: str = "40.00"
    store: s.SettlementStore = field(default_factory=lambda: s.MemoryStore([EUR]))

    def __post_init__(self) -> None:
        self.names = names(self.count)
        self.sizes = {name: 40 + 25 * i for i, name in enumerate(self.names)}
        self.ladder = Ladder(2.0, 16)
        self.mechanism = LOCAL_MECHANISMS["l2-sphere"](bound=1.0, dim=DIM)
        self.auction = Clock()
        self.units = EUR.parse(self.budget)
        self.now = 0
        self.spent: dict[str, float] = dict.fromkeys(self.names, 0.0)
        self.earned: dict[str, int] = dict.fromkeys(self.names, 0)
        self.sales: dict[str, int] = dict.fromkeys(self.names, 0)

    def do(self, key: str, command: s.Command) -> s.Response:
        return self.store.execute(command, key=key, now=self.now).require()

    def terms(self) -> tuple[Terms, s.Terms]:
        public = Terms(self.units, self.ladder, EUR.scale, mechanism=self.auction.label)
        return public, s.Terms(
            "job", self.units, public.digest, "2.0", 16, self.fee_bps, exclude_seconds=0
        )

    def listing(self, name: str) -> s.Listing:
        size = self.sizes[name]
        return s.Listing(f"{name}.records", name, digest("schema"), size, size, "2.0")

    def lines(self, *, finished: bool = True) -> Lines:
        for name in (BUYER, *self.names):
            self.do(f"enrol-{name}", s.Enrol(s.Party(name, digest(name))))
        for name in self.names:
            self.do(f"enlist-{name}", s.Enlist(self.listing(name)))
        self.do("job", s.PostJob(s.Job("job", BUYER, "EUR", digest("model"))))
        self.held = self.terms()[1].held
        self.do("funds", s.Deposit(BUYER, "EUR", self.rounds * self.held, "funds"))
        yield "start", None, self.start()
        yield "baselines", None, self.rivals() if self.baselines else {}
        for index in range(self.rounds):
            yield from ((stage, index, body) for stage, body in self.round(index))
        if finished:
            yield "finish", None, self.finish()

    def start(self) -> dict[str, Any]:
        return {
            "schema": "equigrad-record-1",
            "kind": "market",
            "name": "sale",
            "config_sha256": "0" * 64,
            "versions": {"equigrad": "0.1.0"},
            "task": digest("task"),
            "seed": 3,
            "rounds": self.rounds,
            "parties": self.names,
            "sizes": list(self.sizes.values()),
            "buyer": BUYER,
            "currency": "EUR",
            "scale": EUR.scale,
            "cents": EUR.cents,
            "ladder": {"eps_max": "2.0", "steps": 16},
            "mechanism": self.auction.label,
            "claims": self.auction.claims.describe(),
            "local": {"mechanism": "l2-sphere", "bound": 1.0, "dim": DIM, "noise": "seeded"},
            "aggregator": "opt-aggr",
            "dim": DIM,
            "account": {
                "limit": [5.0] * self.count,
                "delta": 1e-6,
                "cost": "basic",
            },
            "model": {"factory": "logistic", "parameters": DIM, "initial_sha256": digest("m0")},
            "data": {"name": "breast_cancer", "task": "classification"},
            "mark": "not private: seeded noise",
        }

    def rivals(self) -> dict[str, Any]:
        at = list(range(self.rounds))
        scores = [0.55 + 0.1 * t for t in at]
        losses = [0.6 - 0.1 * t for t in at]
        return {
            "non-private": {"rounds": at, "score": [x + 0.1 for x in scores], "loss": losses},
            "buy-all": {
                "rounds": at,
                "score": [x + 0.02 for x in scores],
                "loss": losses,
                "cost": 250 * EUR.scale,
                "epsilons": dict.fromkeys(self.names, 1.5),
            },
        }

    def round(self, index: int) -> Iterator[tuple[str, dict[str, Any]]]:
        round_ = f"r{index}"
        public, terms = self.terms()
        for key, command in (
            ("draft", s.Draft(round_, terms)),
            ("fund", s.Fund(round_)),
            ("open", s.Open(round_)),
        ):
            self.do(f"{round_}-{key}", command)
        yield "announce", {
            "market_round": round_,
            "invited": self.names,
            "listings": [to_json(self.listing(name)) for name in self.names],
            "terms": to_json(terms),
            "terms_digest": terms.digest,
            "auction": terms_facts(public),
            "held": terms.held,
        }  # fmt: skip
        papers, nonces, sealed = {}, {}, {}
        declined = {self.names[-1]: "account"} if self.trouble and index else {}
        for i, name in enumerate(self.names):
            if name in declined or index == self.void:
                continue
            curve = Curve(KINDS[i % 4], 0.05 + 0.02 * i)
            size = self.sizes[name]
            bid = canonical_bid(name, curve, 1.0 + 0.2 * i, size, self.ladder)
            papers[name] = s.paper_of(bid, self.listing(name).id, terms)
            nonces[name] = digest((round_, name))
            sealed[name] = s.commitment(papers[name], nonces[name], round_)
            listing = self.listing(name).id
            command = s.Commit(round_, listing, name, sealed[name], terms.digest)
            self.do(f"{round_}-commit-{name}", command)
        yield "bid", {"sealed": sealed, "declined": declined, "absent": {}}
        self.now += terms.commit_seconds + 1
        dropped = {}
        if self.trouble and index == 1:
            dropped[self.names[1]] = "not opened (raised: <b>x</b>)"
        for name in papers.keys() - dropped.keys():
            command = s.Reveal(round_, self.listing(name).id, name, papers[name], nonces[name])
            self.do(f"{round_}-reveal-{name}", command)
        self.now += terms.reveal_seconds + 1
        kept = [name for name in papers if name not in dropped]
        yield (
            "open",
            {
                "papers": [to_json(papers[name]) for name in kept],
                "nonces": [nonces[name] for name in kept],
                "dropped": dropped,
            },
        )
        yield from self.cleared(index, round_, public, terms)

    def cleared(
        self, index: int, round_: str, public: Terms, terms: s.Terms
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        rule = s.auction_rule(self.auction, public)
        result = s.clearing(self.store, round_, rule)
        self.do(f"{round_}-clear", s.Clear(round_, result))
        opened = s.opened(self.store, self.store.get(s.Round, round_))
        found = self.auction.clear(s.bid_book(opened), public, bytes.fromhex(opened.seed))
        yield (
            "clear",
            {
                "digest": found.digest,
                "parties": found.party.tolist(),
                "levels": found.levels.tolist(),
                "epsilons": found.eps.tolist(),
                "payments": found.payments.tolist(),
                "costs": found.costs.tolist(),
                "spent": found.spent,
                "unspent": found.unspent,
                "notes": list(found.notes),
            },
        )
        bad = self.names[2] if self.trouble and index == 2 else None
        self.do(f"{round_}-offer", s.Offer(round_))
        for award in self.store.awards(round_):
            self.do(f"{award.key}-accept", s.Accept(award.key, award.party))
            upload = digest(award.key)
            self.do(
                f"{award.key}-deliver", s.Deliver(award.key, award.party, upload, 400, award.level)
            )
            verdict = s.Verdict(upload, award.party != bad, "NaN" if bad else "")
            self.do(f"{award.key}-judge", s.Judge(award.key, verdict))
            self.spent[award.party] += float(self.ladder.eps(award.level))
            self.sales[award.party] += 1
        awards = [
            {
                "award": award.key,
                "party": award.party,
                "state": award.state.value,
                "digest": award.delivery.digest if award.delivery else None,
                "bytes": award.delivery.size if award.delivery else None,
                "reason": award.reason,
            }
            for award in self.store.awards(round_)
        ]
        good = {award["party"] for award in awards if award["state"] == "verified"}
        yield "collect", {"awards": awards, "quorum": 1, "verified": len(good)}
        sizes = [paper.size for paper in opened.papers]
        precision = self.mechanism.precision(found.eps)
        came = np.array([name in good for name in found.party.tolist()], dtype=np.bool_)
        weights = None
        if len(sizes):
            weights = AGGREGATORS["opt-aggr"]().weights(sizes, precision, delivered=came)
        bound = None
        if weights is not None:
            bound = error_bound(weights, sizes, np.where(came, precision, 0.0))
        yield "aggregate", {
            "parties": found.party.tolist(),
            "weights": None if weights is None else weights.tolist(),
            "err": bound and bound.total,
            "variance_term": bound and bound.variance,
            "bias_term": bound and bound.bias,
            "err_over_l2": bound and bound.relative,
            "estimate_norm": None if bound is None else 1.5,
        }  # fmt: skip
        if self.appraise and good:
            ordered = sorted(good)
            yield (
                "appraise",
                {
                    "parties": ordered,
                    "gram": np.eye(len(ordered)) * 4.0,
                    "noise": {
                        "variance": [3.0] * len(ordered),
                        "dimension": DIM,
                        "kind": "gaussian",
                    },
                    "rule": "cgsv-exact",
                    "values": [0.3 - 0.2 * i for i in range(len(ordered))],
                },
            )
        release = digest(("model", index)) if good else None
        self.do(f"{round_}-close", s.Close(round_, release))
        done = self.do(f"{round_}-settle", s.Settle(round_)).result
        for award in self.store.awards(round_):
            if award.state is s.AwardState.PAID:
                self.earned[award.party] += award.payment
        everybody = (BUYER, *self.names)
        self.wallets = {name: self.store.balance(s.wallet(name, "EUR")) for name in everybody}
        yield (
            "settle",
            {
                "paid": done["paid"],
                "fee": done["fee"],
                "refunded": done["refunded"],
                "held": terms.held,
                "wallets": dict(self.wallets),
                "failed": None,
                "head": self.store.head.digest,
                "release": release,
            },
        )
        yield "evaluate", {"score": 0.5 + 0.1 * index, "loss": 0.7 - 0.1 * index}

    def finish(self) -> dict[str, Any]:
        return {
            "reason": "rounds",
            "rounds": self.rounds,
            "models": {"coordinator.safetensors": digest("model")},
            "digest": digest("weights"),
            "parties": self.names,
            "epsilon": list(self.spent.values()),
            "delta": [0.0] * self.count,
            "sales": list(self.sales.values()),
            "earned": list(self.earned.values()),
            "receipts": list(self.sales.values()),
            "heads": [digest(("account", name)) for name in self.names],
            "metrics": [{"score": 0.7}] * self.count,
            "absent": {},
            "wallets": self.wallets,
            "coordinator": {"score": 0.5 + 0.1 * (self.rounds - 1), "loss": 0.5},
        }


def write(path: Path, *, finished: bool = True, **options: Any) -> RunFolder:
    """Write a run folder with the record of a :class:`Sale` in it."""
    place = RunFolder.create(path, "", config(rounds=options.get("rounds", 3)))
    with RecordWriter(place.record) as record:
        for stage, round_, body in Sale(**options).lines(finished=finished):
            told = plain(body)
            if stage == "start":
                told["config_sha256"] = place.config_sha256()
            record.append(stage, round_, told)
    return place
