"""A seller, the messages it is sent, and the public terms: quick, real, the same everywhere."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from equigrad.federation.config.schema import ModelConfig
from equigrad.federation.messages import Message
from equigrad.federation.party.spec import Records
from equigrad.federation.trade.agent import SellerAgent
from equigrad.federation.trade.announcing import auction_facts
from equigrad.federation.trade.config.schema import AccountConfig, LocalConfig
from equigrad.federation.trade.messages import (
    BidReply,
    BidRequest,
    ClosingReply,
    ClosingRequest,
    DeliverReply,
    DeliverRequest,
    OpenReply,
    OpenRequest,
)
from equigrad.federation.trade.spec import SellerSpec
from equigrad.market import Curve, Ladder
from equigrad.market import Terms as AuctionTerms
from equigrad.market.settlement import AwardState, BidPaper, Receipt, Terms
from equigrad.market.settlement.codec import from_json, to_json
from equigrad.models import ModelInput

TASK = hashlib.sha256(b"a market run").hexdigest()
LADDER = Ladder(2.0, 8)
RECORDS = 40
DIM = 4 * 3 + 3  # logistic: weights and biases
MODEL_INPUT = ModelInput(shape=(4,), outputs=3, vocabulary=0, task="classification")


def records(seed: int = 0, count: int = RECORDS) -> Records:
    """Return records of three classes."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 4)).astype(np.float32)
    return Records(torch.from_numpy(features), torch.from_numpy(rng.integers(0, 3, count)))


def spec_of(path: Path, name: str = "alice", **changes: Any) -> SellerSpec:
    """Return a seller with its folder and account below ``path``."""
    local = {"mechanism": "l2-sphere", **changes.pop("local", {})}
    limit = {"limit": 4.0, "delta": 1e-6, **changes.pop("limit", {})}
    settings: dict[str, Any] = {
        "name": name,
        "seed": 7,
        "task": TASK,
        "listing": f"{name}-records",
        "train": records(),
        "size": RECORDS,
        "curve": Curve("linear", 0.01),
        "eps_cap": 1.5,
        "model_input": MODEL_INPUT,
        "model": ModelConfig(factory="logistic"),
        "local": LocalConfig.model_validate(local),
        "limit": AccountConfig.model_validate(limit),
        "account": path / "accounts" / f"{name}.sqlite",
        "folder": path / "parties" / name,
    }
    return SellerSpec(**(settings | changes))


def forgetful(model_input: ModelInput) -> nn.Module:
    """Return a model that draws random numbers as it trains."""
    return nn.Sequential(nn.Dropout(0.5), nn.Linear(*model_input.shape, model_input.outputs))


def terms_of(budget: int = 10**6, ladder: Ladder = LADDER) -> tuple[Terms, AuctionTerms]:
    """Return the settlement's terms of a round and the auction's."""
    auction = AuctionTerms(budget, ladder, mechanism="clock")
    return Terms(
        "job", budget, auction.digest, eps_max=str(ladder.eps_max), steps=ladder.steps
    ), auction


def bid_request(name: str = "alice", round_: int = 0, **changes: Any) -> BidRequest:
    """Return the announcement of a round to one seller."""
    terms, auction = terms_of()
    settings: dict[str, Any] = {
        "round": round_,
        "task": TASK,
        "market_round": f"round-{round_}",
        "listing": f"{name}-records",
        "terms": to_json(terms),
        "auction": auction_facts(auction, name),
    }
    return BidRequest(**(settings | changes))


def award_request(
    paper: BidPaper, level: int = 3, round_: int = 0, **changes: Any
) -> DeliverRequest:
    """Return an award to a seller at its own price."""
    settings: dict[str, Any] = {
        "round": round_,
        "task": TASK,
        "market_round": f"round-{round_}",
        "award": f"round-{round_}/{paper.listing}",
        "level": level,
        "payment": paper.size * paper.table[level],
        "epsilon": float(LADDER.eps(level)),
        "model": torch.zeros(DIM),
    }
    return DeliverRequest(**(settings | changes))


def receipt_of(reply: DeliverReply, due: int, **changes: Any) -> dict[str, Any]:
    """Return the receipt of an award paid ``due``, as data."""
    receipt = Receipt(reply.award, AwardState.PAID, reply.digest, due, None)
    return {**to_json(receipt), **changes}


def ask(agent: SellerAgent, message: Message) -> Message:
    """Return the reply to one message."""
    return agent.handle(agent.initial_state(), message)[1]


def bid(agent: SellerAgent, round_: int = 0, **changes: Any) -> BidReply:
    """Let a seller seal a bid."""
    reply = ask(agent, bid_request(agent.spec.name, round_, **changes))
    assert isinstance(reply, BidReply), reply
    return reply


def opened(agent: SellerAgent, round_: int = 0) -> tuple[BidPaper, str]:
    """Let a seller open its bid; return the paper and the nonce."""
    reply = ask(agent, OpenRequest(round=round_, task=TASK, market_round=f"round-{round_}"))
    assert isinstance(reply, OpenReply)
    return from_json(BidPaper, reply.paper), reply.nonce


def sold(agent: SellerAgent, level: int = 3, round_: int = 0, **changes: Any) -> DeliverReply:
    """Let a seller bid, open and deliver; return its delivery."""
    bid(agent, round_)
    paper, _ = opened(agent, round_)
    reply = ask(agent, award_request(paper, level, round_, **changes))
    assert isinstance(reply, DeliverReply), reply
    return reply


def closed(agent: SellerAgent, *receipts: dict[str, Any], round_: int = 9) -> ClosingReply:
    """Let a seller close the run."""
    message = ClosingRequest(
        round=round_, task=TASK, model=torch.zeros(DIM), receipts=list(receipts)
    )
    reply = ask(agent, message)
    assert isinstance(reply, ClosingReply)
    return reply
