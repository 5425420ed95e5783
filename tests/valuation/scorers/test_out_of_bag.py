"""Data-OOB: by hand from the bags, order of records, bad labels, small and odd data."""

import numpy as np
import pytest
import torch
from pair_cases import classes, context_of, numbers
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from equigrad.errors import ConfigError
from equigrad.valuation import Trajectory, score, suspicion
from equigrad.valuation.scorers import DataOutOfBag


def scored(points, labels, scorer=None, seed=0):
    model = nn.Linear(points.shape[1], 3).double()
    trajectory = Trajectory(model, [model.state_dict()], nn.CrossEntropyLoss(), origin="public")
    scorer = scorer or DataOutOfBag(models=30)
    return score(trajectory, (points, labels), [scorer], view="local", seed=seed)[scorer.label]


def clouds(n, seed=0):
    """Return points around two centres, and which."""
    labels = torch.arange(n) % 2
    return numbers(n, 2, seed=seed) + 6 * labels[:, None], labels


def test_it_is_the_accuracy_of_trees_that_never_saw_the_record():
    points, labels = numbers(12, 2), classes(12)
    order = np.lexsort(np.column_stack([points, labels]).T)
    x, y = points.numpy()[order], labels.numpy()[order]
    rng, hits = np.random.default_rng(4), [[] for _ in range(12)]
    for _ in range(30):
        bag = rng.integers(0, 12, size=12)
        tree = DecisionTreeClassifier(random_state=int(rng.integers(2**31))).fit(x[bag], y[bag])
        for i in set(range(12)) - set(bag.tolist()):
            hits[i].append(float(tree.predict(x[i : i + 1])[0] == y[i]))
    want = np.empty(12)
    want[order] = [np.mean(one) for one in hits]
    found = scored(points, labels, seed=4)
    np.testing.assert_allclose(found.values, want, rtol=1e-12)
    assert (found.orientation, found.locality, found.checkpoints) == ("easier", "pooled", ())
    assert str(found.reliability) == "not assessed (it looks at no checkpoint)"


@pytest.mark.parametrize("learner", ["tree", "linear"])
def test_a_wrong_label_scores_low(learner):
    points, labels = clouds(60)
    labels[[3, 20]] = 1 - labels[[3, 20]]
    found = scored(points, labels, DataOutOfBag(learner, models=40))
    assert set(np.argsort(-suspicion(found))[:2]) == {3, 20}
    assert found.values.min() >= 0
    assert found.values.max() <= 1


def test_a_wrong_target_of_a_regression_scores_low():
    for learner in ("tree", "linear"):
        x = numbers(50, 2)
        y = torch.stack([x[:, 0] + 1, x.sum(1)], dim=1)
        y[7] += 20
        found = scored(x, y, DataOutOfBag(learner, models=40))
        assert found.values.argmin() == 7
        assert found.values.max() <= 0


@pytest.mark.parametrize("learner", ["tree", "linear"])
def test_the_order_of_records_does_not_matter_and_the_seed_does(learner):
    points, labels = numbers(25, 3), classes(25)
    scorer = DataOutOfBag(learner, models=20)
    want = scored(points, labels, scorer).values
    shuffled = torch.randperm(25, generator=torch.Generator().manual_seed(1))
    np.testing.assert_array_equal(
        scored(points[shuffled], labels[shuffled], scorer).values, want[shuffled]
    )
    np.testing.assert_array_equal(scored(points, labels, scorer).values, want)
    assert not np.array_equal(scored(points, labels, scorer, seed=1).values, want)


@pytest.mark.parametrize("learner", ["tree", "linear"])
def test_one_class_and_constant_features(learner):
    scorer = DataOutOfBag(learner, models=20)
    assert scored(numbers(9, 2), torch.full((9,), 2), scorer).values.tolist() == [1.0] * 9
    flat = scored(torch.ones(9, 2, dtype=torch.float64), torch.arange(9) % 2, scorer)
    assert np.isfinite(flat.values).all()


def test_a_record_in_every_bag_gets_the_mean_of_the_others():
    assert scored(numbers(1, 2), torch.zeros(1, dtype=torch.int64)).values.tolist() == [0.0]
    points, labels = clouds(8)
    one = scored(points, labels, DataOutOfBag(models=1)).values
    bag = set(np.random.default_rng(0).integers(0, 8, size=8).tolist())
    order = np.lexsort(np.column_stack([points, labels]).T)
    inside, outside = order[sorted(bag)], order[sorted(set(range(8)) - bag)]
    np.testing.assert_allclose(one[inside], one[outside].mean())


def test_pictures_are_flattened_and_settings_checked():
    context = context_of("conv", n=15)
    found = DataOutOfBag(models=10).score(context)
    assert found.shape == (15,)
    with pytest.raises(ConfigError, match="learner"):
        DataOutOfBag("forest")
    with pytest.raises(ConfigError, match="models"):
        DataOutOfBag(models=0)
    assert list(DataOutOfBag().chosen(5)) == []
