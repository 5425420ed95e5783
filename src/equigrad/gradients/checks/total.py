"""A look at the sum: the records' gradients must add up to what back-propagation gives.

The pass sees parameters only through their layers. A weight that is also used by itself would get
a gradient that is wrong without a sign of it; here is the sign.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from equigrad.errors import ModelError
from equigrad.gradients.result import PerSampleGradients

__all__ = ["SumCheck"]

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}
_COARSE = 0.05  # half precision


class SumCheck:
    """Ordinary gradients of one batch, to hold the records' gradients against.

    Parameters
    ----------
    losses
        Runs the plain model and gives ``(B,)`` losses. It is run once, at once, and the state of
        the random generators is put back, so that the pass that follows draws the same.
    parameters
        Those to compare, by name.
    """

    def __init__(
        self, losses: Callable[[], Tensor], parameters: Mapping[str, nn.Parameter]
    ) -> None:
        self._parameters = dict(parameters)
        with torch.random.fork_rng(devices=_devices(parameters)), torch.enable_grad():
            found = losses()
            self._losses = found.detach()
            self._gradients: tuple[Tensor | None, ...] = (None,) * len(parameters)
            if found.requires_grad:
                self._gradients = torch.autograd.grad(
                    found.sum(), list(parameters.values()), allow_unused=True
                )

    def compare(self, grads: PerSampleGradients) -> None:
        """Raise ``ModelError`` unless the unweighted sum of ``grads`` is that gradient.

        Differences are measured against the sum of the norms, so that records that cancel each
        other do no harm. Not judged: a batch with a record that is not finite, and a model whose
        two runs gave different losses, since its randomness could not be repeated.
        """
        coarse = max(_TOLERANCE.get(p.dtype, _COARSE) for p in self._parameters.values())
        if not bool(grads.finite.all()) or not torch.allclose(
            grads.losses, self._losses, rtol=coarse, atol=coarse
        ):
            return
        sums = grads.weighted_sum(torch.ones_like(grads.losses))
        size = float(grads.norms.detach().sum())
        wrong = []
        for (name, parameter), want in zip(self._parameters.items(), self._gradients, strict=True):
            got = sums[name].detach()
            difference = got if want is None else got - want.to(got.dtype)
            if float(difference.norm()) > _TOLERANCE.get(parameter.dtype, _COARSE) * size:
                wrong.append(name)
        if wrong:
            raise ModelError(
                "Expected the records' gradients to add up to those of back-propagation, got "
                f"other sums for {', '.join(wrong)}. Use these parameters only by calling the "
                "layers that own them, not by themselves."
            )


def _devices(parameters: Mapping[str, nn.Parameter]) -> list[torch.device]:
    """Return the accelerators whose generators a model may draw from."""
    return list({p.device for p in parameters.values() if p.device.type == "cuda"})
