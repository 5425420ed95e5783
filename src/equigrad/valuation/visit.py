"""One batch of records at one checkpoint: what can be asked of it, each answered once.

Several scorers ask the same visit, so logits, losses and the per-sample pass are computed once for
all of them. Neighbours: :mod:`.sweep` makes the visits, the scorers ask.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from equigrad.errors import DataError, ModelError, NonFiniteScoreError
from equigrad.gradients import PerSampleGradients, PerSamplePass
from equigrad.gradients.calling import call_model
from equigrad.gradients.checks import record_losses
from equigrad.privacy.training.rows import Inputs, map_inputs, tensors_of

__all__ = ["Visit", "only_input"]


class Visit:
    """A batch of records at one checkpoint.

    Attributes
    ----------
    index
        The checkpoint's number in its trajectory.
    place
        The checkpoint's number among those that the scorer chose; set for each scorer.
    rows
        Where the batch lies in the stretch's accumulators.
    start
        Number of the batch's first record among those visited; :meth:`number` tells that in the
        whole data set.
    inputs, labels
        The batch, on the model's device.
    learning_rate
        At this checkpoint; None if unknown.
    tables
        What scorers share over all visits of the checkpoint.
    kept
        What scorers share of this visit alone, by name, so that equal work is done once.
    """

    def __init__(
        self,
        model_pass: PerSamplePass,
        inputs: Inputs,
        labels: Tensor,
        *,
        index: int = 0,
        rows: slice = slice(None),
        start: int = 0,
        learning_rate: float | None = None,
        gradients: bool = False,
        tables: dict[str, Any] | None = None,
        numbers: Tensor | None = None,
    ) -> None:
        self._numbers = numbers
        self.index, self.place, self.rows, self.start = index, 0, rows, start
        self.inputs, self.labels, self.learning_rate = inputs, labels, learning_rate
        self.tables: dict[str, Any] = {} if tables is None else tables
        self.kept: dict[str, Any] = {}
        self._pass, self._gradients = model_pass, gradients

    def __len__(self) -> int:
        return int(self.labels.shape[0])

    def number(self, place: int) -> int:
        """Return the number in the whole data set of the batch's record ``place``."""
        return self.start + place if self._numbers is None else int(self._numbers[place])

    @property
    def model(self) -> torch.nn.Module:
        """The model at this checkpoint, in evaluation mode."""
        return self._pass.model

    @property
    def loss(self) -> Callable[[Any, Any], Tensor]:
        """``loss(outputs, targets) -> (B,)``."""
        return self._pass.loss

    @cached_property
    def grads(self) -> PerSampleGradients:
        """The per-sample pass over the batch, valid until the next visit."""
        try:
            found = self._pass(self.inputs, self.labels)
        except IndexError:
            # Losses of classes say so of a label that is none; which one, is said here.
            with torch.no_grad():
                self.check_labels(call_model(self.model, self.inputs))
            raise
        self.check_labels(found.outputs)
        return found

    @cached_property
    def outputs(self) -> Any:
        """What the model returns, detached; taken from the pass if one is made anyway."""
        if self._gradients:
            return self.grads.outputs
        with torch.no_grad():
            return call_model(self.model, self.inputs)

    @cached_property
    def losses(self) -> Tensor:
        """``(B,)`` float64 losses in nats (or the loss's own unit)."""
        if self._gradients:
            losses = self.grads.losses
        else:
            self.check_labels(self.outputs)
            with torch.no_grad():
                losses = record_losses(self._pass.loss(self.outputs, self.labels), len(self))
        return self.finite("losses", losses)

    @cached_property
    def logits(self) -> Tensor:
        """``(B, K)`` float64 logits."""
        outputs = self.outputs
        if not isinstance(outputs, Tensor) or outputs.dim() != 2 or outputs.shape[1] < 2:
            got = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise ModelError(
                f"Expected logits of shape (records, classes) with two classes or more, got {got}. "
                "Scorers by class need one output for each class."
            )
        return self.finite("logits", outputs)

    @cached_property
    def probabilities(self) -> Tensor:
        """``(B, K)`` float64 softmax of the logits."""
        return torch.softmax(self.logits, dim=1)

    @cached_property
    def own(self) -> Tensor:
        """``(B, K) bool``: True at the record's given label."""
        labels, n_classes = self.labels, self.logits.shape[1]
        if labels.is_floating_point() or labels.dim() != 1:
            raise DataError(
                f"Expected one whole-number class label for each record, got {labels.dtype} of "
                f"shape {tuple(labels.shape)}. Number the classes from 0."
            )
        self.check_labels(self.logits)
        return torch.nn.functional.one_hot(labels.long(), n_classes).bool()

    def check_labels(self, outputs: Any, start: int = 0) -> None:
        """Refuse a class label that the model has no output for.

        Cross-entropy itself passes over a label of -100, as if the record were right.

        Parameters
        ----------
        outputs
            What the model returned for the batch's records from ``start`` on. Nothing is checked
            unless they are ``(B, K)`` with K > 1 and labels are whole numbers, one for each record.
        start
            Where they begin in the batch.

        Raises
        ------
        DataError
            With the first such record.
        """
        labels = self.labels[start:]
        logits = isinstance(outputs, Tensor) and outputs.dim() == 2 and outputs.shape[1] > 1
        if not logits or labels.dim() != 1 or labels.is_floating_point():
            return
        n_classes, labels = outputs.shape[1], labels[: len(outputs)]
        bad = torch.nonzero((labels < 0) | (labels >= n_classes)).flatten()
        if bad.numel():
            at = int(bad[0])
            raise DataError(
                f"Expected labels in 0..{n_classes - 1} (the model has {n_classes} outputs), got "
                f"{int(labels[at])} in record {self.number(start + at)} (from 0). Number the "
                "classes from 0, or give the model more outputs."
            )

    @cached_property
    def norms(self) -> Tensor:
        """``(B,)`` float64 norms of the records' gradients over all trainable parameters."""
        return self.finite("gradients", self.grads.norms)

    def finite(self, what: str, values: Tensor) -> Tensor:
        """Return ``values`` in float64 if every record's are finite.

        Raises
        ------
        NonFiniteScoreError
            With the number and the first of the records that are not. It speaks of records: for
            their owner only.
        """
        wide = values.detach().double()
        good = torch.isfinite(wide)
        good = good.flatten(1).all(1) if good.dim() > 1 else good
        if not bool(good.all()):
            bad = torch.nonzero(~good).flatten()
            first = ", ".join(str(self.number(int(i))) for i in bad[:5])
            raise NonFiniteScoreError(
                f"Expected finite {what}, got NaN or inf in {bad.numel()} records of a batch, the "
                f"first {first} (from 0), at checkpoint {self.index}. Remove or repair the "
                "records, or take a checkpoint of a training that did not diverge."
            )
        return wide

    @property
    def input(self) -> Tensor:
        """The model's only input, ``(B, ...)``, floating point; for maps over features."""
        return only_input(self.inputs)

    def over_inputs(self, tensor: Tensor) -> Inputs:
        """Return the inputs with their only tensor replaced by ``tensor``."""
        return map_inputs(self.inputs, lambda _: tensor)

    def traced(self) -> tuple[Tensor, Any]:
        """Return the only input, marked, and the model's outputs with their way back to it."""
        marked = self.input.detach().requires_grad_(True)
        with torch.enable_grad():
            # A copy goes in, since a model may change its input in place.
            outputs = call_model(self.model, self.over_inputs(marked.clone()))
        if not self._gradients:
            self.__dict__.setdefault("outputs", tree_map(_detached, outputs))
        return marked, outputs


def only_input(inputs: Inputs) -> Tensor:
    """Return a model's only input, ``(B, ...)``, floating point.

    Raises
    ------
    ModelError
        If there are several, or it holds no features that could change a little (token ids).
    """
    found = tensors_of(inputs)
    if len(found) != 1 or not found[0].is_floating_point():
        raise ModelError(
            "Expected a model with one floating-point input, whose features a map can speak "
            f"of, got {len(found)} inputs of {[str(t.dtype) for t in found]}. Use another "
            "scorer for token ids or several inputs."
        )
    return found[0]


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, Tensor) else leaf
