"""References of settings, written from their schemas. :mod:`pages` puts them into their pages."""

import inspect
from typing import Any, TypeGuard, get_args

from pydantic import BaseModel

from equigrad.federation.config.schema import RunConfig
from equigrad.federation.trade.config.schema import MarketConfig
from equigrad.federation.vertical.config.schema import VerticalConfig
from equigrad.steward.config.schema import TrainSettings
from equigrad.steward.config.score_schema import ScoreSettings

__all__ = [
    "market_reference",
    "reference",
    "score_reference",
    "train_reference",
    "vertical_reference",
]

_HEAD = "| key | type | default | meaning |\n|---|---|---|---|\n"
_PLAIN = {"string": "text", "boolean": "true or false", "object": "table", "null": ""}


def reference() -> str:
    """Return the generated part of the run file's page: one table for each section."""
    return _reference(RunConfig)


def train_reference() -> str:
    """Return the same for the settings of one owner's private training."""
    return _reference(TrainSettings)


def score_reference() -> str:
    """Return the same for the settings of a scoring."""
    return _reference(ScoreSettings)


def vertical_reference() -> str:
    """Return the same for the run file of a vertical run."""
    return _reference(VerticalConfig)


def market_reference() -> str:
    """Return the same for the run file of a market run."""
    return _reference(MarketConfig)


def _reference(whole: type[BaseModel]) -> str:
    top = [k for k in whole.model_fields if _section(whole, k) is None]
    parts = ["## Top of the file\n\n" + _table(whole, top)]
    for key in whole.model_fields:
        section = _section(whole, key)
        if section is None:
            continue
        parts += _section_parts(section, key, double=_is_list(whole, key))
    return "\n".join(parts)


def _section_parts(section: type[BaseModel], key: str, *, double: bool = False) -> list[str]:
    """Return a section's table, and those of the tables in it."""
    fields = section.model_fields
    inner = {name: f.annotation for name, f in fields.items() if _is_model(f.annotation)}
    about = inspect.cleandoc(section.__doc__ or "")
    name = f"[[{key}]]" if double else f"[{key}]"
    plain = [name for name in fields if name not in inner]
    parts = [f"## `{name}`\n\n{about}\n\n" + _table(section, plain)]
    for inner_key, model in inner.items():
        parts += _section_parts(model, f"{key}.{inner_key}")
    return parts


def _section(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """Return the model of a section, or None for a plain key."""
    annotation = model.model_fields[key].annotation
    for candidate in (annotation, *get_args(annotation)):
        if _is_model(candidate):
            return candidate
    return None


def _is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return inspect.isclass(annotation) and issubclass(annotation, BaseModel)


def _is_list(model: type[BaseModel], key: str) -> bool:
    return bool(get_args(model.model_fields[key].annotation))


def _table(model: type[BaseModel], keys: list[str]) -> str:
    schema = model.model_json_schema()
    rows = []
    for key in sorted(keys, key=lambda key: not model.model_fields[key].is_required()):
        spec = schema["properties"][key]
        cells = (f"`{key}`", _type(spec), _default(model, key), spec.get("description", ""))
        rows.append("| " + " | ".join(cells) + " |")
    return _HEAD + "\n".join(rows) + "\n"


def _type(spec: dict[str, Any]) -> str:
    """Return a type and its range in words."""
    if "anyOf" in spec:
        return " or ".join(word for option in spec["anyOf"] if (word := _type(option)))
    if "const" in spec:
        return f"`{_toml(spec['const'])}`"
    if "enum" in spec:
        return ", ".join(f"`{_toml(value)}`" for value in spec["enum"])
    if "$ref" in spec:
        return "table"
    kind = spec.get("type", "any value")
    if kind == "array":
        return f"list of {_type(spec['items'])}"
    if kind in ("integer", "number"):
        return ("whole number" if kind == "integer" else "number") + _range(spec)
    return _PLAIN.get(kind, str(kind))


def _range(spec: dict[str, Any]) -> str:
    low = [f"≥\u00a0{spec['minimum']:g}"] if "minimum" in spec else []
    low += [f">\u00a0{spec['exclusiveMinimum']:g}"] if "exclusiveMinimum" in spec else []
    high = [f"≤\u00a0{spec['maximum']:g}"] if "maximum" in spec else []
    # a bound as large as the numbers themselves is no news
    top = spec.get("exclusiveMaximum")
    high += [f"<\u00a0{top:g}"] if top is not None and top < 2**53 else []
    return " " + ", ".join(low + high) if low or high else ""


def _default(model: type[BaseModel], key: str) -> str:
    field = model.model_fields[key]
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "" if value in (None, [], {}) else f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    """Return a value as it would stand in a run file."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return str(value)
