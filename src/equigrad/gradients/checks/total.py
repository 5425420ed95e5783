"""A look at the sum: the records' gradients must add up to what back-propagation gives.

The pass sees parameters only through their layers. A weight that is also used by itself would get
a gradient that is wrong without a sign of it; here is the sign.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

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
    leaves
        All tensors that a backward pass may leave a gradient in; theirs are put back.
    """

    def __init__(
        self,
        losses: Callable[[], Tensor],
        parameters: Mapping[str, nn.Parameter],
        leaves: Iterable[Tensor],
    ) -> None:
        self._parameters = dict(parameters)
        with torch.random.fork_rng(devices=_devices(parameters)), torch.enable_grad():
            found = losses()
            self._losses = found.detach()
            self._gradients = _gradients(found, list(parameters.values()), leaves)

    def compare(self, grads: PerSampleGradients) -> bool:
        """Raise ``ModelError`` unless the unweighted sum of ``grads`` is that gradient.

        Differences are measured against the sum of the norms, so that records that cancel each
        other do no harm. Return False if there was no judging: a record is not finite, or the two
        runs gave different losses, since the model's randomness could not be repeated.
        """
        coarse = max(_TOLERANCE.get(p.dtype, _COARSE) for p in self._parameters.values())
        if not bool(grads.finite.all()) or not torch.allclose(
            grads.losses, self._losses, rtol=coarse, atol=coarse
        ):
            return False
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
        return True


def _gradients(
    losses: Tensor, parameters: Sequence[Tensor], leaves: Iterable[Tensor]
) -> list[Tensor | None]:
    """Return what ordinary training takes for the gradients of the summed losses.

    By a plain backward pass: gradients asked for by name miss what reentrant checkpointing hides.
    Where hooks act on every gradient that is left in a parameter, they are asked for by name.
    """
    if not losses.requires_grad:
        return [None] * len(parameters)
    held = {id(leaf): leaf for leaf in (*parameters, *leaves) if leaf.is_leaf}
    if any(getattr(leaf, "_post_accumulate_grad_hooks", None) for leaf in held.values()):
        return list(torch.autograd.grad(losses.sum(), parameters, allow_unused=True))
    before = [(leaf, leaf.grad) for leaf in held.values()]
    try:
        for leaf, _ in before:
            leaf.grad = None
        losses.sum().backward()  # type: ignore[no-untyped-call] # PyTorch's own
        return [parameter.grad for parameter in parameters]
    finally:
        for leaf, gradient in before:
            leaf.grad = gradient


def _devices(parameters: Mapping[str, nn.Parameter]) -> list[torch.device]:
    """Return the accelerators whose generators a model may draw from."""
    return list({p.device for p in parameters.values() if p.device.type == "cuda"})
