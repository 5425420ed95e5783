"""What the parties say adds up to what the model says, whoever is missing."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from equigrad.assistance import AssistedModel
from equigrad.data.alignment import digest_ids, intersect
from equigrad.errors import ConfigError, DataError
from equigrad.federation.messages import Failure, Message
from equigrad.federation.vertical import predicting
from equigrad.federation.vertical.messages import PredictReply, PredictRequest, array, tensor
from equigrad.federation.vertical.predicting import Asking, ask_parties

KEY = bytes(range(32))
NAMES = ("bank", "shop", "phone")
IDS = [f"c{i}" for i in range(12)]
DIGESTS = digest_ids(IDS, KEY)
HELD = np.ones((12, 3), dtype=bool)
HELD[3:6, 1] = HELD[5:8, 2] = False
OUTPUTS = np.random.default_rng(0).normal(size=(3, 4, 12, 2))
MODEL = AssistedModel(
    NAMES,
    np.array([0.5, -1.0]),
    np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0], [0.4, 0.0, 0.6], [0.0, 0.3, 0.7]]),
    np.array([1.5, 0.7, 2.0, 0.3]),
)
ASKING = Asking("run", 60.0)


class Replies:
    """A transport whose parties answer from ``OUTPUTS``, or as ``change`` says."""

    parties = NAMES

    def __init__(self, change: Mapping[str, Any] | None = None) -> None:
        self.change = change or {}
        self.requests: list[tuple[str, PredictRequest]] = []

    def exchange(
        self, requests: Mapping[str, PredictRequest], *, deadline_s: float
    ) -> Iterator[tuple[str, Message | Failure]]:
        assert deadline_s == 60.0
        for name in reversed(requests):
            self.requests.append((name, requests[name]))
            reply = self.answer(NAMES.index(name), requests[name])
            yield name, self.change[name](reply) if name in self.change else reply

    def answer(self, m: int, request: PredictRequest) -> PredictReply:
        own = np.flatnonzero(HELD[:, m])
        at = intersect(array(request.digests), DIGESTS[own])
        outputs = OUTPUTS[m, : request.rounds, own[at[at >= 0]]].swapaxes(0, 1)
        if request.coefficients is not None:
            outputs = np.tensordot(array(request.coefficients), outputs, axes=1)
        return PredictReply(
            round=request.round,
            party=NAMES[m],
            task=request.task,
            held=tensor(at >= 0),
            outputs=tensor(outputs),
            fitted=[],
        )


def silent(reply: PredictReply) -> Failure:
    return Failure(reply.party, "deadline", "no reply within 60 s")


def by_hand(rows: Any, absent: tuple[int, ...] = (), mode: str = "renormalise") -> np.ndarray:
    """Loop over rows, rounds and parties; the slow obvious way."""
    scores = []
    for i in rows:
        F = MODEL.start.copy()
        for t in range(4):
            there = [m for m in range(3) if HELD[i, m] or (mode == "zero" and m in absent)]
            if mode == "renormalise":
                there = [m for m in there if m not in absent]
            total = sum(MODEL.weights[t, m] for m in there)
            for m in there:
                if total > 0 and m not in absent:
                    F += MODEL.steps[t] * MODEL.weights[t, m] / total * OUTPUTS[m, t, i]
        scores.append(F)
    return np.array(scores)


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("mode", ["renormalise", "zero"])
@pytest.mark.parametrize("gone", [(), ("shop",), ("phone",), ("shop", "phone")])
def test_scores_are_those_by_hand(compact: bool, mode: str, gone: tuple[str, ...]) -> None:
    order = np.random.default_rng(1).permutation(12)[:9]
    transport = Replies(dict.fromkeys(gone, silent))
    asking = replace(ASKING, compact=compact, mode=mode)
    found = ask_parties(transport, MODEL, DIGESTS[order], asking)
    absent = tuple(NAMES.index(name) for name in gone)
    np.testing.assert_allclose(found.scores, by_hand(order, absent, mode), atol=1e-12)
    assert found.absent == dict.fromkeys(gone, "deadline: no reply within 60 s")
    expected = HELD[order].copy()
    expected[:, absent] = False
    np.testing.assert_array_equal(found.used, expected)


@pytest.mark.parametrize("compact", [False, True])
def test_who_is_said_to_be_absent_is_not_asked(compact: bool) -> None:
    transport = Replies()
    asking = replace(ASKING, absent=("shop",), compact=compact)
    found = ask_parties(transport, MODEL, DIGESTS, asking)
    assert {name for name, _ in transport.requests} == {"bank", "phone"}
    np.testing.assert_allclose(found.scores, by_hand(range(12), (1,)), atol=1e-12)
    assert found.absent == {"shop": "said to be absent"}
    assert set(found.sent) == set(found.received) == {"bank", "phone"}


def test_a_compact_answer_is_one_sum_and_costs_less() -> None:
    full, compact = Replies(), Replies()
    one = ask_parties(full, MODEL, DIGESTS, ASKING)
    other = ask_parties(compact, MODEL, DIGESTS, replace(ASKING, compact=True))
    np.testing.assert_allclose(other.scores, one.scores, atol=1e-12)
    sums = [r for _, r in compact.requests if r.coefficients is not None]
    assert sums
    assert all(r.coefficients.shape == (4,) for r in sums)
    assert all(r.coefficients is None for _, r in full.requests)


@pytest.mark.parametrize("which", [1, 2, 3])
def test_a_party_that_fails_at_a_sum_is_absent_for_all_rows(which: int) -> None:
    sums = 0

    def fails_once(reply: PredictReply) -> PredictReply | Failure:
        nonlocal sums
        sums += reply.outputs.ndim == 2
        return silent(reply) if reply.outputs.ndim == 2 and sums == which else reply

    asking = replace(ASKING, compact=True)
    found = ask_parties(Replies({"phone": fails_once}), MODEL, DIGESTS, asking)
    gone = sums >= which
    np.testing.assert_allclose(found.scores, by_hand(range(12), (2,) if gone else ()), atol=1e-12)
    assert list(found.absent) == (["phone"] if gone else [])
    assert found.used[:, 2].any() != gone
    assert sums >= min(which, 2)  # two patterns of rows have the phone in them


def test_a_party_without_weight_is_not_asked() -> None:
    weights = MODEL.weights.copy()
    weights[:, 1] += weights[:, 2]
    weights[:, 2] = 0.0
    transport = Replies({"phone": silent})
    found = ask_parties(transport, replace(MODEL, weights=weights), DIGESTS, ASKING)
    assert {name for name, _ in transport.requests} == {"bank", "shop"}
    assert found.absent == {}
    assert not found.used[:, 2].any()


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ask_parties(Replies(), MODEL, DIGESTS, ASKING)
    monkeypatch.setattr(predicting, "_MOST_BYTES", 8 * 4 * 2 * 5)
    transport = Replies()
    pieces = ask_parties(transport, MODEL, DIGESTS, ASKING)
    assert [len(r.digests) for name, r in transport.requests if name == "bank"] == [5, 5, 2]
    np.testing.assert_array_equal(pieces.scores, whole.scores)
    np.testing.assert_array_equal(pieces.used, whole.used)


def test_rows_nobody_holds_stay_at_the_start() -> None:
    digests = np.concatenate([DIGESTS[:1], digest_ids(["stranger"], KEY)])
    found = ask_parties(Replies(), MODEL, digests, ASKING)
    assert found.held.tolist() == [[True] * 3, [False] * 3]
    np.testing.assert_array_equal(found.scores[1], MODEL.start)
    assert not found.used[1].any()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda r: replace(r, task="other"), "another request"),
        (lambda r: replace(r, party="bank"), "another request"),
        (lambda r: replace(r, outputs=r.outputs[:-1]), r"expected float64 of shape \(4, 9, 2\)"),
        (lambda r: replace(r, outputs=r.outputs.to(torch.int64)), "int64"),
        (lambda r: replace(r, outputs=r.outputs * float("nan")), "NaN or infinity"),
        (lambda r: replace(r, held=r.held[:-1]), "a mask of shape"),
        (lambda r: replace(r, held=r.held.to(torch.int64)), "a mask of shape"),
        (lambda r: Failure("shop", "raised", "DataError: no file"), "raised: DataError: no file"),
    ],
)
def test_an_answer_that_cannot_be_used_is_none(spoil: Any, told: str) -> None:
    found = ask_parties(Replies({"shop": spoil}), MODEL, DIGESTS, ASKING)
    np.testing.assert_allclose(found.scores, by_hand(range(12), (1,)), atol=1e-12)
    with pytest.raises(DataError, match=told):
        raise DataError(found.absent["shop"])
    with pytest.raises(DataError, match=told):
        ask_parties(Replies({"shop": spoil}), MODEL, DIGESTS, replace(ASKING, mode="refuse"))


def test_single_numbers_on_the_wire_are_taken() -> None:
    halved = Replies({"shop": lambda r: replace(r, outputs=r.outputs.to(torch.float32))})
    found = ask_parties(halved, MODEL, DIGESTS, ASKING)
    assert found.absent == {}
    np.testing.assert_allclose(found.scores, by_hand(range(12)), atol=1e-6)


def test_the_sponsor_must_answer() -> None:
    with pytest.raises(DataError, match="answer of the sponsor 'bank': deadline"):
        ask_parties(Replies({"bank": silent}), MODEL, DIGESTS, ASKING)
    with pytest.raises(DataError, match="other than the sponsor 'bank'"):
        ask_parties(Replies(), MODEL, DIGESTS, replace(ASKING, absent=("bank",)))
    with pytest.raises(ConfigError, match="among bank, shop, phone; got 'shpo'"):
        ask_parties(Replies(), MODEL, DIGESTS, replace(ASKING, absent=("shpo",)))
