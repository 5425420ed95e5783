"""PyTorch's global generator is lent to one user at a time and given back."""

import threading

import pytest
import torch
from torch import nn

from equigrad.models import ModelInput, build_model, private_rng, uses_global_rng


def test_the_generator_is_seeded_inside_and_restored_outside():
    before = torch.get_rng_state()
    with private_rng(3):
        first = torch.rand(4)
    with private_rng(3):
        again = torch.rand(4)
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)


def draw_and_fail() -> None:
    with private_rng(3):
        torch.rand(1)
        raise ValueError("after the draw")


def test_it_is_restored_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="after the draw"):
        draw_and_fail()
    assert torch.equal(torch.get_rng_state(), before)


def test_it_may_be_taken_again_by_who_has_it():
    with private_rng(1):
        first = torch.rand(2)
        with private_rng(2):
            torch.rand(7)
        second = torch.rand(2)
    with private_rng(1):
        assert torch.equal(torch.rand(4), torch.cat([first, second]))


def test_two_threads_never_have_it_at_the_same_time():
    start = threading.Barrier(4)
    drawn: dict[int, torch.Tensor] = {}

    def draw(seed: int) -> None:
        start.wait()
        for _ in range(50):
            with private_rng(seed):
                drawn[seed] = torch.stack([torch.rand(3) for _ in range(5)])

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        with private_rng(seed):
            assert torch.equal(drawn[seed], torch.stack([torch.rand(3) for _ in range(5)]))


@pytest.mark.parametrize(
    ("layer", "draws"),
    [(nn.Dropout(0.5), True), (nn.Dropout(0.0), False), (nn.RReLU(), True), (nn.ReLU(), False)],
)
def test_who_draws_is_seen_and_nothing_is_changed(layer, draws):
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), layer).eval()
    before = torch.get_rng_state()
    assert uses_global_rng(model, torch.ones(4, 3)) is draws
    assert torch.equal(torch.get_rng_state(), before)
    assert model[1].num_batches_tracked == 0
    assert not any(module.training for module in model.modules())


def test_frozen_modules_do_not_draw():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm1d(3))
    assert uses_global_rng(model, torch.ones(4, 3), frozen=[model[2]])
    assert not uses_global_rng(model, torch.ones(1, 3), frozen=[model[1], model[2]])


def test_the_text_cnn_draws_and_the_mlp_does_not():
    text, table = ModelInput((9,), 2, vocabulary=20), ModelInput((9,), 2)
    assert uses_global_rng(build_model("text-cnn", text, {}, 0), text.example())
    assert not uses_global_rng(build_model("mlp", table, {}, 0), table.example())
