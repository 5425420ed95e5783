"""Labels of classes: whole numbers of any width, each one that the model has an output for."""

import numpy as np
import pytest
import torch
from valuation_helpers import small_records, small_trajectory

from equigrad.errors import DataError
from equigrad.valuation import plis_map, score

ALONE = ("loss", "loss-mean", "aum", "grad-norm", "tracin-self", "plis", "vog", "el2n")
BESIDE = ("tracin", "grad-cos", "projected", "datainf", "influence")


def scored(labels, name, validation=None):
    inputs, sound = small_records(10)
    trajectory = small_trajectory(4, learning_rates=(0.1,) * 4)
    if name in BESIDE:
        validation = (inputs, sound) if validation is None else (inputs, validation)
    found = score(
        trajectory,
        (inputs, labels),
        [name],
        view="local",
        validation=validation,
        batch_size=4,
        assess=False,
    )
    return found[name].values


@pytest.mark.parametrize("wrong", [-100, -1, 3])
@pytest.mark.parametrize("name", ALONE + BESIDE)
def test_a_label_without_an_output_is_named(name, wrong):
    # -100 is what cross-entropy passes over: such a record would look as right as can be.
    labels = small_records(10)[1].clone()
    labels[5] = wrong
    with pytest.raises(DataError, match=rf"labels in 0\.\.2 .* got {wrong} in record 5 "):
        scored(labels, name)


@pytest.mark.parametrize("wrong", [-100, 3])
@pytest.mark.parametrize("name", BESIDE)
def test_such_a_label_in_the_validation_set_is_said_to_be_there(name, wrong):
    labels = small_records(10)[1]
    other = labels.clone()
    other[6] = wrong
    with pytest.raises(DataError, match=rf"^In the validation set: .* got {wrong} in record 6 "):
        scored(labels, name, other)


def test_maps_name_it_too():
    inputs, labels = small_records(10)
    labels = labels.clone()
    labels[7] = -100
    with pytest.raises(DataError, match="-100 in record 7"):
        plis_map(small_trajectory(), (inputs, labels), view="local", batch_size=3)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32])
@pytest.mark.parametrize("name", ["loss-mean", "grad-norm", "plis", "tracin", "influence"])
def test_whole_numbers_of_any_width_are_labels(name, dtype):
    labels = small_records(10)[1]
    other = labels.to(dtype) if name in BESIDE else None
    np.testing.assert_array_equal(scored(labels.to(dtype), name, other), scored(labels, name))
