"""From pydantic's errors to sentences: expected, got, and the nearest valid key.

Used by :mod:`equigrad.federation.config.loader` alone.
"""

import datetime
import difflib
import json
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from equigrad.federation.config.kinds import CURRENCY, DECIMAL
from equigrad.federation.config.locate import Path
from equigrad.federation.config.problems import Problem, key_path
from equigrad.federation.config.schema import RunConfig

__all__ = ["explain", "show"]

_KINDS = {
    "bool": "true or false",
    "dict": "a table",
    "float": "a number",
    "finite_number": "a finite number",
    "int": "a whole number",
    "list": "a list",
    "model": "a table",
    "string": "text in quotes",
}
_RANGES = {
    "greater_than": ("gt", ">"),
    "greater_than_equal": ("ge", ">="),
    "less_than": ("lt", "<"),
    "less_than_equal": ("le", "<="),
}

_PATTERNS = {
    DECIMAL: 'an amount as decimal text such as "480.47" (money is never a float)',
    CURRENCY: "3 to 8 capital letters or digits, the first a letter",
}


def explain(
    error: ValidationError, data: Mapping[str, Any], schema: type[BaseModel] = RunConfig
) -> list[Problem]:
    """Return one problem for each key that is wrong.

    Parameters
    ----------
    error
        What pydantic found; several of its entries may concern one key (a number or a word).
    data
        The parsed tables that it was found in.
    schema
        What they were checked against; its keys are offered instead of unknown ones.
    """
    found: dict[Path, list[Any]] = {}
    for entry in error.errors():
        missing = entry["type"] == "missing"
        path = entry["loc"] if missing else _real_path(entry["loc"], data)
        if entry["type"] == "party_twice":
            path = ("party", entry["ctx"]["index"], "name")
        found.setdefault(path, []).append(entry)
    return [
        Problem(path, _sentence(path, entries, data, schema)) for path, entries in found.items()
    ]


def show(value: Any) -> str:
    """Return a value as it would be written in TOML, cut to a handy length."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, bool | str):
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= 60 else f"{text[:57]}..."
    if isinstance(value, datetime.date | datetime.time):
        return f"the date or time {value.isoformat()}"
    return repr(value)


def _real_path(loc: Sequence[str | int], data: Mapping[str, Any]) -> Path:
    """Cut what pydantic adds to a path (the member of a union) and is no key of the file."""
    path: list[str | int] = []
    here: Any = data
    for part in loc:
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            break
        path.append(part)
    return tuple(path)


def _sentence(
    path: Path, entries: Sequence[Any], data: Mapping[str, Any], schema: type[BaseModel]
) -> str:
    first = entries[0]
    name = key_path(path, data)
    if first["type"] == "extra_forbidden":
        return _unknown_key(path, data, schema)
    if first["type"] == "party_twice":
        return str(first["msg"])
    if first["type"] == "missing":
        return f"Expected {name}, got nothing. {_how_to_add(path)}"
    if first["type"] == "value_error":
        table = f"[{name}]: " if path else ""
        return f"{table}{_capital(str(first['ctx']['error']))}."
    expected = " or ".join(dict.fromkeys(_expected(entry, path) for entry in entries))
    return f"Expected {name} to be {expected}, got {show(first['input'])}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _how_to_add(path: Path) -> str:
    if len(path) == 1:
        return f"Add a table [{path[0]}]."
    return f"Add the key `{path[-1]}`."


def _expected(entry: Any, path: Path) -> str:
    kind, context = entry["type"], entry.get("ctx", {})
    if kind in _RANGES:
        key, sign = _RANGES[kind]
        return f"a number {sign} {context[key]:g}"
    if kind == "literal_error":
        return str(context["expected"]).replace("'", '"')
    if kind == "string_pattern_mismatch":
        if context["pattern"] in _PATTERNS:
            return _PATTERNS[context["pattern"]]
        return "1 to 64 letters, digits, dots, dashes or underscores, the first a letter or digit"
    if kind == "int_from_float":
        return "a whole number"
    for stem, words in _KINDS.items():
        if kind.startswith(stem):
            as_list = stem == "list" and path == ("party",)
            as_table = stem == "model" and len(path) == 1
            return "tables [[party]]" if as_list else f"a table [{path[0]}]" if as_table else words
    return _plain_message(entry)


def _plain_message(entry: Any) -> str:
    """Fall back on pydantic's own words ("Input should be ...")."""
    return str(entry["msg"]).removeprefix("Input should be ")


def _unknown_key(path: Path, data: Mapping[str, Any], schema: type[BaseModel]) -> str:
    wrong = str(path[-1])
    known = _keys_at(path[:-1], schema)
    table = f"in [{key_path(path[:-1], data)}]" if len(path) > 1 else "at the top level"
    near = difflib.get_close_matches(wrong, known, n=1)
    if near:
        hint = f"Did you mean `{near[0]}`?"
    elif homes := _homes(wrong, schema):
        hint = f"It belongs in [{homes[0]}]."
    else:
        hint = f"The keys here are {', '.join(known)}."
    return f"Expected a known key {table}, got `{wrong}`. {hint}"


def _keys_at(path: Path, schema: type[BaseModel]) -> list[str]:
    model: type[BaseModel] | None = schema
    for part in path:
        if isinstance(part, str) and model is not None:
            model = _section(model.model_fields[part].annotation)
    return [] if model is None else list(model.model_fields)


def _homes(key: str, schema: type[BaseModel]) -> list[str]:
    """Return the sections that know ``key``."""
    sections = {n: _section(f.annotation) for n, f in schema.model_fields.items()}
    return [name for name, model in sections.items() if model and key in model.model_fields]


def _section(annotation: Any) -> type[BaseModel] | None:
    """Return the section class that an annotation holds, alone or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, Union, UnionType):
        return next((s for a in get_args(annotation) if (s := _section(a))), None)
    return None
