"""Golden cases of kind ``book_keeping``: norms and weighted sums of one Linear layer."""

import numpy as np
import pytest
import torch
from golden_cases import load
from torch import nn

from equigrad.gradients import per_sample_gradients

CONTENT = load("fair_private_training.json")
TOLERANCE = float(CONTENT.get("tolerance", 1e-9))
CASES = [
    pytest.param(case, id=str(case.get("name", at)))
    for at, case in enumerate(CONTENT.get("book_keeping", []))
]


def inner_product(outputs, gradients):
    """Return a loss whose gradient at the layer's output is ``gradients``."""
    return (outputs * gradients).flatten(1).sum(1)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, TOLERANCE), (torch.float32, max(1e-5, TOLERANCE))]
)
@pytest.mark.parametrize("case", CASES)
def test_norms_weights_and_sums(case, dtype, tolerance):
    a, b = (torch.tensor(case[key], dtype=dtype) for key in ("a", "g"))
    layer = nn.Linear(a.shape[-1], b.shape[-1], dtype=dtype)
    grads = per_sample_gradients(layer, inner_product, a, b)
    weights = case["C"] / grads.norms.clamp(min=case["Z"])
    sums = grads.weighted_sum(weights)
    for got, key in (
        (grads.norms, "norms"),
        (weights, "weights"),
        (sums["weight"], "dW"),
        (sums["bias"], "db"),
    ):
        want = np.asarray(case[key], dtype=np.float64).reshape(got.shape)
        np.testing.assert_allclose(
            got.double().numpy(), want, rtol=tolerance, atol=tolerance, err_msg=key
        )
