"""States of optimisers, schedulers and rules as JSON and tensors, never as pickles.

``split`` takes a nested state apart into what JSON can hold and a flat table of tensors;
``join`` puts it together again, bit for bit. Neighbours: :mod:`.checkpoint` writes both parts.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equigrad.errors import ConfigError

__all__ = ["join", "split"]

_MARK = "$"


def split(state: object, name: str) -> tuple[Any, dict[str, Tensor]]:
    """Take ``state`` apart.

    Parameters
    ----------
    state
        Numbers, strings, booleans, ``None``, tensors, NumPy numbers and arrays, and lists, tuples,
        sets, dicts and Counters of these.
    name
        Prefix of the tensors' names, and the word for the state in errors.

    Returns
    -------
    tuple
        What JSON can hold, and the tensors by name (on the CPU, contiguous, copied).

    Raises
    ------
    ConfigError
        If something in it can only be pickled.
    """
    tensors: dict[str, Tensor] = {}
    return _take(state, name, tensors), tensors


def join(plain: object, tensors: Mapping[str, Tensor]) -> Any:
    """Put together what :func:`split` took apart."""
    if isinstance(plain, list):
        return [join(item, tensors) for item in plain]
    if not isinstance(plain, dict):
        return plain
    kind, body = plain[_MARK], plain.get("of")
    if kind == "tensor":
        return tensors[str(body)].clone()
    if kind == "array":
        return tensors[str(body)].numpy().copy()
    if kind == "float":
        return float(str(body))
    built = join(body, tensors)
    return _BUILD[str(kind)](built)


def _counter(pairs: list[list[Any]]) -> Counter[Any]:
    """Return the Counter of ``pairs`` (a Counter built from pairs would count the pairs)."""
    return Counter(dict(_tuples(pairs)))


def _tuples(pairs: list[list[Any]]) -> list[tuple[Any, Any]]:
    return [(key, value) for key, value in pairs]


_BUILD: dict[str, Callable[[Any], Any]] = {
    "dict": lambda pairs: dict(_tuples(pairs)),
    "counter": _counter,
    "tuple": tuple,
    "set": set,
}


def _take(value: object, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return the JSON form of ``value``; its tensors go to ``tensors``."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.generic):
        return _take(value.item(), name, tensors)
    if isinstance(value, float):
        return value if math.isfinite(value) else {_MARK: "float", "of": repr(value)}
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {_MARK: "tensor", "of": name}
    if isinstance(value, np.ndarray):
        tensors[name] = torch.from_numpy(np.array(value, order="C"))
        return {_MARK: "array", "of": name}
    return _take_many(value, name, tensors)


def _take_many(value: object, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return the JSON form of a collection."""
    if isinstance(value, Mapping):
        kind = "counter" if isinstance(value, Counter) else "dict"
        pairs = [
            [_take(key, f"{name}/key{i}", tensors), _take(item, f"{name}/{key}", tensors)]
            for i, (key, item) in enumerate(value.items())
        ]
        return {_MARK: kind, "of": pairs}
    if isinstance(value, list | tuple | set | frozenset):
        kept = sorted(value) if isinstance(value, set | frozenset) else value
        items = [_take(item, f"{name}/{i}", tensors) for i, item in enumerate(kept)]
        if isinstance(value, list):
            return items
        return {_MARK: "tuple" if isinstance(value, tuple) else "set", "of": items}
    raise ConfigError(
        f"Expected {name} to be made of numbers, strings, tensors and collections of them, "
        f"got a {type(value).__name__}. A checkpoint holds no pickles: use an object "
        "whose state is plain."
    )
