import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from equigrad.federation.messages import (
    Delivery,
    FinishReply,
    FinishRequest,
    Message,
    ModelReply,
    ModelRequest,
    NormReply,
    NormRequest,
    StandaloneReply,
    StandaloneRequest,
    TrainReply,
    TrainRequest,
    from_bytes,
    to_bytes,
)

REWARD = {
    "size": torch.tensor(6),
    "indices": torch.tensor([1, 4], dtype=torch.uint32),
    "values": torch.tensor([0.5, -2.0]),
}
DELIVERY = Delivery(round=2, keep=0.5, share=0.25, model=torch.arange(6.0), reward=REWARD)
MESSAGES: list[Message] = [
    TrainRequest(round=3, delivery=DELIVERY, gamma=0.5, hold="upload", evaluate=False),
    TrainRequest(round=0),
    TrainReply(
        round=3,
        party="a",
        upload=torch.tensor([1.5, float("nan")]),
        records=7,
        metrics={"score": 0.5},
        noise={"kind": "laplace", "variance": 0.1},
    ),
    NormRequest(round=0),
    NormReply(round=0, party="a", norm=1.25),
    ModelRequest(round=4, delivery=Delivery(round=3)),
    ModelReply(round=4, party="a", model=torch.ones(3), delivered=2),
    StandaloneRequest(round=-1, rounds=9),
    StandaloneReply(round=-1, party="a", records=3, metrics={"score": 1.0, "loss": 0.0}),
    FinishRequest(round=9, delivery=DELIVERY),
    FinishReply(round=9, party="a", metrics={}, digest="00", delivered=8),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: m.kind)
def test_wire_form_carries_everything(message: Message) -> None:
    again = from_bytes(to_bytes(message))
    assert type(again) is type(message)
    assert to_bytes(again) == to_bytes(message)
    assert again.nbytes() == message.nbytes()


def test_bits_of_a_tensor_survive_the_wire() -> None:
    upload = torch.tensor([1e-45, -0.0, float("inf"), 3.3])
    reply = TrainReply(round=0, party="a", upload=upload, records=1)
    again = from_bytes(to_bytes(reply))
    assert isinstance(again, TrainReply)
    assert again.upload.view(torch.int32).tolist() == upload.view(torch.int32).tolist()


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="wire form"):
        from_bytes(data)


def test_delivery_follows_its_formula() -> None:
    weights, held = torch.full((6,), 2.0), torch.full((6,), 4.0)
    expected = 0.75 * (weights + 0.5 * held) + 0.25 * torch.arange(6.0)
    expected[1] += 0.5
    expected[4] -= 2.0
    assert torch.allclose(DELIVERY.apply(weights, held), expected)
    assert torch.equal(weights, torch.full((6,), 2.0))


def test_delivery_without_anything_changes_nothing() -> None:
    weights = torch.randn(6, generator=torch.Generator().manual_seed(0))
    new = Delivery(round=0).apply(weights, None)
    assert torch.equal(new, weights)
    assert new is not weights


def test_a_full_share_hands_over_a_copy_of_the_model() -> None:
    model = torch.arange(6.0)
    new = Delivery(round=0, share=1.0, model=model).apply(torch.zeros(6), None)
    new += 1
    assert torch.equal(model, torch.arange(6.0))


def test_a_share_needs_a_model() -> None:
    with pytest.raises(ValueError, match="Expected a model"):
        Delivery(round=0, share=0.5)
