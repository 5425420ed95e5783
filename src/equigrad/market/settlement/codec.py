"""One JSON form of every frozen value here, so that digests and tables mean the same everywhere.

Dataclasses become objects, tuples lists, enumerations their values; nothing else is needed, floats
least of all. Neighbours: ``chain`` hashes this form, storage keeps it.
"""

import hashlib
import json
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from equigrad.errors import VerificationError

__all__ = ["Json", "canonical", "from_json", "sha256", "to_json"]

Json = Any
"""None, bool, int, str, or lists and string-keyed mappings of them."""

T = TypeVar("T")


def to_json(value: object) -> Json:
    """Return the JSON form of a value; ``TypeError`` for a float or anything unknown."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    raise TypeError(f"Expected whole numbers, text and records of them, got {value!r}.")


def canonical(value: object) -> bytes:
    """Return the one spelling of a value: JSON, keys sorted, no spaces, ASCII."""
    text = json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def sha256(value: object) -> str:
    """Return the SHA-256 of a value's canonical form, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def from_json(kind: type[T], value: Json) -> T:
    """Return the frozen value of class ``kind`` whose JSON form is ``value``.

    Raises
    ------
    VerificationError
        If the form is not that of the class.
    """
    try:
        return cast("T", _read(kind, value))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VerificationError(
            f"Expected a stored {getattr(kind, '__name__', kind)}, got {value!r}: {error}. The "
            "record was changed outside: restore it from a copy."
        ) from error


@cache
def _hints(kind: Callable[..., Any]) -> dict[str, Any]:
    """Return the types of a dataclass's fields."""
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(cast("Any", kind))}


def _read(kind: Any, value: Json) -> Any:
    """Return ``value`` as one of type ``kind``."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (inner,) = [arm for arm in get_args(kind) if arm is not type(None)]
        return _read(inner, value)
    if origin is tuple:
        return tuple(_read(get_args(kind)[0], item) for item in value)
    if origin is not None or kind is Any:
        return value
    if is_dataclass(kind):
        made = cast("Callable[..., Any]", kind)
        hints = _hints(made)
        if set(value) != set(hints):
            raise ValueError(f"fields {sorted(value)}, not {sorted(hints)}")
        return made(**{name: _read(hint, value[name]) for name, hint in hints.items()})
    if issubclass(kind, Enum):
        return kind(value)
    if type(value) is not kind:
        raise TypeError(f"{value!r} is not of type {kind.__name__}")
    return value
