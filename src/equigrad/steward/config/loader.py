"""From a TOML text, options and ``--set KEY=VALUE`` to checked settings, and back to TOML.

The reading of tables and the explaining of mistakes are the federation's own
(:mod:`equigrad.federation.config`), so that both kinds of runs are told of mistakes alike.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from equigrad.errors import ConfigError
from equigrad.federation.config.explain import explain
from equigrad.federation.config.loader import override, tables
from equigrad.federation.config.problems import Source, refuse
from equigrad.steward.config.schema import TrainSettings

__all__ = ["dump_toml", "parse_settings", "restore_settings"]


def parse_settings(
    text: str = "",
    source: str = "settings",
    *,
    options: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    folder: Path | None = None,
) -> TrainSettings:
    """Return checked settings.

    Parameters
    ----------
    text
        TOML tables, may be empty; ``source`` is what messages call them.
    options
        Values by dotted key ("privacy.epsilon") on top of the text; None values are left out.
    overrides
        ``key=value`` strings on top of both.
    folder
        Where relative paths in the settings start; None for the working folder. They come back
        absolute, so that a training can be resumed from anywhere.

    Raises
    ------
    ConfigError
        With one line for each problem: key, expected, got.
    """
    data = tables(text, source)
    placed = {}
    for key, value in (options or {}).items():
        if value is not None:
            _put(data, key, value)
    for option in overrides:
        placed[override(data, option)] = option
    settings = _checked(data, Source(source, text, placed, data))
    return _absolute(settings, Path.cwd() if folder is None else folder)


def restore_settings(data: Mapping[str, Any]) -> TrainSettings:
    """Return the settings that a folder's ``config.json`` holds.

    Raises
    ------
    ConfigError
        If they are none of this version.
    """
    return _checked(data, Source("config.json", data=data))


def dump_toml(settings: TrainSettings) -> str:
    """Return the settings as TOML text that :func:`parse_settings` reads back to equal ones."""
    lines: list[str] = []
    nested: list[tuple[str, Mapping[str, Any]]] = []
    for key, value in settings.model_dump().items():
        if isinstance(value, Mapping):
            nested.append((key, value))
        else:
            lines.append(f"{key} = {_toml(value)}")
    for name, table in nested:
        lines += ["", f"[{name}]"]
        lines += [f"{key} = {_toml(value)}" for key, value in table.items() if value is not None]
    return "\n".join(lines) + "\n"


def _checked(data: Mapping[str, Any], source: Source) -> TrainSettings:
    try:
        return TrainSettings.model_validate(data)
    except ValidationError as error:
        refuse(explain(error, data, TrainSettings), source)
        raise  # not reached: a validation error has at least one problem


def _put(data: dict[str, Any], key: str, value: Any) -> None:
    *above, last = key.split(".")
    here = data
    for part in above:
        here = here.setdefault(part, {})
        if not isinstance(here, dict):
            raise ConfigError(f"Expected a table [{part}], got {here!r}. Write it as a table.")
    here[last] = value


def _absolute(settings: TrainSettings, folder: Path) -> TrainSettings:
    def at(path: str | None) -> str | None:
        return None if path is None else str((folder / path).resolve())

    data = settings.data.model_copy(
        update={"path": at(settings.data.path), "test": at(settings.data.test)}
    )
    privacy = settings.privacy.model_copy(update={"account": at(settings.privacy.account)})
    return settings.model_copy(update={"data": data, "privacy": privacy})


def _toml(value: Any) -> str:
    """Return one value in TOML; JSON's texts, numbers and lists are TOML's too."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
