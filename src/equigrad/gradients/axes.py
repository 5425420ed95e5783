"""Which axis of each layer's input counts records, found by running the model on other many rows.

A shape alone does not tell: with as many positions as records, ``(T, B, E)`` and ``(B, T, E)``
look alike, and so do a row of ids and a row of positions. Taking one for the other gives wrong
norms that add up to the right sum. So the model is run once on two or three rows, and the axis
that followed is the one. Neighbours: the tape asks, the pass keeps the answers.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from equigrad.errors import ModelError
from equigrad.gradients.checks.probe import buffers_kept

__all__ = ["Axes"]

Shapes = dict[str, list[tuple[int, ...]]]


class Axes:
    """Batch axes of layer inputs, by layer and number of the call within a pass.

    Attributes
    ----------
    known
        Whether :meth:`learn` was called.
    """

    def __init__(self) -> None:
        self.known = False
        self._rows = 0
        self._shapes: Shapes = {}
        self._found: dict[tuple[str, int, int], int] = {}

    def learn(self, model: nn.Module, layers: Iterable[tuple[str, nn.Module]], inputs: Any) -> None:
        """Run ``model`` on few rows and note the shapes that ``layers`` are given.

        Buffers and the random state are put back. A model that cannot be run on few rows teaches
        nothing: then an axis has to be the only one with as many entries as there are records.
        """
        size = next(len(leaf) for leaf in _leaves(inputs))
        self._rows = 3 if size == 2 else 2
        order = torch.arange(self._rows) % size

        def few(leaf: Any) -> Any:
            batched = isinstance(leaf, Tensor) and leaf.ndim > 0 and len(leaf) == size
            return leaf.detach()[order.to(leaf.device)] if batched else leaf

        parameter = next(model.parameters())
        devices = [parameter.device] if parameter.device.type == "cuda" else []
        self._shapes, self._found = {}, {}
        with ExitStack() as stack:
            for name, module in layers:
                hook = _Shown(self._shapes.setdefault(name, []))
                stack.callback(module.register_forward_hook(hook, with_kwargs=True).remove)
            stack.enter_context(torch.random.fork_rng(devices))
            stack.enter_context(buffers_kept(model))
            stack.enter_context(torch.no_grad())
            given = tree_map(few, inputs)
            try:
                if isinstance(given, Mapping):
                    model(**given)
                else:
                    model(*(given if isinstance(given, tuple) else (given,)))
            except Exception:  # a model that only takes this number of rows, or that fails anyway
                self._shapes = {}
        self.known = True

    def of(self, layer: str, call: int, tensor: Tensor, size: int) -> int:
        """Return the axis of ``tensor``, given to ``layer`` in its ``call``-th call, for B = size.

        Raises
        ------
        ModelError
            The input does not count the records on an axis of its own.
        """
        key = (layer, call, tensor.ndim)
        axis = self._found.get(key)
        if axis is None:
            candidates = [i for i, n in enumerate(tensor.shape) if n == size]
            seen = self._shapes.get(layer, [])
            if call < len(seen) and len(seen[call]) == tensor.ndim:
                candidates = [i for i in candidates if seen[call][i] == self._rows]
            if len(candidates) != 1:
                raise ModelError(_message(layer, size, tensor))
            (axis,) = candidates
            if size != self._rows:
                self._found[key] = axis
        if tensor.shape[axis] != size:
            raise ModelError(_message(layer, size, tensor))
        return axis


class _Shown:
    """A forward hook that notes the shape of the first tensor."""

    def __init__(self, shapes: list[tuple[int, ...]]) -> None:
        self.shapes = shapes

    def __call__(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        first = next((t for t in (*args, *kwargs.values()) if isinstance(t, Tensor)), None)
        self.shapes.append(() if first is None else tuple(first.shape))


def _leaves(inputs: Any) -> list[Tensor]:
    """Return the tensors with a batch axis among the inputs, in order."""
    values = inputs.values() if isinstance(inputs, Mapping) else inputs
    many = (inputs,) if isinstance(inputs, Tensor) else tuple(values)
    return [value for value in many if isinstance(value, Tensor) and value.ndim > 0]


def _message(layer: str, size: int, tensor: Tensor) -> str:
    """Return what is wrong with an input without a batch axis."""
    return (
        f"Expected the input of layer {layer!r} to have the {size} records of the batch on an axis "
        f"of its own, got shape {tuple(tensor.shape)}. Keep the batch as an axis of its own, the "
        "first one, through the whole model; expand what all records share, such as positions, to "
        "one row per record."
    )
