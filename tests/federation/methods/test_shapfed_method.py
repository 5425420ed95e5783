"""ShapFed's round by hand, and where its classifier is looked for."""

import numpy as np
import pytest
import torch
from simulated import NAMES, SHAPES, SIZES, D, Simulated, line, terms

from equigrad.contribution.shapfed import ClassifierLayer
from equigrad.errors import ConfigError
from equigrad.federation.methods import METHODS
from equigrad.federation.methods.base import Intake
from equigrad.federation.methods.shapfed import classifier_layer


def test_classifier_is_the_last_two_dimensional_weight_with_its_bias() -> None:
    assert classifier_layer(terms(["a"])) == ClassifierLayer(24, 3, 4, 36)


def test_classifier_without_bias() -> None:
    found = classifier_layer(
        terms(["a"], names=NAMES[:3], shapes=SHAPES[:3], layer_sizes=SIZES[:3])
    )
    assert found == ClassifierLayer(24, 3, 4, None)


def test_no_classifier_is_refused() -> None:
    flat = terms(["a"], names=("scale",), shapes=((D,),), layer_sizes=(D,))
    with pytest.raises(ConfigError, match="linear layer"):
        METHODS["shapfed"](flat)


def test_bias_of_another_shape_is_refused() -> None:
    shapes = (*SHAPES[:3], (1, 3))
    with pytest.raises(ConfigError, match="bias"):
        METHODS["shapfed"](terms(["a"], shapes=shapes))


def worked() -> tuple[list[torch.Tensor], Intake]:
    """Two parties whose classifier rows are at right angles, and equal elsewhere."""
    uploads = [torch.full((D,), 0.5), torch.full((D,), 0.5)]
    for upload, column in zip(uploads, (0, 1), strict=True):
        upload[24:] = 0
        upload[24 + column : 36 : 4] = 1.0  # one column of the 3 x 4 weight
    intake = Intake(0, ("a", "b"), ("a", "b"), tuple(uploads), (1, 99), None, ({}, {}))
    return uploads, intake


def test_worked_example() -> None:
    uploads, intake = worked()
    method = METHODS["shapfed"](terms(["a", "b"]))
    settlement = method.settle(intake)
    # each class row is (1, 0) and (0, 1); the mean is (1/2, 1/2): every cosine is 1 / sqrt 2
    assert line(settlement, "appraise")["values"] == pytest.approx([0.5**0.5] * 2)
    assert line(settlement, "appraise")["aggregation_weights"] == pytest.approx([0.5, 0.5])
    assert line(settlement, "reward")["q"] == [1.0, 1.0]
    mean = method.terms.initial + (uploads[0] + uploads[1]) / 2
    assert torch.allclose(method.model(), mean)
    delivery = method.delivery("a", -1)
    assert delivery is not None
    assert (delivery.keep, delivery.share) == (1.0, 1.0)
    assert torch.equal(delivery.apply(method.terms.initial, uploads[0]), method.model())


def test_values_are_remembered_and_a_flipper_gets_nothing() -> None:
    uploads, _ = worked()
    method = METHODS["shapfed"](terms(["a", "b", "c"]))
    third = Intake(
        0, ("a", "b", "c"), ("a", "b", "c"), (*uploads, -uploads[0]), (1, 1, 1), None, ({},) * 3
    )
    values = line(method.settle(third), "appraise")["values"]
    # the weighted sum of the rows is (0, 1/3): a and its opposite are at right angles to it
    assert values == pytest.approx([0.0, 1.0, 0.0], abs=1e-12)
    again = line(method.settle(Intake(1, *_rest(third))), "appraise")
    # b alone had weight, so the weighted sum is b's row again
    assert again["values"] == pytest.approx([0.0, 1.0, 0.0], abs=1e-12)
    assert again["aggregation_weights"] == pytest.approx([0.0, 1.0, 0.0], abs=1e-12)
    changed = Intake(2, third.members, third.parties, (uploads[1],) * 3, (1, 1, 1), None, ({},) * 3)
    after = line(method.settle(changed), "appraise")
    assert after["values"] == pytest.approx([1.0, 1.0, 1.0])
    assert after["r"] == pytest.approx(np.array([0.1, 1.0, 0.1]) / 1.2)


def _rest(intake: Intake) -> tuple[object, ...]:
    return intake.members, intake.parties, intake.uploads, intake.records, None, intake.noise


@pytest.mark.parametrize("name", ["shapfed", "cffl"])
def test_the_coordinator_follows_the_parties_models(name: str) -> None:
    simulated = Simulated.of(name)
    away = {1: "p0", 2: "p2", 4: "p2", 5: "p3"}
    for t in range(8):
        if t == 6:  # a void round: they train and apply, nothing is settled
            simulated.train(["p0", "p1"], t)
            continue
        simulated.round(t, [p for p in simulated.parties if p != away.get(t)])
    followed = simulated.method.save().arrays
    for party in simulated.parties:
        simulated.deliver(party)
        assert np.array_equal(followed[f"party.{party}"], simulated.weights[party].numpy())
