"""A look at the sum: the records' gradients must add up to what back-propagation gives.

The pass sees parameters only through their layers. A weight that is also used by itself would get
a gradient that is wrong without a sign of it; here is the sign.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from equigrad.errors import ModelError
from equigrad.gradients.result import PerSampleGradients

__all__ = ["check_sum"]

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}
_COARSE = 0.05  # half precision


def check_sum(
    grads: PerSampleGradients, total: Tensor, parameters: Mapping[str, nn.Parameter]
) -> None:
    """Raise ``ModelError`` unless the unweighted sum is the gradient of ``total``.

    Parameters
    ----------
    grads
        The records' gradients.
    total
        The summed loss, its graph still there.
    parameters
        By name, those of ``grads``.

    Notes
    -----
    Differences are measured against the sum of the norms, so that records that cancel each other
    do no harm. A batch with a record that is not finite is not judged.
    """
    if not bool(grads.finite.all()) or not total.requires_grad:
        return
    wanted = torch.autograd.grad(
        total, list(parameters.values()), retain_graph=True, allow_unused=True
    )
    sums = grads.weighted_sum(torch.ones_like(grads.losses))
    size = grads.norms.sum().item()
    wrong = []
    for (name, parameter), want in zip(parameters.items(), wanted, strict=True):
        got = sums[name].detach()
        difference = got if want is None else got - want.to(got.dtype)
        if float(difference.norm()) > _TOLERANCE.get(parameter.dtype, _COARSE) * size:
            wrong.append(name)
    if wrong:
        raise ModelError(
            "Expected the records' gradients to add up to those of back-propagation, got other "
            f"sums for {', '.join(wrong)}. Use these parameters only by calling the layers that "
            "own them, not by themselves."
        )
