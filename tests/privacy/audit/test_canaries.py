"""Canaries: each builder makes the trace it promises, and leaves the model's mode alone."""

import pytest
import torch
from torch import nn

from equigrad.errors import ConfigError, DataError
from equigrad.privacy.audit import coins, dirac, mislabelled


def test_coins_are_fair_and_reproducible() -> None:
    drawn = coins(20_000, torch.Generator().manual_seed(1))
    assert drawn.dtype == torch.bool
    assert abs(drawn.float().mean().item() - 0.5) < 3 * 0.5 / 20_000**0.5
    assert torch.equal(drawn, coins(20_000, torch.Generator().manual_seed(1)))


def test_mislabelled_rows_are_copies_with_wrong_classes() -> None:
    x, y = torch.randn(300, 4), torch.arange(300) % 3
    made = mislabelled(x, y, 200, 3, torch.Generator().manual_seed(2))
    assert torch.equal(made.inputs, x[made.rows])
    assert len(set(made.rows.tolist())) == 200
    assert (made.targets != y[made.rows]).all()
    assert set(made.targets.tolist()) == {0, 1, 2}
    assert torch.equal(y, torch.arange(300) % 3)


def test_mislabelled_scores_are_minus_the_loss_in_evaluation_mode() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))
    made = mislabelled(torch.randn(9, 4), torch.zeros(9), 5, 3, torch.Generator().manual_seed(3))
    loss = nn.CrossEntropyLoss(reduction="none")
    model.train()
    scores = made.scores(model, loss)
    assert model.training
    model.eval()
    with torch.no_grad():
        assert torch.allclose(scores, -loss(model(made.inputs), made.targets).double())
    made.scores(model, loss)
    assert not model.training


def test_dirac_canaries_move_one_number_each() -> None:
    made = dirac(5, size=7.0)
    for j in range(5):
        made.model.zero_grad()
        made.loss(made.model(made.inputs[j : j + 1]), made.targets[j : j + 1]).sum().backward()
        want = torch.zeros(5, 1)
        want[j] = -7.0
        assert torch.equal(made.model.weight.grad, want)
    assert torch.equal(made.scores(), torch.zeros(5, dtype=torch.float64))
    with torch.no_grad():
        made.model.weight[2] = 3.0
    assert made.scores().argmax() == 2


def test_impossible_canaries_are_refused() -> None:
    generator = torch.Generator()
    x = torch.zeros(3, 2)
    with pytest.raises(DataError, match="at most as many canaries as rows"):
        mislabelled(x, torch.zeros(3), 4, 2, generator)
    with pytest.raises(DataError, match="at least two"):
        mislabelled(x, torch.zeros(3), 2, 1, generator)
    with pytest.raises(DataError, match="labels from 0 to 5"):
        mislabelled(x, torch.tensor([0, 5, 1]), 2, 2, generator)
    for call in (lambda: coins(0, generator), lambda: dirac(0), lambda: dirac(2, size=-1.0)):
        with pytest.raises(ConfigError):
            call()
