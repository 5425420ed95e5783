"""Small market runs on the breast cancer data: quick, real, the same on every machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equigrad.federation.config.loader import parse_config
from equigrad.federation.ledger import SqlStore
from equigrad.federation.record.chain import Line, read_record
from equigrad.federation.runner import run
from equigrad.federation.trade.config.schema import MarketConfig
from equigrad.federation.trade.progress import SettledRound, SilentMarket
from equigrad.federation.trade.terms import auction_of, published_auction
from equigrad.federation.transport import FaultPlan
from equigrad.market import settlement as s

NAMES = ("bank", "clinic", "lab")
PARTIES: dict[str, dict[str, Any]] = {
    "bank": {"kind": "quad", "factor": 0.8, "eps_cap": 1.5},
    "clinic": {"kind": "linear", "factor": 0.5, "eps_cap": 1.0},
    "lab": {"kind": "exp", "factor": 0.6, "eps_cap": 2.0},
}


class Watching(SilentMarket):
    """A listener that remembers."""

    def __init__(self) -> None:
        self.rounds: list[SettledRound] = []
        self.messages: list[tuple[str, str]] = []
        self.steps: list[tuple[int, int]] = []
        self.folders: list[Path] = []

    def rehearsed(self, done: int, total: int) -> None:
        self.steps.append((done, total))

    def round_settled(self, facts: SettledRound) -> None:
        self.rounds.append(facts)

    def message(self, level: str, text: str) -> None:
        self.messages.append((level, text))

    def finished(self, folder: Path) -> None:
        self.folders.append(folder)


def market_text(
    *,
    rounds: int = 2,
    top: str = "",
    market: str = 'budget = "200.00"',
    local: str = 'mechanism = "l2-sphere"',
    more: str = "",
    party: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Return the text of a run file; ``party`` changes or adds to single parties' keys."""
    tables = []
    for name in NAMES:
        keys = {**PARTIES[name], **(party or {}).get(name, {})}
        lines = "\n".join(f"{k} = {_toml(v)}" for k, v in keys.items() if v is not None)
        tables.append(f'[[party]]\nname = "{name}"\n{lines}\n')
    return f"""
seed = 5
rounds = {rounds}
{top}
[data]
name = "breast_cancer"
records = 120
test_records = 60
[model]
factory = "logistic"
[market]
{market}
[market.local]
{local}
{more}
{"".join(tables)}
"""


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    return str(value)


def make_market(**changes: Any) -> MarketConfig:
    """Return a checked configuration; arguments as for :func:`market_text`."""
    config = parse_config(market_text(**changes))
    assert isinstance(config, MarketConfig)
    return config


def play(
    folder: Path,
    *,
    faults: FaultPlan | None = None,
    watching: Watching | None = None,
    **changes: Any,
) -> Path:
    """Play a run without baselines, unless they are asked for, and return its folder."""
    changes.setdefault("more", "evaluation.baselines = []")
    top = changes.pop("top", "")
    if changes["more"].startswith("evaluation."):
        top += "\n" + changes.pop("more")
    config = make_market(top=top, **changes)
    return run(config, folder, faults=faults, progress=watching, report=False)


def record_of(folder: Path) -> list[Line]:
    """Return the record of a run folder."""
    return read_record(folder / "record.jsonl")


def bodies(folder: Path, stage: str) -> list[Mapping[str, Any]]:
    """Return the bodies of all lines of one stage, in order."""
    return [line.body for line in record_of(folder) if line.stage == stage]


def states(folder: Path, round_: int) -> dict[str, tuple[str, str | None]]:
    """Return state and reason of a round's awards by party."""
    awards = bodies(folder, "collect")[round_]["awards"]
    return {award["party"]: (award["state"], award["reason"]) for award in awards}


def verified_ledger(folder: Path) -> s.Head:
    """Check the run's ledger from genesis, clear every round again, and return the head."""
    rules = {}
    for body in bodies(folder, "announce"):
        terms = auction_of(body["auction"])
        rules[body["market_round"]] = s.auction_rule(published_auction(terms.mechanism), terms)
    with SqlStore(folder / "market.db") as store:
        return store.verify(rules)


def conserved(folder: Path) -> None:
    """Assert that record and ledger agree, and that no unit of money is lost or made."""
    head = verified_ledger(folder)
    start, settled = bodies(folder, "start")[0], bodies(folder, "settle")
    buyer, code = start["buyer"], start["currency"]
    with SqlStore(folder / "market.db") as store:
        for body in settled:
            assert body["held"] == body["paid"] + body["fee"] + body["refunded"]
        fees = sum(body["fee"] for body in settled)
        last = bodies(folder, "finish")[0]["wallets"]
        for name, units in last.items():
            assert store.balance(s.wallet(name, code)) == units
        assert sum(last.values()) + fees == start["funds"]
        assert store.balance(s.fees(code)) == fees
        assert last[buyer] == start["funds"] - sum(b["paid"] + b["fee"] for b in settled)
    if settled and bodies(folder, "finish")[0]["reason"] == "rounds":
        assert settled[-1]["head"] == head.digest
