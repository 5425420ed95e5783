"""Groups: numbering, declared order, and what has no records."""

import numpy as np
import pytest

from equigrad.errors import ConfigError, DataError
from equigrad.steward.groups import MOST_GROUPS, find_groups


def test_text_is_ordered_by_spelling_numbers_by_size():
    text = find_groups("sex", np.array(["m", "f", "m"]), np.array(["f"]))
    assert text.names == ("f", "m")
    assert text.train.tolist() == [1, 0, 1]
    assert text.test.tolist() == [0]
    numbers = find_groups("k", np.array([10, 9, 2]), np.array([9]))
    assert numbers.names == ("2", "9", "10")
    assert numbers.train.tolist() == [2, 1, 0]
    assert find_groups("k", np.array([1.0, 0.0]), np.array([1.0])).names == ("0", "1")


def test_declared_groups_keep_their_order():
    groups = find_groups("sex", np.array(["m", "f"]), np.array(["m"]), ["m", "f"])
    assert groups.names == ("m", "f")
    assert groups.train.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("train", "test", "declared", "message"),
    [
        (["a", "b"], ["a"], ["a", "b", "c"], "got none of c"),
        (["a", "b"], ["c"], [], "got none of c"),
        (["a", "b"], ["a"], ["a"], "at least two groups"),
        (["a", "b", "x"], ["a"], ["a", "b"], "got 'x'"),
        (["a", "a"], ["a"], [], "at least two groups"),
        (list(range(MOST_GROUPS + 1)), [0], [], "Bin them"),
    ],
)
def test_impossible_groups_are_refused(train, test, declared, message):
    with pytest.raises(DataError, match=message):
        find_groups("g", np.array(train), np.array(test), declared)


def test_a_pair_must_be_groups():
    groups = find_groups("sex", np.array(["m", "f"]), np.array(["m"]))
    groups.check_pair(["m", "f"])
    with pytest.raises(ConfigError, match="got 'x'"):
        groups.check_pair(["m", "x"])
