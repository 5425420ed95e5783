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


class Scaled(nn.Module):
    """A layer without a rule of its own, to be run again record by record."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(0.5, 2.0, 4, dtype=torch.float64))

    def forward(self, x):
        return (x * self.scale).sin()


class Inside(nn.Module):
    """Gives its inner layer the positions first."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        out = self.inner(x.transpose(0, 1))
        return (out[0] if isinstance(out, tuple) else out).transpose(0, 1)


@pytest.mark.parametrize("length", [2, 3, 4])
def test_layers_without_a_rule_are_taken_apart_by_record(length):
    agree(Inside(Scaled()), numbers(3, length, 4))


def test_layers_skipped_by_a_fast_path_are_looked_at():
    agree(Inside(nn.TransformerEncoderLayer(4, 2, 6)).double().eval(), numbers(3, 3, 4))


@pytest.mark.parametrize("length", [3, 5])
def test_a_layer_built_for_another_axis_is_refused(length):
    wrong = Inside(nn.LSTM(4, 2, batch_first=True)).double()
    with pytest.raises(ModelError, match="batch_first=False"):
        per_sample_gradients(wrong, spread, numbers(3, length, 4), None)
    agree(Inside(nn.LSTM(4, 2)).double(), numbers(3, length, 4))


class Given(nn.Module):
    """Takes the places from outside."""

    def __init__(self):
        super().__init__()
        self.table, self.places = nn.Embedding(9, 4), nn.Embedding(6, 4)

    def forward(self, ids, places):
        return self.table(ids) + self.places(places)


def test_a_shared_input_as_long_as_the_batch_is_not_taken_for_records():
    model, ids, places = Given().double(), tokens(4, 4), torch.arange(4)
    with pytest.raises(ModelError, match=r"'places'.*expand what all records share"):
        per_sample_gradients(model, spread, (ids, places), None)
    agree(model, (ids, places.expand_as(ids)))


def test_what_is_learned_holds_for_inputs_of_that_shape_only():
    class Turns(nn.Module):
        """Short inputs go through the layer one way, long ones the other."""

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            if x.shape[1] > 3:
                return self.layer(x.transpose(0, 1)).transpose(0, 1)
            return self.layer(x)

    model = Turns().double()
    passing = PerSamplePass(model, spread)
    for length in (3, 5, 3, 5, 2):
        for rows in (2, 3, 5):
            x = numbers(rows, length, 4)
            want = [passing(x[i : i + 1], None).norms for i in range(rows)]
            torch.testing.assert_close(passing(x, None).norms, torch.cat(want))


def test_a_model_for_one_number_of_rows_is_refused_where_axes_would_be_guessed():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            return self.layer(x.view(4, 3))

    with pytest.raises(ModelError, match="any number of records"):
        per_sample_gradients(Fixed().double(), spread, numbers(4, 3), None)


def test_a_model_that_fails_fails_in_its_own_words():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        per_sample_gradients(nn.Linear(3, 2).double(), spread, numbers(4, 5), None, check=False)
