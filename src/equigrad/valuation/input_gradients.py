"""Gradients with respect to a record's own input: of an output, or of its gradient's norm.

Records do not interact, so one backward pass of a sum over the records serves all of a batch; a
visit keeps what was computed for the next scorer that asks. Used by VOG and PLIS; neighbours:
:mod:`.visit`, :mod:`.maps`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map

from equigrad._validate import choice
from equigrad.gradients import PerSamplePass
from equigrad.gradients.arithmetic import exact_products
from equigrad.valuation.visit import Visit

__all__ = ["TARGETS", "Target", "input_gradients", "norm_gradients"]

Target = Literal["logit", "prob"]
TARGETS: Final = ("logit", "prob")
"""What is differentiated: the given label's logit ``z_y``, or its probability ``p_y``."""
_ROWS_BYTES: Final = 64 * 2**20
_FIRST_RECORDS: Final = 8


def input_gradients(visit: Visit, target: Target = "logit") -> Tensor:
    """Return ``d z_y / dx`` or ``d p_y / dx`` of every record, at the visit's checkpoint.

    Parameters
    ----------
    visit
        A batch of records with class labels.
    target
        ``"logit"``: the given label's logit before the softmax; ``"prob"``: its probability.

    Returns
    -------
    Tensor
        ``(B, ...)`` float64 in the input's own shape, finite; zeros where the model does not look
        at its input.

    Raises
    ------
    ModelError
        If the model has several inputs or none of floating point, or does not return logits.
    DataError
        If labels are no class numbers in 0..K-1.
    NonFiniteScoreError
        If outputs or gradients of a record are NaN or infinite.
    """
    choice("target", target, TARGETS)
    key = f"input gradients of {target}"
    if key not in visit.kept:
        visit.kept[key] = _of_output(visit, target)
    found: Tensor = visit.kept[key]
    return found


def norm_gradients(visit: Visit) -> tuple[Tensor, Tensor]:
    """Return every record's gradient norm ``||g_i||`` and ``J_i = d ||g_i|| / dx``.

    The norm is the per-sample pass's own, run with a graph, and J is one more backward pass from
    the sum of the norms. A graph keeps what the pass writes out (rows of a convolution's kernel),
    so a batch whose rows would pass 64 MiB is taken in parts.

    Returns
    -------
    norms, J
        ``(B,)`` and ``(B, ...)`` in the input's own shape, float64, finite. J is 0 where the norm
        is 0: the norm has no slope there.

    Raises
    ------
    ModelError
        If the model has several inputs or none of floating point, or a layer without a rule.
    NonFiniteScoreError
        If a loss, gradient or slope of a record is NaN or infinite.
    """
    if "norm gradients" not in visit.kept:
        if "pass with a graph" not in visit.tables:
            visit.tables["pass with a graph"] = _Graphs(visit)
        norms, slopes = visit.tables["pass with a graph"].norms_and_slopes(visit)
        visit.kept["norm gradients"] = (
            visit.finite("gradients", norms),
            visit.finite("slopes of gradient norms", slopes),
        )
    found: tuple[Tensor, Tensor] = visit.kept["norm gradients"]
    return found


class _Graphs:
    """A pass with a graph, shared by the visits of one checkpoint.

    It is not the visits' own pass, whose results other scorers use and a second call would end.
    """

    def __init__(self, visit: Visit) -> None:
        self._pass = PerSamplePass(visit.model, visit.loss)
        self._records = _FIRST_RECORDS  # until the pass has said what it writes out

    def norms_and_slopes(self, visit: Visit) -> tuple[Tensor, Tensor]:
        """Return ``(B,)`` norms and ``(B, ...)`` slopes of a visit's records."""
        found, start = [], 0
        while start < len(visit):
            some = slice(start, start + self._records)
            found.append(self._some(visit, some))
            start = some.stop
        norms, slopes = zip(*found, strict=True)
        return torch.cat(norms), torch.cat(slopes)

    def _some(self, visit: Visit, some: slice) -> tuple[Tensor, Tensor]:
        marked = visit.input[some].detach().requires_grad_(True)
        inputs = visit.over_inputs(marked)
        # The fused kernels of attention have no second derivative.
        with sdpa_kernel(SDPBackend.MATH), exact_products(marked.device), _copying(visit.model):
            try:
                result = self._pass(inputs, visit.labels[some], create_graph=True)
            except IndexError:
                visit.check_labels(visit.outputs)  # says which label is no class
                raise
            visit.check_labels(result.outputs, some.start)
            norms = result.norms
            slopes = _slopes(norms.sum(), marked)
        rows = sum(line.bytes for line in result.plan())
        self._records = max(1, _ROWS_BYTES // max(rows, 1))
        return norms.detach(), slopes


def _of_output(visit: Visit, target: Target) -> Tensor:
    marked, outputs = visit.traced()
    own = visit.own  # checks the outputs' shape and the labels
    with torch.enable_grad():
        wide = outputs.double()
        chosen = (wide if target == "logit" else torch.softmax(wide, dim=1))[own]
        slopes = _slopes(chosen.sum(), marked)
    return visit.finite("input gradients", slopes)


@contextmanager
def _copying(model: nn.Module) -> Iterator[None]:
    """Let a model work on copies of what it is given, since it may change its input in place."""

    def copies(module: nn.Module, args: Any, kwargs: Any) -> Any:
        del module
        return tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, (args, kwargs))

    handle = model.register_forward_pre_hook(copies, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _slopes(total: Tensor, marked: Tensor) -> Tensor:
    """Return the gradient of a sum over records at their input; 0 if it does not depend on it."""
    if not total.requires_grad:
        return torch.zeros_like(marked)
    (found,) = torch.autograd.grad(total, marked, allow_unused=True, materialize_grads=True)
    return found
