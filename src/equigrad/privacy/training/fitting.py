"""Whether what a run is given goes together: kinds of its parts, model and rows, loss and targets.

PyTorch says of tensors that do not fit only how it failed; here a few rows are tried, and the error
says which part is at fault and what to do. Neighbours: :mod:`.trainer` asks before anything else
runs the model, :mod:`.probing` then tries that rows stay apart, :mod:`.checks` looks at values.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from equigrad.errors import ConfigError, DataError, EquigradError, ModelError
from equigrad.gradients import per_record_loss
from equigrad.gradients.calling import buffers_kept, call_model, evaluating
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.clipping import CLIPPING_RULES, ClippingRule
from equigrad.privacy.training.rows import Inputs, Rows, tensors_of, to_device

__all__ = ["check_kinds", "check_model_fits", "check_targets_fit"]

_FEW = 2
_MISFITS = (RuntimeError, TypeError, ValueError, LookupError, AttributeError)


def check_kinds(model: object, loss: object, rule: object, account: object) -> None:
    """Refuse parts of a run that are of another kind than it can use.

    Raises
    ------
    ConfigError, ModelError
        Naming the part, what it is, and what to give instead.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"Expected model to be a torch.nn.Module, got {_kind(model)}. Build the model first."
        )
    if not callable(loss):
        raise ConfigError(
            f"Expected loss to be a function of outputs and targets, got {_kind(loss)}. Give a "
            "loss of PyTorch, such as nn.CrossEntropyLoss(), or your own."
        )
    if not isinstance(rule, ClippingRule | str):
        raise ConfigError(
            f"Expected rule to be a ClippingRule or a name, got {_kind(rule)}. Choose one of "
            f"{', '.join(sorted(CLIPPING_RULES))}."
        )
    if account is not None and not isinstance(account, PrivacyAccount):
        raise ConfigError(
            f"Expected account to be a PrivacyAccount, got {_kind(account)}. Open the file with "
            "PrivacyAccount.open(path)."
        )


def check_model_fits(model: nn.Module, rows: Rows, device: torch.device) -> None:
    """Refuse a model that cannot take the rows.

    Two rows are tried in evaluation mode without gradients; the model, its buffers and PyTorch's
    generators are left as they were.

    Raises
    ------
    ModelError
        With what the model was given and what it said.
    """
    with _trying(model):
        inputs, _ = rows.take(_first(rows))
        _outputs(model, to_device(inputs, device))


def check_targets_fit(
    model: nn.Module, loss: Callable[[Any, Any], Tensor], rows: Rows, device: torch.device
) -> None:
    """Refuse a loss that cannot take the model's outputs and the rows' targets.

    Tried as in :func:`check_model_fits`.

    Raises
    ------
    DataError
        With what the loss was given and what it said.
    """
    with _trying(model):
        inputs, targets = rows.take(_first(rows))
        outputs, targets = _outputs(model, to_device(inputs, device)), targets.to(device)
        try:
            per_record_loss(loss)(outputs, targets)
        except (EquigradError, torch.OutOfMemoryError):
            raise
        except _MISFITS as error:
            raise DataError(_unfit_targets(outputs, targets, error)) from error


@contextmanager
def _trying(model: nn.Module) -> Iterator[None]:
    """Let the model be run to learn something, and leave everything as it was."""
    with evaluating(model), buffers_kept(model), torch.random.fork_rng(), torch.no_grad():
        yield


def _first(rows: Rows) -> Tensor:
    return torch.arange(min(_FEW, len(rows)))


def _outputs(model: nn.Module, inputs: Inputs) -> Any:
    """Return the model's outputs, or say what it was given."""
    try:
        return call_model(model, inputs)
    except (EquigradError, torch.OutOfMemoryError):
        raise
    except _MISFITS as error:
        own = next(model.parameters())
        raise ModelError(
            "Expected a model that takes the rows of the data, got one that fails on a batch of "
            f"{_shapes(inputs)} ({_first_line(error)}). Build the model for such rows, or give "
            f"rows of the shape and dtype that it takes; its parameters are {_dtype(own)}."
        ) from error


def _unfit_targets(outputs: Any, targets: Tensor, error: BaseException) -> str:
    """Return the message for targets that the loss cannot take."""
    made = f" for outputs of shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else ""
    return (
        f"Expected targets that the loss takes, got {_dtype(targets)} of shape "
        f"{tuple(targets.shape)}{made} ({_first_line(error)}). Classes are whole numbers (int64), "
        "one per record; numbers to predict have the outputs' shape and dtype. Convert the "
        "targets, or choose the loss for them."
    )


def _kind(value: object) -> str:
    """Return what ``value`` is, in a few words."""
    if value is None:
        return "None"
    return repr(value) if isinstance(value, str) else f"a value of type {type(value).__name__}"


def _first_line(error: BaseException) -> str:
    """Return the error's kind and the first line of what it says."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0].rstrip('.')}"


def _shapes(inputs: Inputs) -> str:
    """Return shape and dtype of each input."""
    return ", ".join(f"{tuple(t.shape)} {_dtype(t)}" for t in tensors_of(inputs))


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
