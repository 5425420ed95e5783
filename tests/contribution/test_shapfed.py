"""ShapFed's score against its definition on the classifier's rows."""

import numpy as np
import pytest
import torch

from equigrad.contribution import ClassifierLayer, ShapFed
from equigrad.errors import ConfigError, UploadError


def by_hand(uploads, weights, classes, weight_at, width, bias_at=None):
    scores = np.zeros(len(uploads))
    for k in range(classes):
        rows = uploads[:, weight_at + k * width : weight_at + (k + 1) * width]
        if bias_at is not None:
            rows = np.column_stack([rows, uploads[:, bias_at + k]])
        whole = weights @ rows
        for i, row in enumerate(rows):
            length = np.linalg.norm(row) * np.linalg.norm(whole)
            scores[i] += row @ whole / length / classes if length > 0 else 0.0
    return scores


@pytest.mark.parametrize("bias_at", [None, 20, 0])
@pytest.mark.parametrize("form", [np.asarray, torch.from_numpy, list])
def test_mean_cosine_over_the_classes(bias_at, form):
    generator = np.random.default_rng(3)
    uploads, weights = generator.normal(size=(4, 25)), generator.uniform(0.1, 1, size=4)
    uploads[1, 5:10] = 0.0
    layer = ClassifierLayer(5, classes=3, in_features=5, bias_offset=bias_at)
    got = ShapFed(layer, classes=3).value(form(uploads), weights).values
    np.testing.assert_allclose(got, by_hand(uploads, weights, 3, 5, 5, bias_at), atol=1e-12)


def test_only_the_classifier_counts():
    uploads = np.random.default_rng(1).normal(size=(3, 12))
    rule = ShapFed(ClassifierLayer(6, classes=2, in_features=3))
    before = rule.value(uploads, np.ones(3)).values
    uploads[:, :6] = 1e3
    np.testing.assert_array_equal(rule.value(uploads, np.ones(3)).values, before)


def test_rows_that_cancel_to_rounding_are_worth_nothing():
    uploads = np.random.default_rng(2).normal(size=(7, 30))
    uploads[6] = -uploads[:6].sum(axis=0)
    rule = ShapFed(ClassifierLayer(0, classes=1, in_features=30))
    assert (rule.value(uploads, np.ones(7)).values == 0).all()


def test_classifier_must_be_named_and_fit_the_task():
    with pytest.raises(ConfigError, match="classifier layer"):
        ShapFed()
    with pytest.raises(ConfigError, match="10 rows"):
        ShapFed(ClassifierLayer(0, classes=3, in_features=2), classes=10)
    with pytest.raises(ConfigError, match="in_features"):
        ClassifierLayer(0, classes=3, in_features=0)
    with pytest.raises(ConfigError, match="bias_offset"):
        ClassifierLayer(0, classes=3, in_features=1, bias_offset=-1)


def test_uploads_must_hold_the_classifier():
    rule = ShapFed(ClassifierLayer(4, classes=2, in_features=3, bias_offset=10))
    with pytest.raises(UploadError, match="at least 12"):
        rule.value(np.zeros((2, 11)), np.ones(2))
    with pytest.raises(UploadError, match="at least 10"):
        ShapFed(ClassifierLayer(4, classes=2, in_features=3)).value(np.zeros((2, 9)), np.ones(2))
    with pytest.raises(UploadError, match="upload 1"):
        rule.value(np.array([[0.0] * 12, [np.inf] * 12]), np.ones(2))
