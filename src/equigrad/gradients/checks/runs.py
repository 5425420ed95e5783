"""Runs of a model on few rows, with all that goes in and out of its modules.

Neighbours: ``probe`` compares the values of such runs, ``backwards`` their gradients.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_leaves, tree_map

from equigrad.gradients.calling import buffers_kept, call_model

__all__ = ["Key", "Rows", "Trace", "apart", "picked"]

SEED = 20230  # of the runs' own generator state, put back afterwards
Keep = Callable[[Tensor], Tensor]
Key = tuple[str, int, int]


@dataclass
class Trace:
    """What one forward pass produced, module by module, in the order of their completion.

    ``calls`` has what went in and came out of each call; ``sources`` what gradients end at (inputs
    and parameters) in a run for gradients; ``result`` the outputs, and the losses last if there is
    a loss.
    """

    calls: list[tuple[str, list[Tensor], list[Tensor]]] = field(default_factory=list)
    packed: set[str] = field(default_factory=set)
    sources: list[Tensor] = field(default_factory=list)
    result: list[Tensor] = field(default_factory=list)
    buffers: dict[str, Tensor] = field(default_factory=dict)

    def tensors(self) -> dict[Key, Tensor]:
        """Return all tensors by module, number of its call, and place among those of the call."""
        found: dict[Key, Tensor] = {}
        times: Counter[str] = Counter()
        for where, ins, outs in self.calls:
            for place, tensor in enumerate([*ins, *outs]):
                found[where, times[where], place] = tensor
            times[where] += 1
        return found


@dataclass(frozen=True)
class Rows:
    """A model and some rows to run it on.

    Attributes
    ----------
    model, loss
        What is run; ``loss`` may be None.
    inputs, targets
        Tensors with ``size`` entries on axis 0 hold rows; all else belongs to all of them.
    size
        Number of rows.
    """

    model: nn.Module
    loss: Callable[[Any, Any], Tensor] | None
    inputs: Any
    targets: Any
    size: int

    def of(self, order: Tensor) -> "Rows":
        """Return the rows in ``order``, which may leave some out or repeat some."""
        inputs, targets = (
            tree_map(lambda leaf: picked(leaf, order, self.size), tree)
            for tree in (self.inputs, self.targets)
        )
        return Rows(self.model, self.loss, inputs, targets, len(order))

    def first(self, rows: int) -> "Rows":
        """Return the first rows."""
        return self if rows >= self.size else self.of(torch.arange(rows))

    def replaced(self, chosen: Tensor) -> "Rows":
        """Return the rows with each of ``chosen (size,) bool`` replaced by the one after it."""
        order = torch.arange(self.size)
        return self.of(torch.where(chosen, (order + 1) % self.size, order))

    def subsets(self) -> Iterator[Tensor]:
        """Yield ``(size,) bool`` sets: of any two rows, one set has the first and not the second.

        Those whose number has, or has not, a certain binary digit.
        """
        numbers = torch.arange(self.size)
        for digit in range((self.size - 1).bit_length()):
            chosen = (numbers >> digit) % 2 == 1
            yield chosen
            yield ~chosen

    def run(self, *, watched: bool = True) -> Trace:
        """Run the model, recording copies: later layers may work in place.

        With gradients on: without them, some of PyTorch's layers skip the layers within. Unwatched,
        only results and buffers are recorded, which takes no more memory than a step of training.
        """
        with torch.enable_grad():
            inputs = tree_map(_copied, self.inputs)
            return self._run(inputs, lambda t: t.detach().clone(), watched=watched)

    def run_for_gradients(self) -> Trace:
        """Run the model with gradients, its inputs' included, recording the tensors themselves."""
        leaves = tree_map(_differentiable, self.inputs)
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            # Copies: a model may change its inputs in place, which leaves do not allow.
            inputs = tree_map(lambda t: t.clone() if isinstance(t, Tensor) else t, leaves)
            trace = self._run(inputs, lambda t: t)
        given = [*tree_leaves(leaves), *self.model.parameters()]
        trace.sources = [t for t in given if isinstance(t, Tensor) and t.requires_grad]
        return trace

    def _run(self, inputs: Any, keep: Keep, *, watched: bool = True) -> Trace:
        """Run the model once under the probe's seed; buffers and random state are put back."""
        trace = Trace()
        with (
            torch.random.fork_rng(),
            buffers_kept(self.model),
            _watched(self.model, trace, keep) if watched else nullcontext(),
        ):
            torch.manual_seed(SEED)
            outputs = call_model(self.model, inputs)
            trace.result = _tensors(outputs, keep)
            if self.loss is not None:
                trace.result += _tensors(self.loss(outputs, self.targets), keep)
            trace.buffers = {n: b.detach().clone() for n, b in self.model.named_buffers()}
        return trace


def picked(leaf: Any, order: Tensor, size: int) -> Any:
    """Return the rows ``order`` of a tensor with ``size`` rows; anything else as it is."""
    batched = isinstance(leaf, Tensor) and leaf.dim() > 0 and len(leaf) == size
    return leaf.detach()[order.to(leaf.device)] if batched else leaf


def apart(moved: Tensor, chosen: Tensor, *, first_axis_only: bool = False) -> bool:
    """Tell whether ``moved``, a mask over a tensor, is set at most where the rows ``chosen`` lie.

    A row may lie at its index on an axis with an entry for each, or in an axis that rows and
    positions share, rows first or last.
    """
    rows = len(chosen)
    if not moved.any():
        return True
    others = ~chosen.to(moved.device)
    for axis, length in enumerate(moved.shape[:1] if first_axis_only else moved.shape):
        if length and length % rows == 0:
            along = moved.movedim(axis, 0).reshape(length, -1).any(1)
            blocks = along.reshape(rows, -1).any(1), along.reshape(-1, rows).any(0)
            if any(not (b & others).any() for b in blocks[: 1 if first_axis_only else 2]):
                return True
    return False


def _copied(leaf: Any) -> Any:
    """Return a tensor's copy, since models may work in place; anything else as it is."""
    return leaf.detach().clone() if isinstance(leaf, Tensor) else leaf


def _differentiable(leaf: Any) -> Any:
    """Return a copy that takes gradients if it can."""
    copy = _copied(leaf)
    real = isinstance(copy, Tensor) and (copy.is_floating_point() or copy.is_complex())
    return copy.requires_grad_() if real else copy


@contextmanager
def _watched(model: nn.Module, trace: Trace, keep: Keep) -> Iterator[None]:
    """Record the tensors that go in and out of every module of ``model``."""
    handles = []
    for name, module in model.named_modules():
        where = f"{name or 'model'} ({type(module).__name__})"

        def hook(_: nn.Module, args: Any, kwargs: Any, outputs: Any, where: str = where) -> None:
            leaves = tree_leaves((args, kwargs), is_leaf=_is_packed)
            if any(_is_packed(leaf) for leaf in leaves):
                trace.packed.add(where)
            trace.calls.append((where, _tensors((args, kwargs), keep), _tensors(outputs, keep)))

        handles.append(module.register_forward_hook(hook, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_packed(leaf: Any) -> bool:
    """Tell whether ``leaf`` is a packed sequence (a tuple, which pytrees would open)."""
    return isinstance(leaf, PackedSequence)


def _tensors(tree: Any, keep: Keep) -> list[Tensor]:
    """Return the tensors in ``tree`` as they are to be kept."""
    return [keep(leaf) for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
