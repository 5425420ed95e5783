"""The slow, obvious per-sample gradient: what every fast path of this room is held against.

One copy of the model is run per record, on a batch of one, and differentiated with respect to all
trainable parameters at once. It forms a ``(B, parameters)`` tensor, so it is for tests, for small
models and for doubt; :func:`equigrad.gradients.per_sample_gradients` is for work.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["per_sample_oracle"]

Inputs = Tensor | tuple[Any, ...] | Mapping[str, Any]


def per_sample_oracle(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    inputs: Inputs,
    targets: Any,
    *,
    vectorised: bool = True,
) -> dict[str, Tensor]:
    """Return the gradient of every record's own loss, by parameter name.

    Parameters
    ----------
    model
        Any module; it is called through ``torch.func.functional_call`` and so left as it is.
    loss
        ``loss(outputs, targets)`` on a batch of one; whatever it returns is summed, so that both
        ``reduction="none"`` and ``reduction="mean"`` give the record's loss.
    inputs
        One tensor, a tuple of positional arguments or a mapping of keyword arguments, each tensor
        with the batch on axis 0.
    targets
        Tensor, or nested tensors, with the batch on axis 0; or None.
    vectorised
        Run the records through ``torch.func.vmap``; ``False`` takes them one by one, for layers
        that ``vmap`` does not know (recurrent ones). Randomness in the model differs by record
        either way.

    Returns
    -------
    dict of str to Tensor
        ``(B, *parameter.shape)`` for every trainable parameter, under its first name in
        ``model.named_parameters()``; a parameter used twice has the sum over its uses.
    """
    trainable = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    places = _places(model, set(trainable))

    def record_loss(parameters: dict[str, Tensor], record: Any, target: Any) -> Tensor:
        one, its_target = tree_map(_batch_of_one, (record, target))
        args, kwargs = _arguments(one)
        everywhere = {place: parameters[name] for place, name in places.items()}
        outputs = functional_call(model, everywhere, args, kwargs, tie_weights=False)
        return loss(outputs, its_target).sum()

    size = next(len(leaf) for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor))
    if size == 0:
        return {name: p.new_zeros((0, *p.shape)) for name, p in trainable.items()}
    gradient = grad(record_loss)
    if vectorised:
        of_targets = None if targets is None else 0
        by_record = vmap(gradient, in_dims=(None, 0, of_targets), randomness="different")
        rows: dict[str, Tensor] = by_record(trainable, inputs, targets)
        return rows
    both = (inputs, targets)
    each = [
        gradient(trainable, *tree_map(lambda leaf, i=i: None if leaf is None else leaf[i], both))
        for i in range(size)
    ]
    return {name: torch.stack([one[name] for one in each]) for name in trainable}


def _places(model: nn.Module, names: set[str]) -> dict[str, str]:
    """Return every place of the named parameters, each module once, with the parameter's name.

    ``functional_call`` finds tied weights itself, but leaves its own tensors in a module that is
    registered under two names.
    """
    first = {id(p): name for name, p in model.named_parameters()}
    found = {}
    for prefix, module in model.named_modules():
        for own, parameter in module._parameters.items():
            name = first.get(id(parameter))
            if name in names:
                found[f"{prefix}.{own}" if prefix else own] = name
    return found


def _batch_of_one(leaf: Tensor | None) -> Tensor | None:
    """Return ``leaf`` with a batch axis of length one in front."""
    return None if leaf is None else leaf.unsqueeze(0)


def _arguments(inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return ``inputs`` as positional and keyword arguments."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (inputs if isinstance(inputs, tuple) else (inputs,)), {}
