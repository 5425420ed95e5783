"""Which models can be trained under rewards, and why the others cannot.

A reward moves trainable parameters only, and the local step is rolled back. Whatever else a model
changes while it trains (the running statistics of BatchNorm) would therefore stay at its initial
value in the coordinator's eyes and drift at the party. Such models are refused, or their statistics
are frozen on request.
"""

from typing import Literal

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from equigrad.errors import ModelError
from equigrad.models.base import ModelInput
from equigrad.models.modes import preserved, set_training_mode
from equigrad.models.randomness import private_rng

__all__ = ["check_model"]


def check_model(
    model: nn.Module,
    model_input: ModelInput,
    *,
    buffers: Literal["refuse", "freeze"] = "refuse",
) -> tuple[nn.Module, ...]:
    """Refuse a model that cannot be trained under rewards; return the modules to keep frozen.

    Parameters
    ----------
    model
        A built model on the CPU. It is not changed.
    model_input
        The data it is for.
    buffers
        What to do with modules whose buffers change during training (running statistics).
        ``"refuse"`` raises. ``"freeze"`` returns them: they must stay in evaluation mode during
        training (:func:`set_training_mode`), so that their buffers keep their initial values for
        ever; a fresh BatchNorm is then a trainable scale and shift of each channel, no more.

    Returns
    -------
    tuple of torch.nn.Module
        The modules to freeze; empty with ``"refuse"``.

    Raises
    ------
    ModelError
        If the model has lazy, no trainable, or other than ``float32`` trainable parameters; fails
        on a batch of two records; gives another shape than ``(2, outputs)``, or no gradient; or
        changes buffers.
    """
    _check_parameters(model)
    with private_rng(0):
        _check_output(model, model_input)
        moving = _moving(model, model_input, ())
        if not moving:
            return ()
        if buffers == "refuse":
            raise ModelError(
                "Expected a model without running statistics, because rewards move parameters "
                f"only; training changes {_names(model, moving)}. Use GroupNorm or LayerNorm, or "
                'set buffers = "freeze".'
            )
        stubborn = _moving(model, model_input, moving)
    if stubborn:
        raise ModelError(
            "Expected buffers that stay as they are in evaluation mode, but a forward pass still "
            f"changes those of {_names(model, stubborn)}. Leave them out of the model."
        )
    return moving


def _check_parameters(model: nn.Module) -> None:
    lazy = [n for n, p in [*model.named_parameters(), *model.named_buffers()] if is_lazy(p)]
    if lazy:
        raise ModelError(
            f"Expected parameters of known size, got lazy ones ({_some(lazy)}). Give the layers "
            "their input sizes."
        )
    trainable = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    if not any(p.numel() for _, p in trainable):
        raise ModelError("Expected a model with trainable parameters, got none to train.")
    other = [f"{n} ({p.dtype})" for n, p in trainable if p.dtype != torch.float32]
    if other:
        raise ModelError(
            f"Expected float32 parameters, got {_some(other)}. Convert the model with .float()."
        )


def _check_output(model: nn.Module, model_input: ModelInput) -> None:
    expected = (2, model_input.outputs)
    try:
        with preserved(model), torch.enable_grad():
            output = model(model_input.example(2))
    except Exception as error:
        raise ModelError(
            f"Expected a model for records of shape {model_input.shape}, but a batch of two fails: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(output, torch.Tensor) or output.shape != expected:
        got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ModelError(
            f"Expected outputs of shape {expected} for two records, got {got}. The last layer must "
            f"give {model_input.outputs} numbers for each record."
        )
    if not output.requires_grad:
        raise ModelError(
            "Expected outputs that depend on trainable parameters, got a tensor with no gradient. "
            "Does the forward pass detach it?"
        )


def _moving(
    model: nn.Module, model_input: ModelInput, frozen: tuple[nn.Module, ...]
) -> tuple[nn.Module, ...]:
    """Return the modules whose own buffers a training step's forward pass changes."""
    with preserved(model) as before, torch.no_grad():
        set_training_mode(model, frozen)
        try:
            model(model_input.example(2))
        except Exception as error:
            raise ModelError(
                "Expected a model that runs in training mode, but a batch of two fails: "
                f"{type(error).__name__}: {error}"
            ) from error
        changed = {
            name.rpartition(".")[0]
            for name, buffer in model.named_buffers()
            if name not in before or not torch.equal(buffer, before[name])
        }
    return tuple(module for name, module in model.named_modules() if name in changed)


def _names(model: nn.Module, modules: tuple[nn.Module, ...]) -> str:
    chosen = {id(module) for module in modules}
    return _some([f"{n} ({type(m).__name__})" for n, m in model.named_modules() if id(m) in chosen])


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
