"""Any other layer with parameters of its own: its gradient is computed record by record.

The layer runs as it is. Afterwards it is run again on each recorded input, as a batch of one, and
differentiated by the gradient that arrived at its output: ``torch.func`` does so for a chunk of
records at a time. Only this layer pays, but it pays ``(B, its parameters)`` numbers.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_unflatten

from equigrad.errors import ModelError
from equigrad.gradients.layers.base import LAYERS, DecomposedRule, Rule
from equigrad.gradients.pieces import Piece, RowsPiece
from equigrad.gradients.tape import Kept, Tape

__all__ = ["GenericRule"]

_REMEDY = "Move dropout and other randomness out of it, or register a rule for it in LAYERS."


class GenericRule(DecomposedRule):
    """A module with parameters of its own and no other rule, with everything inside it.

    Guarantee: the gradients are those of the module run on a batch of one; if its output then
    differs from the recorded one (inner randomness, hidden state, rows that mix) it is refused.
    Inputs and outputs may be nested. A tensor with an axis that counts records is taken apart; one
    of the same shape for any number of records is given to every record; others are refused.
    """

    def forward(self, tape: Tape, module: nn.Module, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return what the module returns, its outputs marked."""
        leaves, spec = tree_flatten((args, kwargs))
        number = tape.call(name)
        call = _Call(
            tape,
            module,
            name,
            number,
            [tape.keep(leaf, name) if isinstance(leaf, Tensor) else leaf for leaf in leaves],
            [_batch_axis(tape, name, number, k, leaf) for k, leaf in enumerate(leaves)],
            spec,
        )
        outputs, shape = tree_flatten(type(module).forward(module, *args, **kwargs))
        marked = [call.watch(place, out) for place, out in enumerate(outputs)]
        return tree_unflatten(marked, shape)


@dataclass(frozen=True)
class _Call:
    """One recorded call of a module, ready to be run again record by record."""

    tape: Tape
    module: nn.Module
    name: str
    number: int
    leaves: list[Any]
    axes: list[int | None]
    spec: TreeSpec

    def watch(self, place: int, out: Any) -> Any:
        """Mark the output at ``place`` and return it."""
        if not (isinstance(out, Tensor) and out.requires_grad):
            return out
        axis = self.tape.batch_axis(out, self.name, self.number, ("out", place))
        # A node of its own: the gradient that arrives there has not come through other outputs of
        # this module. And what follows may work in place.
        recorded, out = out.detach(), out.clone()

        def make(b: Tensor) -> list[Piece]:
            return self.pieces(partial(self.rows, place, axis, b, recorded.movedim(axis, 0)))

        return self.tape.watch(out, make, layer=self.name, batch_axis=axis)

    def pieces(self, rows: Callable[[list[str], slice], dict[str, Tensor]]) -> list[Piece]:
        """Return the pieces of all wanted parameters: written out now if they fit, else later."""
        size, work = self.tape.size, self.tape.workspace
        wanted = {k: p for k, p in self.module.named_parameters() if self.tape.wants(p)}
        numbers = sum(p.numel() * p.element_size() for p in wanted.values())
        if numbers * size <= work.limit or self.tape.create_graph:
            whole = rows(list(wanted), slice(0, size))
            return [RowsPiece(p, size, whole[k], work, layer=self.name) for k, p in wanted.items()]

        def later(key: str, at: slice) -> Tensor:
            return rows([key], at)[key]

        return [
            RowsPiece(p, size, partial(later, k), work, layer=self.name) for k, p in wanted.items()
        ]

    def rows(
        self, place: int, axis: int, b: Tensor, recorded: Tensor, keys: list[str], at: slice
    ) -> dict[str, Tensor]:
        """Return ``(records, *shape)`` for the parameters ``keys`` and the records ``at``."""
        split = [i for i, its_axis in enumerate(self.axes) if its_axis is not None]
        records = [self._input(i).movedim(self.axes[i] or 0, 0)[at] for i in split]
        known = [self._input(i) for i in range(len(self.leaves))]
        state = {k: t if self.tape.create_graph else t.detach() for k, t in self._state().items()}
        chosen, rest = {k: state.pop(k) for k in keys}, state

        def one(b_row: Tensor, *own: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            leaves = list(known)
            for i, record in zip(split, own, strict=True):
                leaves[i] = record.unsqueeze(self.axes[i] or 0)
            args, kwargs = tree_unflatten(leaves, self.spec)

            def run(parameters: dict[str, Tensor]) -> Tensor:
                outputs = functional_call(self.module, {**rest, **parameters}, args, kwargs)
                result: Tensor = tree_leaves(outputs)[place].squeeze(axis)
                return result

            out: Tensor
            out, pull, *_ = vjp(run, chosen)
            return out, pull(b_row.to(out.dtype))[0]

        numbers = sum(p.numel() for p in chosen.values())
        gradients: dict[str, Tensor]
        out, gradients = self._mapped(one, numbers, b[at], *records)
        self._compare(out, recorded[at])
        return gradients

    def _input(self, i: int) -> Any:
        """Return the input leaf ``i``; an error if it was changed in place since."""
        leaf = self.leaves[i]
        if not isinstance(leaf, Kept):
            return leaf
        return leaf.get() if self.tape.create_graph else leaf.get().detach()

    def _state(self) -> dict[str, Tensor]:
        """Return the module's parameters, and copies of its buffers, which a run may change."""
        buffers = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        return {**dict(self.module.named_parameters()), **buffers}

    def _mapped(self, one: Callable[..., Any], numbers: int, b: Tensor, *records: Tensor) -> Any:
        """Map ``one`` over records, as many at a time as the workspace allows."""
        chunk = max(1, self.tape.workspace.limit // (2 * max(1, numbers) * b.element_size()))
        many = vmap(one, randomness="error", chunk_size=min(chunk, len(b)))
        try:
            with warnings.catch_warnings():
                # Some layers have no batching rule and are looped over: slower, not wrong.
                warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
                return many(b, *records)
        except RuntimeError as error:
            if "vmap" not in str(error):
                raise
            reason = str(error).partition("\n")[0]
            raise ModelError(
                f"Expected layer {self.name!r} ({type(self.module).__name__}), which has no rule, "
                f"to run record by record, got: {reason}. {_REMEDY}"
            ) from error

    def _compare(self, out: Tensor, recorded: Tensor) -> None:
        """Refuse the layer if the outputs of its second run are not those of its first."""
        tolerance = math.sqrt(torch.finfo(recorded.dtype).eps)
        size = torch.nan_to_num(recorded.abs(), posinf=0.0)
        scale = float(size.amax()) if size.numel() else 0.0
        same = torch.isclose(
            out.detach(), recorded, rtol=tolerance, atol=tolerance * scale, equal_nan=True
        )
        if not bool(same.all()):
            raise ModelError(
                f"Expected layer {self.name!r} ({type(self.module).__name__}), which has no rule, "
                "to give the same outputs when run again record by record, got others: it draws "
                f"random numbers, keeps a state or mixes rows. {_REMEDY}"
            )


def _batch_axis(tape: Tape, name: str, number: int, place: int, leaf: Any) -> int | None:
    """Return the axis of an input that counts records, or None if it belongs to all of them."""
    if not isinstance(leaf, Tensor):
        return None
    return tape.batch_axis_or_shared(leaf, name, number, ("in", place))


_RULE = GenericRule()


def _fallback(module: nn.Module, name: str) -> Rule | None:
    """Return the generic rule for a module that owns trainable parameters, else None.

    A module owns what lies in it, in a list or dictionary of parameters of its own, and what its
    parametrisations compute its weights from.
    """
    del name
    held = (nn.ParameterList, nn.ParameterDict)
    if isinstance(module, held):
        return None
    owners = [module, *(child for child in module.children() if isinstance(child, held))]
    owns = any(p.requires_grad for one in owners for p in one.parameters(recurse=one is not module))
    return _RULE if owns or hasattr(module, "parametrizations") else None


LAYERS.fallback = _fallback
