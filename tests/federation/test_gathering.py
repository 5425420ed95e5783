from itertools import permutations

import torch

from equigrad.federation.gathering import finite, gather
from equigrad.federation.messages import Failure, Message, TrainReply

MEMBERS = ("a", "b", "c")


def reply(party: str, value: float = 1.0) -> tuple[str, Message]:
    upload = torch.full((2,), value)
    return party, TrainReply(round=0, party=party, upload=upload, records=1)


def gathered(*replies: tuple[str, Message | Failure]) -> dict[str, list[str]]:
    answers = gather(replies, MEMBERS, round_=0, size=2, max_bytes=100)
    return {
        "admitted": list(answers.admitted),
        "absent": list(answers.absent),
        "refused": [f"{p}:{r.flag}" for p, r in answers.refused.items()],
        "twice": list(answers.duplicates),
    }


def test_the_order_of_arrival_does_not_matter() -> None:
    replies = [reply("c"), reply("a", float("nan")), ("b", Failure("b", "raised"))]
    outcomes = [gathered(*order) for order in permutations(replies)]
    assert outcomes == [
        {"admitted": ["c"], "absent": ["b"], "refused": ["a:non-finite"], "twice": []},
    ] * len(outcomes)


def test_a_second_answer_is_refused_and_noted() -> None:
    replies = [reply("a"), reply("b"), reply("a", 2.0), reply("c")]
    assert gathered(*replies) == {
        "admitted": ["a", "b", "c"],
        "absent": [],
        "refused": [],
        "twice": ["a"],
    }
    first = gather(replies, MEMBERS, round_=0, size=2, max_bytes=100).admitted["a"]
    assert first.upload.tolist() == [1.0, 1.0]


def test_silence_of_the_engine_is_absence() -> None:
    assert gathered(reply("b"))["absent"] == ["a", "c"]


def test_measurements_in_the_record_are_finite_or_null() -> None:
    measured = {"score": 0.5, "loss": float("nan"), "worst": float("inf")}
    assert finite(measured) == {"score": 0.5, "loss": None, "worst": None}
    assert finite(None) is None
