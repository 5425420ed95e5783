"""What only running shows: modules that mix rows, and buffers that data fills.

Rows are replaced, a few of them one at a time and then halves of all the rows given. The losses
(or outputs) of the others must not move, and no buffer may end up differently, nor when rows are
left out. The first module, in order of execution, whose input kept the rows apart and whose output
does not, is the one that is named. Neighbours: ``runs`` does the running, ``backwards`` looks at
gradients in the same way.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from equigrad.errors import ModelError
from equigrad.gradients.checks.backwards import gradient_findings
from equigrad.gradients.checks.finding import Finding
from equigrad.gradients.checks.runs import Key, Rows, Trace, apart, picked

__all__ = ["probe_findings"]

MOST_ROWS = 8  # that are replaced one at a time


def probe_findings(
    model: nn.Module,
    inputs: Any,
    loss: Callable[[Any, Any], Tensor] | None = None,
    targets: Any = None,
) -> list[Finding]:
    """Return findings of running ``model`` on the rows of ``inputs``.

    ``loss`` and ``targets`` are optional; with them the losses are judged as well. The model's
    buffers and the random state of the process are put back, also after an exception.

    Eight rows are replaced one at a time. If there are more, halves of all of them are replaced,
    such that any two rows are told apart: some modules mix rows of larger batches only. The same
    is done for gradients. That takes some 16 runs and 4 log2(B) runs more.
    """
    every = _given(model, inputs, loss, targets)
    few = every.first(MOST_ROWS)
    before = few.run()
    findings: dict[Finding, None] = dict.fromkeys(_packed(before))
    depends: set[Key] = set()
    for row in range(few.size):
        chosen = torch.arange(few.size) == row
        after = few.replaced(chosen).run()
        depends |= _moving(before, after)
        findings.update(dict.fromkeys(_mixing(before, after, chosen)))
        findings.update(dict.fromkeys(_filled(before, after)))
    findings.update(dict.fromkeys(_fewer(few, before)))
    if every.size > few.size and not findings:
        findings.update(dict.fromkeys(_in_large_batches(every)))
    if not findings:  # else they say it better
        findings.update(dict.fromkeys(gradient_findings(few, depends)))
    if every.size > few.size and not findings:
        findings.update(dict.fromkeys(gradient_findings(every, depends)))
    return list(findings)


def _in_large_batches(every: Rows) -> Iterator[Finding]:
    """Yield findings of replacing halves of all rows.

    What goes in and out of the modules is recorded only where rows are found to meet: kept for
    all modules, it would take several times the memory of the training that follows.
    """
    before = every.run(watched=False)
    for chosen in every.subsets():
        after = every.replaced(chosen).run(watched=False)
        if any(True for _ in _mixing(before, after, chosen)):
            yield from _mixing(every.run(), every.replaced(chosen).run(), chosen)
            return
        yield from _filled(before, after)


def _given(model: nn.Module, inputs: Any, loss: Any, targets: Any) -> Rows:
    """Return the rows to run on; rows that do not differ get altered copies beside them."""
    size = next((len(leaf) for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)), 0)
    if size < 1:
        raise ModelError(
            "Expected example inputs of at least one row, got none. "
            "The probe replaces rows by others and watches the rest."
        )
    leaves = [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]
    if size > 1 and any(bool((leaf != leaf.roll(1, 0)).any()) for leaf in leaves):
        return Rows(model, loss, inputs, targets, size).first(size)
    twice = torch.arange(2) % size
    inputs = tree_map(lambda leaf: _altered(picked(leaf, twice, size)), inputs)
    targets = tree_map(lambda leaf: picked(leaf, twice, size), targets)
    return Rows(model, loss, inputs, targets, 2)


def _altered(leaf: Any) -> Any:
    """Return two equal rows with the second one turned round, and halved if it has fractions."""
    if not (isinstance(leaf, Tensor) and leaf.dim() > 0 and len(leaf) == 2):
        return leaf
    second = leaf[1].flip(-1) if leaf.dim() > 1 else leaf[1]
    if leaf.is_floating_point() or leaf.is_complex():
        second = second * 0.5 + 0.125
    return torch.stack((leaf[0], second))


def _packed(trace: Trace) -> list[Finding]:
    """Return a finding for every module that was given a packed sequence."""
    return [
        Finding(
            where,
            "is given a packed sequence, whose rows lie interleaved",
            "Pass the padded tensor and mask what lies beyond each row's length in the loss",
        )
        for where in sorted(trace.packed)
    ]


def _mixing(before: Trace, after: Trace, chosen: Tensor) -> Iterator[Finding]:
    """Yield a finding if replacing the rows ``chosen`` moved others of the result."""
    pairs = zip(before.result, after.result, strict=True)
    if all(_kept_apart(old, new, chosen, first_axis_only=True) for old, new in pairs):
        return
    yield Finding(
        _culprit(before, after, chosen),
        "mixes rows: replacing one row moved the results of others",
        "Use a layer that treats every row by itself, or check that the batch is on axis 0",
    )


def _culprit(before: Trace, after: Trace, chosen: Tensor) -> str:
    """Return the first module that was given rows apart and put them out mixed."""
    for old, new in zip(before.calls, after.calls, strict=False):
        apart_in = _all_apart(old[1], new[1], chosen)
        if old[0] == new[0] and apart_in and not _all_apart(old[2], new[2], chosen):
            return old[0]
    return "model"


def _all_apart(old: list[Tensor], new: list[Tensor], chosen: Tensor) -> bool:
    """Tell whether all tensors of one call keep the rows apart."""
    return all(_kept_apart(a, b, chosen) for a, b in zip(old, new, strict=False))


def _kept_apart(old: Tensor, new: Tensor, chosen: Tensor, *, first_axis_only: bool = False) -> bool:
    """Tell whether ``old`` and ``new`` differ at most where the rows ``chosen`` lie."""
    if old.shape != new.shape:
        return False
    return apart(_moved(old, new), chosen, first_axis_only=first_axis_only)


def _moved(old: Tensor, new: Tensor) -> Tensor:
    """Return where the two differ by more than rounding."""
    if not (old.is_floating_point() or old.is_complex()):
        return old != new
    unit = torch.finfo(old.dtype).eps ** 0.75
    size = torch.nan_to_num(old.abs(), posinf=0.0)
    scale = float(size.amax().clamp(min=1e-30)) if size.numel() else 0.0
    return ~torch.isclose(old, new, rtol=unit, atol=unit * scale, equal_nan=True)


def _moving(before: Trace, after: Trace) -> set[Key]:
    """Return which tensors depend on the rows' values."""
    new = after.tensors()
    return {
        key
        for key, old in before.tensors().items()
        if key in new and (old.shape != new[key].shape or bool(_moved(old, new[key]).any()))
    }


def _fewer(few: Rows, before: Trace) -> Iterator[Finding]:
    """Yield a finding for every buffer that ends up differently when a row is left out."""
    rows = few.size - 1
    try:
        after = few.first(rows).run()
    except Exception as error:  # whatever a model raises
        yield Finding(
            "model",
            f"runs on {few.size} rows but not on {rows}: {error}",
            "Take the number of rows from the input: batches have all sizes",
        )
        return
    yield from _filled(before, after)


def _filled(before: Trace, after: Trace) -> Iterator[Finding]:
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
