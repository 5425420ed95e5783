"""What is said of bad validation records and labels, and rows that are a choice of others."""

from dataclasses import replace

import pytest
import torch
from pair_cases import classes, context_of, numbers

from equigrad.errors import DataError, NonFiniteScoreError
from equigrad.valuation import make_scorer
from equigrad.valuation.context import scored_rows
from equigrad.valuation.scorers import Projected
from equigrad.valuation.scorers.pairs import ChosenRows

SCORERS = {
    "datainf": lambda: make_scorer("datainf"),
    "influence": lambda: make_scorer("influence"),
    "less": lambda: Projected("less"),
    "trak": lambda: Projected("trak"),
    "knn-shapley": lambda: make_scorer("knn-shapley"),
}


@pytest.mark.parametrize("name", SCORERS)
def test_a_hole_in_a_validation_record_is_told_as_one(name):
    context, inputs = context_of(), numbers(5, 4)
    inputs[3, 1] = torch.nan
    bad = replace(context, validation=scored_rows((inputs, classes(5))), batch_size=2)
    with pytest.raises(NonFiniteScoreError, match=r"^In the validation set: .* first 3 \(from 0\)"):
        SCORERS[name]().matrix(bad)


@pytest.mark.parametrize("name", ["datainf", "influence", "less", "trak"])
def test_a_label_that_is_no_class_is_named(name):
    context, labels = context_of(), classes(11)
    labels[6] = 3
    records = scored_rows((numbers(11, 4), labels))
    with pytest.raises(
        DataError, match=r"^Expected labels in 0..2 .* got 3 in record 6 \(from 0\)"
    ):
        SCORERS[name]().matrix(replace(context, rows=records, batch_size=4))
    with pytest.raises(DataError, match=r"^In the validation set: .* got 3 in record 6"):
        SCORERS[name]().matrix(replace(context, validation=records, batch_size=4))


def test_chosen_rows_are_rows():
    rows = scored_rows((numbers(9, 2), torch.arange(9), torch.arange(9) % 2))
    some = ChosenRows.drawn(rows, 4, seed=0)
    assert len(some) == 4
    assert sorted(set(some.numbers.tolist())) == some.numbers.tolist()
    assert some.take(torch.tensor([1, 3]))[1].tolist() == some.numbers[[1, 3]].tolist()
    assert [len(labels) for _, labels in some.chunks(3)] == [3, 1]
    assert some.groups.tolist() == (some.numbers % 2).tolist()
    assert ChosenRows.drawn(rows, 9, seed=0).numbers.tolist() == list(range(9))
    assert ChosenRows.drawn(scored_rows((numbers(2, 2), torch.arange(2))), 5, 0).groups is None
