"""KNN-Shapley against all coalitions; ties, few records, features, refusals."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_cases import classes, context_of, numbers
from torch import nn

from equigrad.errors import ConfigError, DataError, NeedsError, NonFiniteScoreError
from equigrad.valuation import ScoringContext, Trajectory, score
from equigrad.valuation.context import scored_rows
from equigrad.valuation.scorers import KnnShapley


def utility(coalition, order, match, kn):
    """Return the correct votes of the coalition's kn nearest, over kn."""
    nearest = [i for i in order if i in coalition][:kn]
    return sum(match[i] for i in nearest) / kn


def by_coalitions(points, labels, others, answers, kn):
    """Return the ``(n,)`` mean Shapley values from all 2^n coalitions, and the full utility."""
    n, total, full = len(points), np.zeros(len(points)), 0.0
    for v, answer in zip(others, answers, strict=True):
        squares = [sum((a - b) ** 2 for a, b in zip(p, v, strict=True)) for p in points]
        order = sorted(range(n), key=lambda i, s=squares: (s[i], i))
        match = [int(label == answer) for label in labels]
        full += utility(set(range(n)), order, match, kn) / len(others)
        for size in range(n):
            weight = 1 / (n * math.comb(n - 1, size)) / len(others)
            for chosen in itertools.combinations(range(n), size):
                base = utility(set(chosen), order, match, kn)
                for i in set(range(n)) - set(chosen):
                    gain = utility({*chosen, i}, order, match, kn) - base
                    total[i] += weight * gain
    return total, full


def scored(points, labels, others, answers, kn):
    points, others = (torch.tensor(t, dtype=torch.float64) for t in (points, others))
    model = nn.Linear(points.shape[1], 3).double()
    trajectory = Trajectory(model, [model.state_dict()], nn.CrossEntropyLoss(), origin="public")
    found = score(
        trajectory,
        (points, torch.tensor(labels)),
        [KnnShapley(kn)],
        view="local",
        validation=(others, torch.tensor(answers)),
        batch_size=3,
    )
    return next(iter(found.values()))


@st.composite
def problems(draw):
    """Return points on a small grid, so that ties abound."""
    n, m, d = draw(st.integers(1, 7)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    cell = st.integers(-1, 2)
    point = st.lists(cell, min_size=d, max_size=d)
    label = st.integers(0, 2)
    return (
        draw(st.lists(point, min_size=n, max_size=n)),
        draw(st.lists(label, min_size=n, max_size=n)),
        draw(st.lists(point, min_size=m, max_size=m)),
        draw(st.lists(label, min_size=m, max_size=m)),
        draw(st.integers(1, 9)),
    )


@settings(max_examples=60, deadline=None)
@given(problems())
def test_it_is_the_shapley_value_and_sums_to_the_full_utility(problem):
    want, full = by_coalitions(*problem)
    got = scored(*problem)
    np.testing.assert_allclose(got.values, want, rtol=0, atol=1e-12)
    assert got.values.sum() == pytest.approx(full, abs=1e-12)
    low, high = got.bounds
    assert low - 1e-15 <= got.values.min()
    assert got.values.max() <= high + 1e-15


@pytest.mark.parametrize("kn", [3, 15])
def test_ten_records_of_which_all_or_some_vote(kn):
    points, others = numbers(10, 2).tolist(), numbers(2, 2, seed=1).tolist()
    labels, answers = classes(10).tolist(), classes(2, seed=1).tolist()
    want, _ = by_coalitions(points, labels, others, answers, kn)
    got = scored(points, labels, others, answers, kn)
    np.testing.assert_allclose(got.values, want, rtol=0, atol=1e-12)
    assert any("fewer than 15" in text for text in got.warnings) == (kn == 15)


def test_constant_features_are_tied_by_number_and_one_class_shares_alike():
    tied = scored([[0.0]] * 4, [1, 0, 0, 1], [[5.0]], [1], 1)
    want, _ = by_coalitions([[0.0]] * 4, [1, 0, 0, 1], [[5.0]], [1], 1)
    np.testing.assert_allclose(tied.values, want, atol=1e-12)
    one = scored(numbers(6, 2).tolist(), [2] * 6, [[0.0, 0.0]], [2], 4)
    assert one.values.sum() == pytest.approx(1.0)
    assert (one.values > 0).all()


def test_records_that_are_equal_lie_at_equal_distances_wherever_they_stand():
    point = numbers(1, 37).repeat(50, 1)
    labels = [0] * 25 + [1] * 25
    got = scored(point.tolist(), labels, numbers(1, 37, seed=5).tolist(), [1], 1)
    # The first record votes alone; a tie broken otherwise would make a later one do so.
    assert got.values.argmin() == 0 or got.values[0] == pytest.approx(got.values[1])
    want = np.zeros(50)
    match = np.array(labels, dtype=float)
    want[49] = match[49] / 50
    for r in range(49, 0, -1):
        want[r - 1] = want[r] + (match[r - 1] - match[r]) / r
    np.testing.assert_allclose(got.values, want, atol=1e-12)


def test_blocks_change_nothing(monkeypatch):
    context = context_of(n=13, m=9)
    whole = KnnShapley(3).matrix(context)
    monkeypatch.setattr("equigrad.valuation.scorers.knn._BLOCK_BYTES", 8 * 8 * 13 * 2)
    np.testing.assert_array_equal(KnnShapley(3).matrix(context), whole)
    np.testing.assert_allclose(KnnShapley(3).score(context), whole.mean(1), rtol=0, atol=1e-15)


def test_a_model_s_features_are_those_of_the_last_checkpoint():
    context = context_of(n=8, m=4)

    def hidden(model, inputs):
        return model[1](model[0](inputs))

    points, others = (
        rows.take(torch.arange(len(rows))) for rows in (context.rows, context.validation)
    )
    state = context.trajectory.states[-1]
    spaces = [
        torch.tanh(x @ state["0.weight"].T + state["0.bias"]).tolist()
        for x in (points[0], others[0])
    ]
    want, _ = by_coalitions(spaces[0], points[1].tolist(), spaces[1], others[1].tolist(), 2)
    scorer = KnnShapley(2, hidden)
    np.testing.assert_allclose(scorer.score(context), want, atol=1e-12)
    assert list(scorer.chosen(5)) == [4]
    assert list(KnnShapley(2).chosen(5)) == []
    with pytest.raises(DataError, match=r"features of shape \(8, ...\), got \(1, 4\)"):
        KnnShapley(2, lambda model, inputs: inputs[:1]).score(context)


def test_refusals():
    with pytest.raises(ConfigError, match="neighbours"):
        KnnShapley(0)
    with pytest.raises(NeedsError, match="regression"):
        KnnShapley().matrix(context_of("regression"))
    context = context_of()
    inputs, labels = context.rows.take(torch.arange(11))
    with pytest.raises(NeedsError, match=r"a validation set .* 'knn-shapley'"):
        score(context.trajectory, (inputs, labels), ["knn_shapley"], view="local")
    fractions = scored_rows((inputs, labels.double()))
    with pytest.raises(DataError, match="class label for each validation record"):
        KnnShapley().score(ScoringContext(context.trajectory, context.rows, validation=fractions))
    inputs[4, 0] = torch.nan
    holes = ScoringContext(context.trajectory, scored_rows((inputs, labels)), validation=fractions)
    with pytest.raises(NonFiniteScoreError, match="in 1 records, the first 4"):
        KnnShapley().score(holes)
