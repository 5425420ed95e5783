"""What only running shows: modules that mix rows, and buffers that data fills.

Rows of a small batch are replaced one at a time. The losses (or outputs) of the others must not
move, and no buffer may end up differently. The first module, in order of execution, whose input
kept the rows apart and whose output does not, is the one that is named.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_leaves, tree_map

from equigrad.errors import ModelError
from equigrad.gradients.checks.finding import Finding

__all__ = ["buffers_kept", "probe_findings"]

MOST_ROWS = 8
SEED = 20230  # of the probe's own generator state, put back afterwards


@dataclass
class _Trace:
    """What one forward pass produced, module by module, in the order of their completion."""

    calls: list[tuple[str, list[Tensor], list[Tensor]]] = field(default_factory=list)
    packed: set[str] = field(default_factory=set)
    result: list[Tensor] = field(default_factory=list)
    buffers: dict[str, Tensor] = field(default_factory=dict)


def probe_findings(
    model: nn.Module,
    inputs: Any,
    loss: Callable[[Any, Any], Tensor] | None = None,
    targets: Any = None,
) -> list[Finding]:
    """Return findings of running ``model`` on up to eight rows of ``inputs``.

    ``loss`` and ``targets`` are optional; with them the losses are judged as well. The model's
    buffers and the random state of the process are put back, also after an exception.
    """
    size = next((len(leaf) for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)), 0)
    if size < 2:
        raise ModelError(
            f"Expected example inputs of at least two rows, got {size}. "
            "The probe replaces one row by another and watches the rest."
        )
    rows = min(size, MOST_ROWS)
    inputs, targets = tree_map(lambda leaf: _rows(leaf, size, rows), (inputs, targets))
    leaves = [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]
    if not any(bool((leaf != leaf.roll(1, 0)).any()) for leaf in leaves):
        raise ModelError("Expected example inputs whose rows differ, got equal rows.")
    before = _run(model, inputs, loss, targets)
    findings: dict[Finding, None] = dict.fromkeys(_packed(before))
    for row in range(rows):
        order = torch.arange(rows)
        order[row] = (row + 1) % rows
        pick = _picker(order, rows)
        after = _run(model, tree_map(pick, inputs), loss, tree_map(pick, targets))
        findings.update(dict.fromkeys(_mixing(before, after, row, rows)))
        findings.update(dict.fromkeys(_filled(before, after)))
    return list(findings)


def _rows(leaf: Any, size: int, rows: int) -> Any:
    """Return the first ``rows`` rows of a tensor that has the batch on axis 0."""
    batched = isinstance(leaf, Tensor) and leaf.dim() > 0 and len(leaf) == size
    return leaf[:rows].detach() if batched else leaf


def _picker(order: Tensor, rows: int) -> Callable[[Any], Any]:
    """Return the function that takes rows in ``order`` from a batched tensor."""

    def pick(leaf: Any) -> Any:
        batched = isinstance(leaf, Tensor) and leaf.dim() > 0 and len(leaf) == rows
        return leaf[order.to(leaf.device)] if batched else leaf

    return pick


def _run(
    model: nn.Module, inputs: Any, loss: Callable[[Any, Any], Tensor] | None, targets: Any
) -> _Trace:
    """Run the model once under the probe's seed; return what its modules put out."""
    trace = _Trace()
    with torch.random.fork_rng(), buffers_kept(model), _watched(model, trace), torch.no_grad():
        torch.manual_seed(SEED)
        if isinstance(inputs, Mapping):
            outputs = model(**inputs)
        else:
            outputs = model(*inputs) if isinstance(inputs, tuple) else model(inputs)
        trace.result = _tensors(outputs)
        if loss is not None:
            trace.result = [*trace.result, *_tensors(loss(outputs, targets))]
        trace.buffers = {name: b.detach().clone() for name, b in model.named_buffers()}
    return trace


@contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Put every buffer back: its place in the module, and its content."""
    kept = [
        (module, name, buffer, buffer._version, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for module, name, buffer, version, content in kept:
                module._buffers[name] = buffer
                if buffer._version != version:
                    buffer.copy_(content)


@contextmanager
def _watched(model: nn.Module, trace: _Trace) -> Iterator[None]:
    """Record the tensors that go in and out of every module of ``model``."""
    handles = []
    for name, module in model.named_modules():
        where = f"{name or 'model'} ({type(module).__name__})"

        def hook(_: nn.Module, args: Any, kwargs: Any, outputs: Any, where: str = where) -> None:
            leaves = tree_leaves((args, kwargs), is_leaf=_is_packed)
            if any(_is_packed(leaf) for leaf in leaves):
                trace.packed.add(where)
            trace.calls.append((where, _tensors((args, kwargs)), _tensors(outputs)))

        handles.append(module.register_forward_hook(hook, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_packed(leaf: Any) -> bool:
    """Tell whether ``leaf`` is a packed sequence (a tuple, which pytrees would open)."""
    return isinstance(leaf, PackedSequence)


def _tensors(tree: Any) -> list[Tensor]:
    """Return copies of the tensors in ``tree``: later layers may work in place."""
    return [leaf.detach().clone() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _packed(trace: _Trace) -> list[Finding]:
    """Return a finding for every module that was given a packed sequence."""
    return [
        Finding(
            where,
            "is given a packed sequence, whose rows lie interleaved",
            "Pass the padded tensor and mask what lies beyond each row's length in the loss",
        )
        for where in sorted(trace.packed)
    ]


def _mixing(before: _Trace, after: _Trace, row: int, rows: int) -> Iterator[Finding]:
    """Yield a finding if replacing ``row`` moved other rows of the result."""
    pairs = zip(before.result, after.result, strict=True)
    if all(_kept_apart(old, new, row, rows, first_axis_only=True) for old, new in pairs):
        return
    yield Finding(
        _culprit(before, after, row, rows),
        "mixes rows: replacing one row moved the results of others",
        "Use a layer that treats every row by itself, or check that the batch is on axis 0",
    )


def _culprit(before: _Trace, after: _Trace, row: int, rows: int) -> str:
    """Return the first module that was given rows apart and put them out mixed."""
    for old, new in zip(before.calls, after.calls, strict=False):
        apart_in = _all_apart(old[1], new[1], row, rows)
        if old[0] == new[0] and apart_in and not _all_apart(old[2], new[2], row, rows):
            return old[0]
    return "model"


def _all_apart(old: list[Tensor], new: list[Tensor], row: int, rows: int) -> bool:
    """Tell whether all tensors of one call keep the rows apart."""
    return all(_kept_apart(a, b, row, rows) for a, b in zip(old, new, strict=False))


def _kept_apart(
    old: Tensor, new: Tensor, row: int, rows: int, *, first_axis_only: bool = False
) -> bool:
    """Tell whether ``old`` and ``new`` differ at most where row ``row`` lies.

    The row may lie at its index on an axis of ``rows`` entries, or in an axis that rows and
    positions share, rows first or last.
    """
    if old.shape != new.shape:
        return False
    moved = _moved(old, new)
    if not moved.any():
        return True
    for axis, length in enumerate(old.shape[:1] if first_axis_only else old.shape):
        if length and length % rows == 0:
            along = moved.movedim(axis, 0).reshape(length, -1).any(1)
            blocks = along.reshape(rows, -1).any(1), along.reshape(-1, rows).any(0)
            if any(int(b.sum()) == int(b[row]) for b in blocks[: 1 if first_axis_only else 2]):
                return True
    return False


def _moved(old: Tensor, new: Tensor) -> Tensor:
    """Return where the two differ by more than rounding."""
    if not (old.is_floating_point() or old.is_complex()):
        return old != new
    unit = torch.finfo(old.dtype).eps ** 0.75
    scale = torch.nan_to_num(old.abs(), posinf=0.0).amax().clamp(min=1e-30)
    return ~torch.isclose(old, new, rtol=unit, atol=float(unit * scale), equal_nan=True)


def _filled(before: _Trace, after: _Trace) -> Iterator[Finding]:
    """Yield a finding for every buffer whose content after the pass depends on the data."""
    for name, old in before.buffers.items():
        new = after.buffers.get(name)
        if new is None or old.shape != new.shape or bool(_moved(old, new).any()):
            yield Finding(
                name,
                "is a buffer that the forward pass fills from data, and it would leave in the "
                "state dict",
                "Freeze its module with .eval(), or do without the buffer",
            )
