"""Models as flat vectors: what is uploaded, rewarded and digested.

The order is that of ``model.named_parameters()``, trainable parameters only; it never depends on
values. ``D`` is the number of trainable parameters.
"""

import hashlib
from itertools import accumulate, pairwise

import torch
from torch import nn

from equigrad.errors import ModelError

__all__ = [
    "flatten",
    "layer_sizes",
    "load_flat",
    "named_state",
    "parameter_names",
    "parameter_slices",
    "trainable",
    "vector_sha256",
]


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """Return the trainable parameters in the order of the flat vector."""
    return [p for p in model.parameters() if p.requires_grad]


def parameter_names(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the trainable parameters in the order of the flat vector."""
    return tuple(name for name, p in model.named_parameters() if p.requires_grad)


def layer_sizes(model: nn.Module) -> tuple[int, ...]:
    """Return the number of entries of each trainable parameter tensor; their sum is ``D``."""
    return tuple(p.numel() for p in trainable(model))


def parameter_slices(model: nn.Module) -> dict[str, slice]:
    """Return where each trainable parameter stands in the flat vector, by name."""
    ends = accumulate(layer_sizes(model), initial=0)
    return {
        name: slice(*pair)
        for name, pair in zip(parameter_names(model), pairwise(ends), strict=True)
    }


def flatten(model: nn.Module) -> torch.Tensor:
    """Return the trainable parameters as a new ``(D,) float32`` vector on the CPU."""
    return torch.cat([p.detach().reshape(-1) for p in trainable(model)]).cpu()


def load_flat(model: nn.Module, vector: torch.Tensor) -> None:
    """Copy ``vector`` ``(D,)`` into the trainable parameters of ``model``, in place.

    Raises
    ------
    ModelError
        If the vector has not ``D`` entries.
    """
    parameters = trainable(model)
    sizes = [p.numel() for p in parameters]
    if vector.shape != (sum(sizes),):
        raise ModelError(
            f"Expected a flat model of shape ({sum(sizes)},), got {tuple(vector.shape)}. "
            "Was it made with another model factory?"
        )
    with torch.no_grad():
        for parameter, part in zip(parameters, torch.split(vector, sizes), strict=True):
            parameter.copy_(part.view_as(parameter))


def named_state(model: nn.Module, vector: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the whole state of a model whose trainable parameters are ``vector`` ``(D,)``.

    What :meth:`torch.nn.Module.load_state_dict` takes: buffers and untrained parameters come from
    ``model`` (they are never trained here), every tensor is a copy on the CPU. ``model`` itself is
    not changed.
    """
    state = {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
    shapes = {name: p.shape for name, p in model.named_parameters()}
    for name, where in parameter_slices(model).items():
        state[name] = vector[where].reshape(shapes[name]).cpu().clone()
    return state


def vector_sha256(vector: torch.Tensor) -> str:
    """Return the SHA-256 (hex) of a vector's bytes as little-endian ``float32``."""
    array = vector.detach().to("cpu", torch.float32).contiguous().numpy()
    return hashlib.sha256(array.astype("<f4", copy=False).tobytes()).hexdigest()
