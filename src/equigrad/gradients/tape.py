"""The tape of one forward pass: which tensors to take gradients at, and what to make of them.

Layer rules watch tensors here while the model runs; afterwards the pass asks for the gradient of
the summed loss at all of them in one backward pass. Parameters get no gradient and keep theirs.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.utils._pytree import tree_leaves

from equigrad.errors import ModelError
from equigrad.gradients.axes import Axes, Place
from equigrad.gradients.pieces.base import Piece
from equigrad.gradients.workspace import Workspace

__all__ = ["Kept", "Make", "Tape"]

Make = Callable[[Tensor], Sequence[Piece]]


@dataclass(frozen=True)
class Kept:
    """A tensor that a rule needs later, with the version it had when it was recorded."""

    tensor: Tensor
    version: int
    layer: str

    def get(self) -> Tensor:
        """Return the tensor; raise ``ModelError`` if it was changed in place meanwhile."""
        if self.tensor._version != self.version:
            raise ModelError(
                f"Expected the input of layer {self.layer!r} to stay as the layer saw it, got a "
                "change in place after the layer ran. Use the out-of-place operation there."
            )
        return self.tensor


@dataclass(frozen=True)
class _Watched:
    """A marked tensor: where its gradient arrives, and what to make of it."""

    edge: GradientEdge
    shape: torch.Size
    make: Make
    layer: str
    batch_axis: int


class Tape:
    """Record of one forward pass.

    Parameters
    ----------
    size
        Number of records B in the batch.
    wanted
        The parameters whose gradients are asked for.
    workspace
        Buffers for the pieces.
    create_graph
        Keep the pieces differentiable.
    axes
        What is known of the axes that count records.

    Attributes
    ----------
    size, workspace, create_graph
        As given.
    """

    def __init__(
        self,
        size: int,
        wanted: Sequence[nn.Parameter],
        workspace: Workspace,
        *,
        create_graph: bool = False,
        axes: Axes | None = None,
    ) -> None:
        self._axes = Axes() if axes is None else axes
        self._calls: Counter[str] = Counter()
        self.size = size
        self.workspace = workspace
        self.create_graph = create_graph
        self._wanted = {id(parameter) for parameter in wanted}
        self._watched: list[_Watched] = []
        self._open = True

    def wants(self, parameter: object) -> bool:
        """Return whether gradients of ``parameter`` are asked for; None is never wanted."""
        return id(parameter) in self._wanted

    def keep(self, tensor: Tensor, layer: str) -> Kept:
        """Return a record of ``tensor`` that notices if it is changed in place later."""
        return Kept(tensor, tensor._version, layer)

    def call(self, layer: str) -> int:
        """Return the number of this call of a layer within the pass; to be asked once per call."""
        _require_recording(layer)
        number = self._calls[layer]
        self._calls[layer] += 1
        return number

    def batch_axis(self, tensor: Tensor, layer: str, call: int, place: Place) -> int:
        """Return the axis of a tensor in a layer's call that counts records.

        Raises
        ------
        ModelError
            There is none, or it cannot be told.
        """
        return self._axes.of(layer, call, place, tensor, self.size)

    def batch_axis_or_shared(
        self, tensor: Tensor, layer: str, call: int, place: Place
    ) -> int | None:
        """Return the axis that counts records, None if the tensor belongs to all of them.

        Raises
        ------
        ModelError
            It cannot be told.
        """
        return self._axes.of_or_shared(layer, call, place, tensor, self.size)

    def batch_axes(self, tensor: Tensor, layer: str, call: int, place: Place) -> list[int]:
        """Return the axes that may count records; none if the tensor belongs to all of them."""
        return self._axes.candidates(layer, call, place, tensor, self.size)

    def require_axis(self, tensor: Tensor, layer: str, given: Any, axis: int) -> None:
        """Raise ``ModelError`` unless ``axis`` of a tensor among what is ``given`` counts records.

        For layers with a batch axis of their own choice, once per call.
        """
        place = next(k for k, leaf in enumerate(tree_leaves(given)) if leaf is tensor)
        if axis not in self.batch_axes(tensor, layer, self.call(layer), ("in", place)):
            raise ModelError(
                f"Expected axis {axis} of the input of layer {layer!r} to count the {self.size} "
                f"records of the batch, got shape {tuple(tensor.shape)} with the records "
                f"elsewhere. Build the layer with batch_first={axis == 1}, or turn its input."
            )

    def watch(self, output: Tensor, make: Make, *, layer: str, batch_axis: int = 0) -> Tensor:
        """Mark a tensor of the forward pass and return the one to go on with.

        Parameters
        ----------
        output
            Any tensor of the forward pass. Changing it in place afterwards is allowed: the
            gradient is that at the value it has now.
        make
            Called once after the backward pass with the gradient ``b`` at ``output``, its batch
            axis moved to the front; returns the pieces. Not called if the loss does not depend
            on a differentiable ``output``.
        layer
            Name of the layer, for messages.
        batch_axis
            Axis of ``output`` that counts records.

        Raises
        ------
        ModelError
            The batch axis does not have B entries, or the layer runs with gradients off.
        """
        if not self._open:
            return output
        _require_recording(layer)
        if not output.requires_grad:
            return output
        if output.ndim <= batch_axis or output.shape[batch_axis] != self.size:
            raise ModelError(
                f"Expected axis {batch_axis} of the output of layer {layer!r} to count the "
                f"{self.size} records of the batch, got shape {tuple(output.shape)}. "
                "Keep the batch as an axis of its own, the first one, through the whole model."
            )
        source, output = _source(output)
        edge = get_gradient_edge(source)
        self._watched.append(_Watched(edge, output.shape, make, layer, batch_axis))
        return output

    def backward(self, total: Tensor) -> list[Piece]:
        """Take the gradients of the scalar ``total`` at all marked tensors; return all pieces.

        The tape is spent afterwards, and so is the graph unless it is differentiable.
        """
        self._open = False
        watched, self._watched = self._watched, []
        if not watched or not total.requires_grad:
            return []
        gradients = torch.autograd.grad(
            total,
            [mark.edge for mark in watched],
            create_graph=self.create_graph,
            allow_unused=True,
        )
        pieces: list[Piece] = []
        with torch.set_grad_enabled(self.create_graph):
            for mark, b in zip(watched, gradients, strict=True):
                if b is not None:
                    b = b if b.shape == mark.shape else b.reshape(mark.shape)
                    pieces.extend(mark.make(_batch_first(b, mark.batch_axis)))
        return pieces


def _require_recording(layer: str) -> None:
    """Raise ``ModelError`` if the layer runs where autograd sees nothing.

    Its parameters are wanted. With reentrant checkpointing they would have gradients that come
    from a second, hidden run; without, the layer is meant to stay as it is.
    """
    if not torch.is_grad_enabled():
        raise ModelError(
            f"Expected layer {layer!r}, whose parameters are trained, to run with gradients on, "
            "got them switched off. Pass use_reentrant=False to the checkpoint around it, or set "
            "requires_grad_(False) on what is meant to stay as it is."
        )


def _source(output: Tensor) -> tuple[Tensor, Tensor]:
    """Return the tensor whose present history is to be marked, and the output to go on with.

    Changing a view in place rewrites the view's history but only extends its base's; so a view of
    all of its base is marked at the base. Any other view is replaced by a copy.
    """
    base = output._base if output._is_view() else None
    if base is None:
        return output, output
    if base.numel() == output.numel() and base.is_contiguous() and output.is_contiguous():
        return base, output
    output = output.clone()
    return output, output


def _batch_first(tensor: Tensor, batch_axis: int) -> Tensor:
    """Return ``tensor`` with its batch axis in front."""
    return tensor if batch_axis == 0 else tensor.movedim(batch_axis, 0)
