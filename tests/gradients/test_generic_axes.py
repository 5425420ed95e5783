"""Layers without a rule learn which axis counts records; equal lengths decide nothing."""

import pytest
import torch
from agreement import agree, numbers, spread
from torch import nn

from equigrad.errors import ModelError
from equigrad.gradients import PerSamplePass, per_sample_gradients, per_sample_oracle


class Shift(nn.Module):
    def __init__(self):
        super().__init__()
        self.by = nn.Parameter(numbers(4))

    def forward(self, x):
        return x + self.by


class Root(nn.Module):
    def __init__(self):
        super().__init__()
        self.by = nn.Parameter(numbers(4))

    def forward(self, x):
        return self.by * x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()


class Turned(nn.Module):
    """Positions first between its two linear layers, where nothing mixes positions."""

    def __init__(self, middle):
        super().__init__()
        self.below, self.middle, self.out = nn.Linear(3, 4), middle, nn.Linear(4, 1)

    def forward(self, x):
        return self.out(self.middle(self.below(x.transpose(0, 1)))).transpose(0, 1).flatten(1)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("make", [nn.PReLU, Root, Shift])
def test_positions_first_whatever_the_number_of_records(make, rows):
    """One record's gradient is a thousand times the others': mixed-up rows show."""
    x = numbers(rows, 4, 3)
    x[0] *= 1000
    agree(Turned(make()).double(), x)


@pytest.mark.parametrize("length", [2, 3, 4])
def test_one_pass_over_batches_around_the_number_of_positions(length):
    model = Turned(Root()).double()
    passing = PerSamplePass(model, spread)
    for rows in (length + 1, length, max(1, length - 1), 2, 3, length):
        x = numbers(rows, length, 3, seed=rows)
        own = per_sample_oracle(model, spread, x, None)
        want = sum(r.flatten(1).square().sum(1) for r in own.values()).sqrt()
        torch.testing.assert_close(passing(x, None).norms, want)


def test_rows_clipped_to_a_bound_stay_within_it_at_every_batch_size():
    """What an equal number of records and positions once broke: the sensitivity."""
    model = Turned(nn.PReLU()).double()
    for part in (model.below, model.out):
        part.requires_grad_(False)
    x = numbers(5, 5, 3)
    x[3] *= 1e3
    passing = PerSamplePass(model, spread)
    for rows in (4, 5):
        own = per_sample_oracle(model, spread, x[:rows], None)["middle.weight"].norm(dim=1)
        weights = (1 / passing(x[:rows], None).norms).clamp(max=1)
        assert float((weights * own).max()) <= 1 + 1e-9


class Mixer(nn.Module):
    """Averages positions by a table that it is given."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(numbers(3, 3))

    def forward(self, x, table):
        return (table / table.sum(-1, keepdim=True)) @ (x @ self.weight)


class GivesATable(nn.Module):
    def __init__(self, positions=4):
        super().__init__()
        self.below, self.mixer, self.positions = nn.Linear(3, 3), Mixer(), positions

    def forward(self, x):
        return self.mixer(self.below(x), torch.tril(torch.ones(4, 4, dtype=x.dtype)))


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5])
def test_what_all_records_share_is_not_cut_into_rows(rows):
    agree(GivesATable().double(), numbers(rows, 4, 3))


class Folds(nn.Module):
    """Gives a layer without a rule something that follows the number of records another way."""

    def __init__(self):
        super().__init__()
        self.middle = Shift()

    def forward(self, x):
        return self.middle(x.flatten(0, 1)).view(x.shape)


class Waits(nn.Module):
    """Calls its layer for many records only, so that it is not seen on few."""

    def __init__(self):
        super().__init__()
        self.below, self.middle = nn.Linear(4, 4), Shift()

    def forward(self, x):
        x = self.below(x)
        return self.middle(x) if len(x) > 3 else x


@pytest.mark.parametrize("make", [Folds, Waits])
def test_what_cannot_be_told_is_refused(make):
    with pytest.raises(ModelError, match=r"'middle'.*axis\s+of its own"):
        per_sample_gradients(make().double(), spread, numbers(5, 5, 4), None)
