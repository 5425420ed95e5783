"""Refusals: models and losses whose rows have no gradients of their own, with the remedies.

``modules`` looks, ``probe`` runs, ``losses`` switches PyTorch's losses to one number per record,
``batchnorm`` holds the remedy that is needed most often.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from equigrad.gradients.checks.batchnorm import replace_batchnorm
from equigrad.gradients.checks.finding import Finding, refuse
from equigrad.gradients.checks.losses import per_record_loss, record_losses
from equigrad.gradients.checks.modules import module_findings
from equigrad.gradients.checks.probe import probe_findings

__all__ = [
    "Finding",
    "check_per_sample",
    "module_findings",
    "per_record_loss",
    "probe_findings",
    "record_losses",
    "refuse",
    "replace_batchnorm",
]


def check_per_sample(
    model: nn.Module,
    example_inputs: Any = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
    example_targets: Any = None,
) -> None:
    """Raise ``ModelError`` that lists every obstacle to per-sample gradients, or return.

    Parameters
    ----------
    model
        The module, in the mode it will be trained in. It is left as it is.
    example_inputs
        Tensor, tuple or mapping with the batch on axis 0; with it the model is run on up to eight
        rows, with one row replaced at a time, to find modules that mix rows and buffers that data
        fills. Without it only the modules are looked at.
    loss, example_targets
        With both, the loss is run as well: it must give one number per record (PyTorch's own are
        switched by :func:`per_record_loss`) and no record's loss may depend on another record.

    Raises
    ------
    ModelError
        One line per obstacle: layer name and class, the reason, the remedy.
    """
    findings = module_findings(model)
    if example_inputs is None or findings:  # a forward pass would say less, less clearly
        refuse(findings)
        return
    judged = None
    if loss is not None and example_targets is not None:
        unreduced = per_record_loss(loss)

        def judged(outputs: Any, targets: Any) -> Tensor:
            size = next(len(t) for t in tree_leaves(targets) if isinstance(t, Tensor))
            return record_losses(unreduced(outputs, targets), size)

    refuse(probe_findings(model, example_inputs, judged, example_targets))
