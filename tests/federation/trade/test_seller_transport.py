"""Sellers behind the engine: the wire, both pools, faults, kills, and two runs on one account."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from seller_world import (
    DIM,
    LADDER,
    TASK,
    award_request,
    bid,
    bid_request,
    closed,
    opened,
    receipt_of,
    sold,
    spec_of,
)

from equigrad.federation.messages import Failure, Message, from_bytes, to_bytes
from equigrad.federation.trade.agent import SellerAgent
from equigrad.federation.trade.messages import (
    BidReply,
    ClosingReply,
    ClosingRequest,
    DeclineReply,
    DeliverReply,
    OpenReply,
    OpenRequest,
)
from equigrad.federation.trade.protection import local_mechanism
from equigrad.federation.trade.sales import open_account
from equigrad.federation.trade.spec import SellerSpec, SellerState
from equigrad.federation.transport import Fault, FaultPlan, InProcessTransport
from equigrad.market.settlement import BidPaper
from equigrad.market.settlement.codec import from_json

NAMES = ("alice", "bob")


def same(one: Message, other: Message) -> bool:
    """Return whether two messages say the same, tensors to the last bit."""
    if type(one) is not type(other):
        return False
    tensors = one.tensors()
    plain = {k: v for k, v in vars(one).items() if k not in tensors}
    others = {k: v for k, v in vars(other).items() if k not in tensors}
    return plain == others and all(torch.equal(v, other.tensors()[k]) for k, v in tensors.items())


def test_every_message_survives_the_wire(tmp_path: Path) -> None:
    agent = SellerAgent(spec_of(tmp_path))
    state = agent.initial_state()
    asked: list[Message] = [
        bid_request(),
        OpenRequest(round=0, task=TASK, market_round="round-0"),
    ]
    answers = [agent.handle(state, from_bytes(to_bytes(message)))[1] for message in asked]
    reply = answers[1]
    assert isinstance(reply, OpenReply)
    paper = from_json(BidPaper, reply.paper)
    award = award_request(paper, model=torch.linspace(-1, 1, DIM))
    declined = award_request(paper, payment=0)
    receipt = receipt_of(sold(agent, model=award.model), 600_000)
    closing = ClosingRequest(round=1, task=TASK, model=award.model, receipts=[receipt])
    again = bid_request(round_=1, receipts=[receipt])
    for message in (award, declined, again, closing):
        asked.append(message)
        answers.append(agent.handle(state, from_bytes(to_bytes(message)))[1])
    kinds = [BidReply, OpenReply, DeliverReply, DeclineReply, BidReply, ClosingReply]
    assert [type(answer) for answer in answers] == kinds
    for message in (*asked, *answers):
        assert same(from_bytes(to_bytes(message)), message)
    assert answers[2].payload == "content"


def test_a_seller_is_picklable_and_its_state_little(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    copy: SellerSpec = pickle.loads(pickle.dumps(spec))  # noqa: S301
    assert copy.make_agent().handle(SellerState(), bid_request())[1] == bid(spec.make_agent())
    state, _ = spec.make_agent().handle(SellerState(4), bid_request(round_=2))
    assert spec.restore(state.to_tensors()) == state == SellerState(4)
    assert state.model() is None


def talk(transport: InProcessTransport, requests: dict[str, Message]) -> dict[str, Any]:
    return dict(transport.exchange(requests, deadline_s=60.0))


def rounds(transport: InProcessTransport, level: int = 3, count: int = 2) -> list[dict[str, Any]]:
    """Play rounds with all sellers of a transport; return the deliveries, then the closings."""
    deliveries = []
    receipts: dict[str, list[dict[str, Any]]] = {name: [] for name in transport.parties}
    for round_ in range(count):
        sealed = talk(
            transport,
            {n: bid_request(n, round_, receipts=receipts[n]) for n in transport.parties},
        )
        willing = [n for n, reply in sealed.items() if isinstance(reply, BidReply)]
        asked = OpenRequest(round=round_, task=TASK, market_round=f"round-{round_}")
        shown = talk(transport, dict.fromkeys(willing, asked))
        papers = {
            n: from_json(BidPaper, r.paper) for n, r in shown.items() if isinstance(r, OpenReply)
        }
        came = talk(transport, {n: award_request(p, level, round_) for n, p in papers.items()})
        deliveries.append(came)
        receipts = {
            n: [receipt_of(r, papers[n].size * papers[n].table[level])]
            if isinstance(r, DeliverReply)
            else []
            for n, r in (came | dict.fromkeys(set(receipts) - set(came))).items()
        }
    model = torch.zeros(DIM)
    ends = talk(
        transport,
        {
            n: ClosingRequest(round=count, task=TASK, model=model, receipts=receipts[n])
            for n in transport.parties
        },
    )
    return [*deliveries, ends]


def specs(path: Path, **changes: Any) -> list[SellerSpec]:
    return [spec_of(path, name, **changes) for name in NAMES]


def test_processes_say_what_threads_say(tmp_path: Path) -> None:
    found = {}
    pools: tuple[Literal["thread", "process"], ...] = ("thread", "process")
    for pool in pools:
        with InProcessTransport(specs(tmp_path / pool), pool=pool) as transport:
            found[pool] = rounds(transport)
    for threads, processes in zip(found["thread"], found["process"], strict=True):
        for name in NAMES:
            assert same(threads[name], processes[name]), name
    assert [end.earned for end in found["thread"][-1].values()] == [1_200_000] * 2


@pytest.mark.parametrize("kind", ["drop", "raise"])
def test_a_lost_delivery_is_sent_again_and_charged_once(tmp_path: Path, kind: Any) -> None:
    seller = spec_of(tmp_path, local={"noise": "secret"})
    bid(seller.make_agent(), 1)
    paper, _ = opened(seller.make_agent(), 1)
    asked = award_request(paper, round_=1)
    faults = FaultPlan([Fault("alice", 1, kind)])
    with InProcessTransport([seller], faults=faults) as transport:
        assert isinstance(talk(transport, {"alice": asked})["alice"], Failure)
    with InProcessTransport([seller]) as transport:
        replies = [talk(transport, {"alice": asked})["alice"] for _ in range(2)]
    assert all(isinstance(reply, DeliverReply) for reply in replies)
    assert same(replies[0], replies[1])
    with open_account(seller.account, "alice", seller.limit) as account:
        (sale,) = account.sales()
        assert (account.spent(), sale.digest) == (0.75, replies[0].digest)


def test_a_late_delivery_stays_spent_and_comes_again_as_it_was(tmp_path: Path) -> None:
    slow = spec_of(tmp_path, local={"noise": "secret"}, behaviour="late", options={"seconds": 1.0})
    bid(slow.make_agent())
    paper, _ = opened(slow.make_agent())
    asked = award_request(paper)
    with InProcessTransport([slow]) as transport:
        ((_, first),) = transport.exchange({"alice": asked}, deadline_s=0.3)
        assert isinstance(first, Failure)
        assert first.reason == "deadline"
        reply = talk(transport, {"alice": asked})["alice"]
    assert isinstance(reply, DeliverReply)
    with open_account(slow.account, "alice", slow.limit) as account:
        (sale,) = account.sales()
        assert (account.spent(), sale.digest) == (0.75, reply.digest)


def test_a_seller_that_keeps_silent_is_absent_and_the_others_are_not(tmp_path: Path) -> None:
    sellers = [spec_of(tmp_path, "alice", behaviour="silent-reveal"), spec_of(tmp_path, "bob")]
    with InProcessTransport(sellers) as transport:
        talk(transport, {n: bid_request(n) for n in NAMES})
        asked = OpenRequest(round=0, task=TASK, market_round="round-0")
        shown = talk(transport, dict.fromkeys(NAMES, asked))
    assert isinstance(shown["alice"], Failure)
    assert shown["alice"].reason == "raised"
    assert isinstance(shown["bob"], OpenReply)


# --- one account, two runs at once ------------------------------------------------------------


OTHER = "0" * 64


def two_runs(path: Path, **changes: Any) -> list[SellerSpec]:
    """Return a seller in two runs: two folders, one account."""
    account = path / "alice.sqlite"
    return [
        spec_of(path / task[:4], task=task, account=account, **changes) for task in (TASK, OTHER)
    ]


def test_rounds_of_one_name_in_two_runs_are_two_sales(tmp_path: Path) -> None:
    digests = set()
    for spec in two_runs(tmp_path, local={"noise": "secret"}):
        agent = SellerAgent(spec)
        bid(agent, task=spec.task)
        shown = agent.handle(
            SellerState(), OpenRequest(round=0, task=spec.task, market_round="round-0")
        )[1]
        assert isinstance(shown, OpenReply)
        award = award_request(from_json(BidPaper, shown.paper), task=spec.task)
        reply = agent.handle(SellerState(), award)[1]
        assert isinstance(reply, DeliverReply)
        digests.add(reply.digest)
        end = agent.handle(
            SellerState(), ClosingRequest(round=1, task=spec.task, model=torch.zeros(DIM))
        )[1]
        assert isinstance(end, ClosingReply)
        assert end.sales == 1  # of this run; epsilon is that of the account
    assert len(digests) == 2
    assert end.epsilon == 1.5


@pytest.mark.parametrize("local", [{"noise": "secret"}, {"noise": "seeded"}])
def test_runs_that_draw_on_one_account_at_once_never_overdraw_it(
    tmp_path: Path, local: dict[str, str]
) -> None:
    limit, level, count = 2.5, 4, 4  # two of these epsilons fit, and not three
    runs = two_runs(tmp_path, local=local, limit={"limit": limit})
    agents = [SellerAgent(spec) for spec in runs]
    asked = []
    for spec, agent in zip(runs, agents, strict=True):
        papers = []
        for round_ in range(count):  # all bids are sealed while the account is full
            bid(agent, round_, task=spec.task)
            message = OpenRequest(round=round_, task=spec.task, market_round=f"round-{round_}")
            shown = agent.handle(SellerState(), message)[1]
            assert isinstance(shown, OpenReply)
            papers.append(from_json(BidPaper, shown.paper))
        asked.append([award_request(p, level, r, task=spec.task) for r, p in enumerate(papers)])
    start = threading.Barrier(2)

    def deliver(which: int) -> list[Message]:
        start.wait()
        return [agents[which].handle(SellerState(), message)[1] for message in asked[which]]

    with ThreadPoolExecutor(2) as pool:
        replies = [reply for found in pool.map(deliver, range(2)) for reply in found]
    delivered = [reply for reply in replies if isinstance(reply, DeliverReply)]
    declined = [reply for reply in replies if isinstance(reply, DeclineReply)]
    assert (len(delivered), len(declined)) == (2, 2 * count - 2)
    assert all("left 0.5" in reply.reason for reply in declined)
    mechanism = local_mechanism(runs[0].local, DIM)
    for reply in delivered:
        content = reply.content.numpy().tobytes()
        assert mechanism.check(content, float(LADDER.eps(level))) == ()
    with open_account(runs[0].account, "alice", runs[0].limit) as account:
        assert account.spent() == 2.0 <= limit
        assert sorted(s.digest or "" for s in account.sales() if s.state == "spent") == sorted(
            reply.digest for reply in delivered
        )
    again = [agents[i].handle(SellerState(), m)[1] for i in range(2) for m in asked[i]]
    assert all(same(one, two) for one, two in zip(replies, again, strict=True))


def test_agents_of_one_folder_at_once_seal_and_deliver_the_same(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, local={"noise": "secret"})
    agents = [SellerAgent(spec) for _ in range(4)]
    start = threading.Barrier(len(agents))

    def play(agent: SellerAgent) -> tuple[str, str]:
        start.wait()
        sealed = bid(agent).commitment
        return sealed, sold(agent).digest

    with ThreadPoolExecutor(len(agents)) as pool:
        found = set(pool.map(play, agents))
    assert len(found) == 1
    assert closed(agents[0]).epsilon == 0.75
