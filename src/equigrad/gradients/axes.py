"""Which axis of each layer's input counts records, found by running the model on other many rows.

A shape alone does not tell: with as many positions as records, ``(T, B, E)`` and ``(B, T, E)``
look alike, and so do a row of ids and a row of positions. Taking one for the other gives wrong
norms that add up to the right sum. So the model is run once on two or three rows for every shape
of input, and the axis that followed is the one. Neighbours: the tape asks, the pass keeps the
answers.
"""

from collections.abc import Hashable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from equigrad.errors import ModelError
from equigrad.gradients.calling import buffers_kept, call_model

__all__ = ["Axes", "Place"]

Shape = tuple[int, ...]
Place = tuple[str, int]


@dataclass
class _Known:
    """What was learned for inputs of one shape, by running the model on ``rows`` records.

    ``shapes`` has, for each layer and each of its calls, the shapes of all leaves that went in and
    came out, by place; ``trouble`` is why the model could not be run, ``guessed`` whether an axis
    was then taken by its length.
    """

    rows: int
    shapes: dict[str, list[dict[Place, Shape]]]
    trouble: Exception | None = None
    guessed: bool = False
    found: dict[tuple[str, int, Place, int], list[int]] = field(default_factory=dict)


class Axes:
    """Axes that count records, by shape of the model's input, layer, call and place in the call.

    A place is ``("in", k)`` or ``("out", k)`` for the k-th leaf of what a layer takes or returns.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, _Known] = {}
        self._now = _Known(0, {}, ValueError("the model was not looked at"))

    def look(
        self, model: nn.Module, layers: Iterable[tuple[str, nn.Module]], inputs: Any, size: int
    ) -> None:
        """Turn to inputs of this shape: run ``model`` on few rows if the shape is a new one.

        What ``layers`` take and return then is noted; buffers and the random state are put back.
        """
        given = dict(inputs) if isinstance(inputs, Mapping) else inputs
        leaves, spec = tree_flatten(given)
        rows = 3 if size == 2 else 2  # never as many as there are: lengths must tell them apart
        key = (rows, str(spec), *(_kind(leaf, size) for leaf in leaves))
        if key not in self._known:
            self._known[key] = _learned(model, list(layers), leaves, spec, size, rows)
        self._now = self._known[key]

    def require_known(self) -> None:
        """Raise ``ModelError`` if axes were guessed, the model being unable to run on few rows.

        To be asked after it ran on all of them: then the number of rows was the trouble.
        """
        if self._now.guessed:
            raise ModelError(
                f"Expected a model that runs on any number of records, got an error on "
                f"{self._now.rows}: {self._now.trouble}. Take the number of records from the "
                "input's first axis, and let what all records share be of another length."
            ) from self._now.trouble

    def of(self, layer: str, call: int, place: Place, tensor: Tensor, size: int) -> int:
        """Return the axis of a tensor that counts records, for B = size.

        Raises
        ------
        ModelError
            There is none, or it cannot be told.
        """
        axes = self.candidates(layer, call, place, tensor, size)
        self._now.guessed |= self._now.trouble is not None
        if len(axes) != 1:
            raise ModelError(_message(layer, size, tensor))
        return axes[0]

    def of_or_shared(
        self, layer: str, call: int, place: Place, tensor: Tensor, size: int
    ) -> int | None:
        """Return the axis that counts records, or None if the tensor belongs to all of them.

        It belongs to all if it had the very same shape on fewer records.

        Raises
        ------
        ModelError
            It cannot be told: several axes may count records, or the tensor was not there on few
            rows, or its shape follows the number of records in a way of its own.
        """
        if self._now.trouble is None:
            seen = self._seen(layer, call, place)
            if seen and all(shape == tuple(tensor.shape) for shape in seen):
                return None
        return self.of(layer, call, place, tensor, size)

    def candidates(
        self, layer: str, call: int, place: Place, tensor: Tensor, size: int
    ) -> list[int]:
        """Return the axes that may count records; the one that does is always among them."""
        now = self._now
        axes = [i for i, n in enumerate(tensor.shape) if n == size]
        if now.trouble is not None:
            return axes
        key = (layer, call, place, tensor.ndim)
        known = now.found.get(key)
        if known is None:
            seen = self._seen(layer, call, place)
            alike = bool(seen) and all(len(shape) == tensor.ndim for shape in seen)
            known = [i for i in axes if alike and all(shape[i] == now.rows for shape in seen)]
            now.found[key] = known
        return [i for i in axes if i in known]

    def _seen(self, layer: str, call: int, place: Place) -> list[Shape]:
        """Return the shapes on few rows, none if it was not there in one of the calls.

        A call that was not made on few rows is held to all others of its layer.
        """
        calls = self._now.shapes.get(layer, [])
        calls = calls[call : call + 1] or calls
        return [shapes[place] for shapes in calls] if all(place in c for c in calls) else []


def _kind(leaf: Any, size: int) -> Hashable:
    """Return what of an input a model may decide its way by, but the number of records."""
    if isinstance(leaf, Tensor):
        batched = leaf.ndim > 0 and len(leaf) == size
        return batched, tuple(leaf.shape[1:] if batched else leaf.shape), leaf.dtype
    return leaf if isinstance(leaf, bool | int | float | str) else type(leaf).__qualname__


def _learned(
    model: nn.Module,
    layers: list[tuple[str, nn.Module]],
    leaves: list[Any],
    spec: Any,
    size: int,
    rows: int,
) -> _Known:
    """Run the model on few rows: of all inputs with B rows, or else of the first one only."""
    order = torch.arange(rows) % size
    batched = [
        i for i, x in enumerate(leaves) if isinstance(x, Tensor) and x.ndim and len(x) == size
    ]
    trouble: Exception | None = None
    for cut in (batched, batched[:1]):
        few = [_taken(x, order) if i in cut else x for i, x in enumerate(leaves)]
        shapes: dict[str, list[dict[Place, Shape]]] = {}
        try:
            _run(model, layers, tree_unflatten(few, spec), shapes)
        except Exception as error:  # whatever a model raises
            trouble = trouble or error
        else:
            return _Known(rows, shapes)
    return _Known(rows, {}, trouble)


def _taken(tensor: Tensor, order: Tensor) -> Tensor:
    """Return some rows of a tensor, as differentiable as it is: models may look."""
    rows = tensor.detach()[order.to(tensor.device)]
    return rows.requires_grad_(tensor.requires_grad)


def _run(
    model: nn.Module,
    layers: list[tuple[str, nn.Module]],
    inputs: Any,
    shapes: dict[str, list[dict[Place, Shape]]],
) -> None:
    """Run the model and note what the layers take and return, leaving no trace.

    With gradients on: without them, some of PyTorch's layers skip the layers within.
    """
    parameter = next(model.parameters())
    devices = [parameter.device] if parameter.device.type == "cuda" else []
    with ExitStack() as stack:
        for name, module in layers:
            hook = _Shown(shapes.setdefault(name, []))
            # First of all hooks: a user's may return something else.
            seen = module.register_forward_hook(hook, with_kwargs=True, prepend=True)
            stack.callback(seen.remove)
        stack.enter_context(torch.random.fork_rng(devices))
        stack.enter_context(buffers_kept(model))
        stack.enter_context(torch.enable_grad())
        call_model(model, inputs)


class _Shown:
    """A forward hook that notes the shapes of all tensors, by place."""

    def __init__(self, calls: list[dict[Place, Shape]]) -> None:
        self.calls = calls

    def __call__(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        shapes: dict[Place, Shape] = {}
        for side, tree in (("in", (args, kwargs)), ("out", output)):
            for k, leaf in enumerate(tree_leaves(tree)):
                if isinstance(leaf, Tensor):
                    shapes[side, k] = tuple(leaf.shape)
        self.calls.append(shapes)


def _message(layer: str, size: int, tensor: Tensor) -> str:
    """Return what is wrong with a tensor without a batch axis."""
    return (
        f"Expected the input of layer {layer!r} to have the {size} records of the batch on an axis "
        f"of its own, got shape {tuple(tensor.shape)}. Keep the batch as an axis of its own, the "
        "first one, through the whole model; expand what all records share, such as positions, to "
        "one row per record."
    )
