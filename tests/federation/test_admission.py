import pytest
import torch

from equigrad.federation.admission import Refusal, admit
from equigrad.federation.messages import Message, NormReply, TrainReply


def reply(**changes: object) -> TrainReply:
    facts: dict[str, object] = {"round": 2, "party": "a", "upload": torch.ones(4), "records": 3}
    return TrainReply(**(facts | changes))  # type: ignore[arg-type]


def judge(message: Message) -> TrainReply | Refusal:
    return admit("a", message, round_=2, size=4, max_bytes=64)


def test_a_sound_reply_passes_as_it_is() -> None:
    sound = reply()
    assert judge(sound) is sound


@pytest.mark.parametrize(
    ("message", "flag"),
    [
        (NormReply(round=2, party="a", norm=1.0), "wrong-kind"),
        (reply(party="b"), "wrong-party"),
        (reply(round=1), "wrong-round"),
        (reply(upload=torch.ones(100)), "too-large"),
        (reply(upload=torch.ones(3)), "wrong-shape"),
        (reply(upload=torch.ones(2, 2)), "wrong-shape"),
        (reply(upload=torch.ones(4, dtype=torch.int64)), "wrong-dtype"),
        (reply(upload=torch.tensor([1.0, float("nan"), 0, 0])), "non-finite"),
        (reply(upload=torch.tensor([1.0, float("-inf"), 0, 0])), "non-finite"),
        (reply(records=-1), "bad-facts"),
        (reply(noise={"kind": "gaussian", "variance": -1.0}), "bad-facts"),
        (reply(noise={"kind": "gaussian", "variance": float("nan")}), "bad-facts"),
        (reply(noise={"kind": "cauchy", "variance": 1.0}), "bad-facts"),
    ],
)
def test_an_unsound_reply_is_refused_by_name(message: Message, flag: str) -> None:
    refusal = judge(message)
    assert isinstance(refusal, Refusal)
    assert refusal.flag == flag
    assert "'a'" in refusal.detail
    assert "expected" in refusal.detail
    assert "got" in refusal.detail
