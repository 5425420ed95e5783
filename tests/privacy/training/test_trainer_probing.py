"""Rows that meet before they are clipped: in the data set, in the model, or by a change of mode."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate
from training_cases import net, rows, trainer

from equigrad.errors import DataError, ModelError
from equigrad.privacy.training import PoissonSampler
from equigrad.privacy.training.probing import check_rows_apart
from equigrad.privacy.training.rows import as_rows


def loader(collate: Callable[[list[Any]], Any], data: Any = None) -> DataLoader[Any]:
    """Return a loader with a Poisson sampler, of 120 rows and batches of 30."""
    data = TensorDataset(*rows()[:2]) if data is None else data
    return DataLoader(data, batch_sampler=PoissonSampler(120, 0.25), collate_fn=collate)


def rolled(items: list[Any]) -> Any:
    x, y = default_collate(items)
    return 0.5 * x + 0.5 * x.roll(1, 0), y


def centred(items: list[Any]) -> Any:
    x, y = default_collate(items)
    return x - x.mean(0), y


def mixed_up(items: list[Any]) -> Any:
    x, y = default_collate(items)
    share = torch.rand(())
    return share * x + (1 - share) * x[torch.randperm(len(x))], y


def far(items: list[Any]) -> Any:
    x, y = default_collate(items)
    return (x + x.roll(9, 0) if len(x) > 9 else x), y


def relabelled(items: list[Any]) -> Any:
    x, y = default_collate(items)
    return x, y.roll(1)


class Remembering(Dataset[Any]):
    """Every item holds a little of the item before it."""

    def __init__(self) -> None:
        self.x, self.y, _ = rows()
        self.before = torch.zeros(5, dtype=torch.float64)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> Any:
        x, self.before = self.x[i] + 0.1 * self.before, self.x[i]
        return x, self.y[i]


MIXING = [loader(f) for f in (rolled, centred, mixed_up, far, relabelled)]


@pytest.mark.parametrize("data", [*MIXING, Remembering()])
@pytest.mark.parametrize("check_data", [True, False])
def test_data_that_mixes_rows_is_refused(data: object, check_data: bool) -> None:
    size = None if isinstance(data, DataLoader) else 30
    with pytest.raises(DataError, match="made of one record each"):
        trainer(data=data, public_batch_size=size, check_data=check_data)


class Augmented(Dataset[Any]):
    """Every item with noise of its own, from one of the generators that data sets use."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self.x, self.y, _ = rows()
        self.draw = draw

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> Any:
        return self.x[i] + self.draw(), self.y[i]


@pytest.mark.parametrize(
    "draw",
    [lambda: float(torch.rand(())), lambda: np.random.rand(), random.random],  # noqa: NPY002
)
def test_augmented_rows_are_rows(draw: Callable[[], float]) -> None:
    data = as_rows(Augmented(draw))
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    check_rows_apart(data, 30)
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002
    assert states[2] == random.getstate()
    trainer(data=Augmented(draw)).train(2)


def test_plain_data_sets_are_taken() -> None:
    def halved(items: list[Any]) -> Any:
        x, y = default_collate(items)
        return 0.5 * x, y

    trainer(data=loader(halved), public_batch_size=None).train(2)
    with pytest.raises(DataError, match="empty"):
        trainer(data=torch.utils.data.Subset(Augmented(random.random), []))


class Model(nn.Module):
    """Two linear layers, with something between them."""

    def __init__(self, between: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, 7).double(), nn.Linear(7, 3).double()
        self.between = between

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(self.between(self, self.first(inputs).tanh()))


def centre(module: nn.Module, h: Tensor) -> Tensor:
    return h - h.mean(0)


def centre_in_large_batches(module: nn.Module, h: Tensor) -> Tensor:
    return h - h.mean(0) if len(h) > 8 else h


def centre_backwards(module: nn.Module, h: Tensor) -> Tensor:
    mean = h.mean(0)
    return h + mean - mean.detach()


@pytest.mark.parametrize("between", [centre, centre_in_large_batches, centre_backwards])
def test_models_that_mix_rows_are_refused_whatever_is_checked(
    between: Callable[[nn.Module, Tensor], Tensor],
) -> None:
    for check in (True, False):
        with pytest.raises(ModelError, match="mix"):
            trainer(Model(between), check_data=check)


def test_a_change_of_mode_is_refused_before_the_charge() -> None:
    def centre_in_training(module: nn.Module, h: Tensor) -> Tensor:
        return centre(module, h) if module.training else h

    model = Model(centre_in_training).eval()
    run = trainer(model)
    run.step()
    model.train()
    with pytest.raises(ModelError, match="training mode instead of evaluation"):
        run.step()
    assert run.meter.charged == 1
    model.eval()
    run.step()
    model.extra = nn.Dropout()
    with pytest.raises(ModelError, match="modules"):
        run.step()


def test_evaluating_in_between_is_told_if_it_is_not_undone() -> None:
    run = trainer(net(dropout=0.1))
    run.step()
    run.model.eval()
    with pytest.raises(ModelError, match=r"the model in evaluation mode"):
        run.step()
    run.model.train()
    run.step()


def test_one_row_is_no_way_around_the_probe() -> None:
    x, y, g = rows()
    with pytest.raises(ModelError, match="mix"):
        trainer(Model(centre), (x[:1], y[:1], g[:1]), public_batch_size=1)


def test_a_model_is_refused_before_noise_is_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def searched(*_: object, **__: object) -> None:
        raise AssertionError("calibrated too early")

    monkeypatch.setattr("equigrad.privacy.training.settings.calibrate_noise", searched)
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()
    with pytest.raises(ModelError, match="BatchNorm"):
        trainer(model, noise_multiplier=None, target_epsilon=1.0)
    with pytest.raises(AssertionError, match="too early"):
        trainer(noise_multiplier=None, target_epsilon=1.0)
