"""Rows that meet in the backward pass only: the values look right, the gradients do not.

``x + m - m.detach()`` with a mean ``m`` over the batch changes no value, but gives every row a
share in the gradient of all others' losses. So the losses of some rows are differentiated: at
every tensor of the forward pass that holds rows, the gradient at the other rows is exactly 0 if
rows do not meet. Neighbours: ``probe`` does the same with values.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from equigrad.gradients.checks.finding import Finding
from equigrad.gradients.checks.runs import Key, Rows, Trace, apart

__all__ = ["gradient_findings"]


def gradient_findings(rows: Rows, depends: set[Key]) -> Iterator[Finding]:
    """Yield a finding if the gradient of some rows' losses reaches other rows.

    Parameters
    ----------
    rows
        The model and its rows.
    depends
        The tensors that hold rows; the others, such as weights that a module computes, belong to
        all rows.
    """
    trace = rows.run_for_gradients()
    losses = _losses(trace, rows)
    live = {k: t for k, t in trace.tensors().items() if t.requires_grad and k in depends}
    if losses is None or not live:
        return
    mixed: set[Key] = set()
    for chosen in rows.subsets():
        try:
            mixed |= _reached(trace, live, losses, chosen)
        except RuntimeError as error:
            if "checkpoint" not in str(error).lower():
                raise
            yield Finding(
                "model",
                "runs a part through reentrant checkpointing, which hides its layers",
                "Pass use_reentrant=False to the checkpoint",
            )
            return
    if mixed:
        yield Finding(
            _culprit(trace, mixed),
            "mixes rows in the backward pass: one row's loss has a gradient at another row",
            "Use a layer that treats every row by itself, or check that the batch is on axis 0",
        )


def _reached(trace: Trace, live: Mapping[Key, Tensor], losses: Tensor, chosen: Tensor) -> set[Key]:
    """Return the tensors at which the losses of the rows ``chosen`` have a gradient at others.

    Each gradient is judged when it passes and let go: all of them together would take several
    times the memory of a step of training.
    """
    mixed: set[Key] = set()
    with contextlib.ExitStack() as stack:
        for key, tensor in live.items():

            def judge(gradient: Tensor, key: Key = key) -> None:
                if not apart(torch.nan_to_num(gradient) != 0, chosen):
                    mixed.add(key)

            handle = tensor.register_hook(judge)  # type: ignore[no-untyped-call]  # torch's
            stack.callback(handle.remove)
        torch.autograd.grad(
            losses[chosen.to(losses.device)].sum(),
            trace.sources,
            retain_graph=True,
            allow_unused=True,
        )
    return mixed


def _losses(trace: Trace, rows: Rows) -> Tensor | None:
    """Return one differentiable number per row: its loss, or else a mix of its outputs."""
    total: Tensor | None = None
    results = trace.result[-1:] if rows.loss is not None else trace.result
    for result in results:
        if result.requires_grad and result.dim() and len(result) == rows.size:
            flat = result.flatten(1) if result.dim() > 1 else result[:, None]
            slopes = torch.linspace(0.5, 1.5, flat.shape[1], device=flat.device).to(flat.dtype)
            part = (flat * slopes.square()).sum(1)
            total = part if total is None else total + part
    return total


def _culprit(trace: Trace, mixed: set[Key]) -> str:
    """Return the first module at whose output the rows are apart and at whose input they meet."""
    times: Counter[str] = Counter()
    for where, ins, outs in trace.calls:
        found = [(where, times[where], place) in mixed for place in range(len(ins) + len(outs))]
        times[where] += 1
        if any(found[: len(ins)]) and not any(found[len(ins) :]):
            return where
    return "loss"
