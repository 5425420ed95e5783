"""Normalising layers: scale and shift of what was normalised within each record.

The normalised input is computed again from the recorded one; a record's gradients of scale and
shift have as many numbers as it has channels or features, so they are simply written out.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

from equigrad.errors import ModelError
from equigrad.gradients.layers.base import LAYERS, LayerRule, Use
from equigrad.gradients.pieces import Piece, SumPiece, accumulation

__all__ = [
    "BatchNormRule",
    "GroupNormRule",
    "InstanceNormRule",
    "LayerNormRule",
    "RMSNormRule",
]


class _AffineRule(LayerRule):
    """Scale and shift after a normalisation within each record."""

    @abstractmethod
    def normalised(self, module: nn.Module, a: Tensor) -> Tensor:
        """Return the normalised input before scale and shift."""

    def features(self, tensor: Tensor) -> Tensor:
        """Return ``(B, positions, numbers of the parameter)``; here axis 1 counts channels."""
        return tensor.reshape(*tensor.shape[:2], -1).mT

    def pieces(self, module: nn.Module, use: Use, b: Tensor) -> Sequence[Piece]:
        """Return the pieces of scale and shift."""
        work, name = use.tape.workspace, use.name
        weight, bias = use.wanted(module, "weight"), use.wanted(module, "bias")
        b = accumulation(b)
        found: list[Piece] = []
        if weight is not None:
            scaled = b * self.normalised(module, accumulation(use.input()))
            found.append(SumPiece(weight, self.features(scaled), work, layer=name))
        if bias is not None:
            found.append(SumPiece(bias, self.features(b), work, layer=name))
        return found


class _LastAxesRule(_AffineRule):
    """Layers that normalise over their last axes."""

    def pieces(self, module: nn.Module, use: Use, b: Tensor) -> Sequence[Piece]:
        """Return the pieces, the normalised axes made one."""
        inner = len(cast("nn.LayerNorm", module).normalized_shape)
        return super().pieces(module, use, b.flatten(-inner) if inner > 1 else b)

    def features(self, tensor: Tensor) -> Tensor:
        """Return ``(B, positions, features)``; the last axis counts features."""
        return tensor.unsqueeze(1) if tensor.ndim == 2 else tensor.flatten(1, -2)


@LAYERS.register(nn.LayerNorm)
class LayerNormRule(_LastAxesRule):
    """``torch.nn.LayerNorm`` with scale, and shift if it has one."""

    def normalised(self, module: nn.Module, a: Tensor) -> Tensor:
        """Return the input with mean 0 and variance 1 over the last axes, made one."""
        layer = cast("nn.LayerNorm", module)
        a = a.flatten(-len(layer.normalized_shape))
        return F.layer_norm(a, a.shape[-1:], eps=layer.eps)


@LAYERS.register(nn.RMSNorm)
class RMSNormRule(_LastAxesRule):
    """``torch.nn.RMSNorm``."""

    def normalised(self, module: nn.Module, a: Tensor) -> Tensor:
        """Return the input with mean square 1 over the last axes, made one."""
        layer = cast("nn.RMSNorm", module)
        eps = layer.eps
        a = a.flatten(-len(layer.normalized_shape))
        return F.rms_norm(a, a.shape[-1:], eps=eps)


@LAYERS.register(nn.GroupNorm)
class GroupNormRule(_AffineRule):
    """``torch.nn.GroupNorm``."""

    def normalised(self, module: nn.Module, a: Tensor) -> Tensor:
        """Return the input with mean 0 and variance 1 in each group of channels."""
        layer = cast("nn.GroupNorm", module)
        return F.group_norm(a, layer.num_groups, eps=layer.eps)


@LAYERS.register(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
class InstanceNormRule(_AffineRule):
    """``torch.nn.InstanceNorm1d/2d/3d``; with running statistics, in evaluation mode only."""

    def normalised(self, module: nn.Module, a: Tensor) -> Tensor:
        """Return the input with mean 0 and variance 1 in each channel, or by kept statistics."""
        norm = cast("_InstanceNorm", module)
        if norm.track_running_stats and not norm.training:
            return _by_statistics(norm, a)
        return F.instance_norm(a, eps=norm.eps)


@LAYERS.register(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
class BatchNormRule(_AffineRule):
    """Batch normalisation in evaluation mode, where it is an affine layer."""

    def normalised(self, module: nn.Module, a: Tensor) -> Tensor:
        """Return the input normalised by the running statistics."""
        return _by_statistics(cast("_BatchNorm", module), a)


def _by_statistics(norm: _NormBase, a: Tensor) -> Tensor:
    """Return the input normalised by the layer's running mean and variance."""
    if norm.running_mean is None or norm.running_var is None:
        raise ModelError(
            f"Expected {type(norm).__name__} with running statistics, got none. "
            "Use replace_batchnorm(model)."
        )
    mean, variance = norm.running_mean.to(a.dtype), norm.running_var.to(a.dtype)
    return F.batch_norm(a, mean, variance, training=False, eps=norm.eps)
