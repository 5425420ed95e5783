"""Keep rates by class and group: beside plain counting, with warnings for the owner."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equigrad import errors
from equigrad.valuation.select import keep_rates


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=30))
def test_rates_beside_plain_counting(rows):
    kept = np.array([k for k, _ in rows])
    groups = np.array([g for _, g in rows])
    found = keep_rates(kept, groups, n_groups=5)
    present = []
    for group in range(5):
        own = [k for k, g in rows if g == group]
        assert found.total[group] == len(own)
        assert found.kept[group] == sum(own)
        if own:
            present.append(sum(own) / len(own))
            assert found.rates[group] == pytest.approx(present[-1])
        else:
            assert math.isnan(found.rates[group])
            assert f"Group {group} has no records." in found.warnings
    if len(present) > 1 and max(present) > 0:
        assert found.ratio == pytest.approx(min(present) / max(present))
        assert any("ratio" in words for words in found.warnings) == (found.ratio < 0.8)
    else:
        assert math.isnan(found.ratio)


def test_the_warning_names_the_groups_and_is_local():
    kept = np.array([True] * 10 + [True] * 7 + [False] * 3)
    found = keep_rates(kept, [0] * 10 + [1] * 10, ["men", "women"])
    assert found.local
    assert found.ratio == pytest.approx(0.7)
    assert "women" in found.warnings[0]
    assert "0.70" in found.warnings[0]
    assert "for the owner only" in str(found)
    assert "men: 1.000 of 10" in str(found)
    even = keep_rates(np.array([True] * 18 + [False] * 2), [0] * 10 + [1] * 10)
    assert even.ratio == pytest.approx(0.8)
    assert even.warnings == ()


def test_nothing_kept_and_no_records_say_so():
    found = keep_rates(np.array([False, False]), [0, 1])
    assert math.isnan(found.ratio)
    assert found.warnings == ("Nothing was kept of any group.",)
    assert "no records" in str(keep_rates(np.array([True]), [0], ["a", "b"]))


@pytest.mark.parametrize(
    ("kept", "groups", "options"),
    [
        ([1, 0], [0, 1], {}),
        ([True], [0, 1], {}),
        ([True], [-1], {}),
        ([True], [0.0], {}),
        ([True], [2], {"names": ["a", "b"]}),
        ([True], [2], {"n_groups": 2}),
        ([True], [0], {"names": ["a", "b"], "n_groups": 3}),
    ],
)
def test_what_does_not_fit_is_refused(kept, groups, options):
    with pytest.raises(errors.ConfigError, match="Expected"):
        keep_rates(np.array(kept), groups, **options)
