"""Which axis counts records is never guessed from equal lengths."""

import pytest
import torch
from agreement import agree, numbers, spread
from torch import nn

from equigrad.errors import ModelError
from equigrad.gradients import PerSamplePass, per_sample_gradients


class Turned(nn.Module):
    """Everything inside has the positions first, from the token ids on."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(9, 4)
        self.layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0)
        self.out = nn.Linear(4, 2)

    def forward(self, ids):
        return self.out(self.layer(self.table(ids.mT))).transpose(0, 1)


class Positions(nn.Module):
    def __init__(self, expand):
        super().__init__()
        self.table, self.places, self.expand = nn.Embedding(9, 4), nn.Embedding(6, 4), expand

    def forward(self, ids):
        places = torch.arange(ids.shape[1])
        return self.table(ids) + self.places(places.expand_as(ids) if self.expand else places)


def tokens(rows, length):
    return torch.randint(0, 9, (rows, length), generator=torch.Generator().manual_seed(rows))


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_as_many_positions_as_records(rows, length):
    agree(Turned().double(), tokens(rows, length))


def test_batches_and_lengths_that_change():
    model = Turned().double()
    passing = PerSamplePass(model, spread)
    for rows, length in [(2, 3), (3, 3), (3, 2), (1, 1), (5, 3), (3, 5), (4, 4)]:
        ids = tokens(rows, length)
        want = per_sample_gradients(model, spread, ids, None).norms
        torch.testing.assert_close(passing(ids, None).norms, want)
        agree(model, ids)


@pytest.mark.parametrize("rows", [3, 4, 5])
def test_what_all_records_share_is_refused_until_expanded(rows):
    with pytest.raises(ModelError, match=r"'places'.*expand what all records share"):
        per_sample_gradients(Positions(False).double(), spread, tokens(rows, 4), None)
    agree(Positions(True).double(), tokens(rows, 4))


def test_looking_leaves_no_trace():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.linear = nn.Linear(3, 2)

        def forward(self, x):
            self.calls += 1
            return self.linear(nn.functional.dropout(x, 0.5))

    model = Counts().double()
    passing = PerSamplePass(model, spread)
    torch.manual_seed(3)
    first = passing(numbers(4, 3), None).norms
    after_first = int(model.calls)
    torch.manual_seed(3)
    again = passing(numbers(4, 3), None).norms
    torch.testing.assert_close(first, again)
    assert int(model.calls) - after_first <= after_first
