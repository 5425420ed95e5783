"""The remedy for batch normalisation: the same model with group normalisation in its place."""

import copy

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from equigrad.errors import ModelError

__all__ = ["replace_batchnorm"]

MOST_GROUPS = 32


def replace_batchnorm(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` with every batch normalisation replaced by ``GroupNorm``.

    Parameters
    ----------
    model
        Any module; it is not changed. ``BatchNorm1d/2d/3d`` and ``SyncBatchNorm`` are replaced,
        also when the model itself is one.

    Returns
    -------
    nn.Module
        The copy. A replaced layer of C channels has the largest divisor of C up to 32 as its
        number of groups, the same ``eps``, device, dtype and mode, and takes over weight and bias
        (trainable or frozen as they were). Running statistics are dropped. A layer that the model
        holds in several places is replaced by one layer held in the same places. ``BatchNorm1d``
        gets at least two channels a group if C > 1: its input may be ``(B, C)``, where a group of
        one channel is one number, which normalising would turn into 0.

    Raises
    ------
    ModelError
        If a lazy batch normalisation does not know its channels yet.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, _BatchNorm) and layer.num_features < 1:
            raise ModelError(
                f"Expected {name} to know its channels, got a lazy layer. "
                "Run the model once before replacing its layers."
            )
    twin = copy.deepcopy(model)
    if isinstance(twin, _BatchNorm):
        return _group_norm(twin)
    made: dict[int, nn.GroupNorm] = {}
    for parent in list(twin.modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, _BatchNorm):
                if id(child) not in made:
                    made[id(child)] = _group_norm(child)
                setattr(parent, name, made[id(child)])
    return twin


def _group_norm(layer: _BatchNorm) -> nn.GroupNorm:
    """Return the group norm that stands in for ``layer``, sharing its parameters."""
    channels = layer.num_features
    narrow = isinstance(layer, nn.BatchNorm1d)
    most = min(MOST_GROUPS, max(channels // 2, 1) if narrow else channels)
    groups = max(d for d in range(1, most + 1) if channels % d == 0)
    stand_in = nn.GroupNorm(groups, channels, eps=layer.eps, affine=layer.affine)
    if layer.affine:
        stand_in.weight, stand_in.bias = layer.weight, layer.bias
    return stand_in.train(layer.training)
