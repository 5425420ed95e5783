"""Digests of rows, and of all that a step's sum is made of: a repeat must have the same inputs.

Neighbours: :mod:`.keeping` compares rows after a crash, :mod:`.account_meter` tells a repeated step
from a new one by its inputs.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn

from equigrad.privacy.clipping import ClippingRule
from equigrad.privacy.training.kept import KeptRows
from equigrad.privacy.training.rows import Rows, tensors_of

__all__ = ["data_digest", "describe_callable", "inputs_digest", "run_digest"]


def data_digest(rows: Rows, size: int = 65536) -> str:
    """Return the SHA-256 over shapes, types and values of all rows, group labels and mask."""
    total = hashlib.sha256()
    for inputs, targets in rows.chunks(size):
        for tensor in [*tensors_of(inputs), targets]:
            total.update(f"{tensor.dtype} {tuple(tensor.shape[1:])};".encode())
            total.update(_bytes(tensor))
    if rows.groups is not None:
        total.update(rows.groups.numpy().tobytes())
    if isinstance(rows, KeptRows):
        total.update(rows.kept.numpy().tobytes())
    return total.hexdigest()


def run_digest(
    rows: str, model: nn.Module, loss: Callable[..., Any], settings: Mapping[str, Any]
) -> str:
    """Return a digest of what stays the same in a run and every sum depends on.

    Parameters
    ----------
    rows
        Digest of the rows.
    model
        Its structure and modes count, not its values.
    loss, settings
        The run's.
    """
    modes = [module.training for module in model.modules()]
    facts = [rows, repr(model), modes, describe_callable(loss), dict(settings)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def inputs_digest(model: nn.Module, rule: ClippingRule, run: str) -> str:
    """Return a digest of all that a step's sum depends on besides the key.

    Parameters
    ----------
    model, rule
        As they are at the step.
    run
        What :func:`run_digest` returned.
    """
    total = hashlib.blake2b(digest_size=16)
    for tensor in model.state_dict().values():
        total.update(_bytes(tensor))
    total.update(json.dumps([run, rule.state()], sort_keys=True).encode())
    return total.hexdigest()


def describe_callable(function: object) -> str:
    """Return words that differ for different functions and are the same in another process.

    What a function is made of counts: code, constants, defaults, what it closes over, and the
    attributes of an object. Names that its code looks up elsewhere do not.
    """
    if isinstance(function, functools.partial):
        return _listed("partial", function.func, function.args, function.keywords)
    if isinstance(function, nn.Module):
        kept = {name: value for name, value in vars(function).items() if name[:1] != "_"}
        state = dict(function.state_dict())
        return _listed(_name(type(function)), repr(function), kept, state)
    code = getattr(function, "__code__", None)
    if isinstance(code, CodeType):
        cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
        owner = getattr(function, "__self__", None)
        return _listed(_name(function), code, getattr(function, "__defaults__", None), cells, owner)
    return _described(function)


def _described(value: object) -> str:
    """Return words for anything that a function may hold."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, Tensor):
        return f"{value.dtype} {tuple(value.shape)} {hashlib.sha256(_bytes(value)).hexdigest()}"
    if isinstance(value, CodeType):
        return _listed("code", value.co_code, value.co_consts, value.co_names)
    if isinstance(value, Mapping):
        return _listed("mapping", *(part for item in value.items() for part in item))
    if isinstance(value, list | tuple):
        return _listed(type(value).__name__, *value)
    if isinstance(value, nn.Module | functools.partial) or hasattr(value, "__code__"):
        return describe_callable(value)
    held = {name: item for name, item in getattr(value, "__dict__", {}).items() if name[:1] != "_"}
    named = callable(value) and hasattr(value, "__qualname__")  # a class, or a function in C
    return _name(value) if named else _listed(_name(type(value)), held)


def _listed(name: str, *parts: object) -> str:
    return f"{name}({', '.join(p if isinstance(p, str) else _described(p) for p in parts)})"


def _name(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', type(thing))}"


def _bytes(tensor: Tensor) -> bytes:
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy().tobytes()
