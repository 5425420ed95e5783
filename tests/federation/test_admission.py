import pytest
import torch

from equigrad.federation.admission import Refusal, admit
from equigrad.federation.messages import Message, NormReply, TrainReply


def reply(**changes: object) -> TrainReply:
    facts: dict[str, object] = {"round": 2, "party": "a", "upload": torch.ones(4), "records": 3}
    return TrainReply(**(facts | changes))  # type: ignore[arg-type]


NOISE = {"kind": "gaussian", "variance": 0.25}


def judge(message: Message, noise: dict[str, object] | None = None) -> TrainReply | Refusal:
    return admit("a", message, round_=2, size=4, max_bytes=64, noise=noise)


def test_a_sound_reply_passes() -> None:
    admitted = judge(reply(metrics={"score": 0.5, "loss": float("nan")}))
    assert isinstance(admitted, TrainReply)
    assert torch.equal(admitted.upload, torch.ones(4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_uploads_are_taken_as_float32(dtype: torch.dtype) -> None:
    admitted = judge(reply(upload=torch.ones(4, dtype=dtype)))
    assert isinstance(admitted, TrainReply)
    assert admitted.upload.dtype == torch.float32


def test_noise_counts_only_as_it_was_agreed() -> None:
    assert isinstance(judge(reply(noise=NOISE), NOISE), TrainReply)
    for declared, agreed in (({}, NOISE), (NOISE, {}), ({**NOISE, "variance": 0.3}, NOISE)):
        refusal = judge(reply(noise=declared), agreed)
        assert isinstance(refusal, Refusal)
        assert refusal.flag == "bad-facts"
        assert "noise that was agreed" in refusal.detail


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
        (reply(upload=torch.full((4,), 1e200, dtype=torch.float64)), "non-finite"),
        (reply(upload=torch.ones(4).to_sparse()), "wrong-dtype"),
        (reply(upload=torch.ones(4).to(torch.float8_e4m3fn)), "wrong-dtype"),
        (reply(upload=torch.ones(4, dtype=torch.complex64)), "wrong-dtype"),
        (reply(upload=[1.0, 1.0, 1.0, 1.0]), "wrong-dtype"),
        (reply(records=-1), "bad-facts"),
        (reply(records=10**400), "bad-facts"),
        (reply(records=float("nan")), "bad-facts"),
        (reply(records="7"), "bad-facts"),
        (reply(records=True), "bad-facts"),
        (reply(delivered="2"), "bad-facts"),
        (reply(metrics={"score": "x"}), "bad-facts"),
        (reply(noise={"kind": "gaussian", "variance": 1e308}), "bad-facts"),
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
