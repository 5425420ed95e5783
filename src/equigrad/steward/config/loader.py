"""From a TOML text, options and ``--set KEY=VALUE`` to checked settings, and back to TOML.

The reading of tables and the explaining of mistakes are the federation's own
(:mod:`equigrad.federation.config`), so that both kinds of runs are told of mistakes alike.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from equigrad.errors import ConfigError
from equigrad.federation.config.explain import explain
from equigrad.federation.config.loader import override, tables
from equigrad.federation.config.problems import Source, refuse
from equigrad.steward.config.schema import TrainSettings
from equigrad.steward.config.score_schema import ScoreSettings

__all__ = [
    "dump_toml",
    "is_path",
    "parse_score_settings",
    "parse_settings",
    "restore_score_settings",
    "restore_settings",
]

AnySettings = TypeVar("AnySettings", bound=BaseModel)


def parse_settings(
    text: str = "",
    source: str = "settings",
    *,
    options: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    folder: Path | None = None,
) -> TrainSettings:
    """Return checked settings of a private training.

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
    settings = _parsed(TrainSettings, text, source, options, overrides)
    return _absolute(settings, Path.cwd() if folder is None else folder)


def parse_score_settings(
    text: str = "",
    source: str = "settings",
    *,
    options: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    folder: Path | None = None,
) -> ScoreSettings:
    """Return checked settings of a scoring; arguments and errors as :func:`parse_settings`."""
    settings = _parsed(ScoreSettings, text, source, options, overrides)
    home = Path.cwd() if folder is None else folder
    settings = _absolute(settings, home)
    truth = settings.truth.model_copy(update={"file": _at(home, settings.truth.file)})
    scoring = settings.scoring
    places = {
        "public_data": _source(home, scoring.public_data),
        "validation": _source(home, scoring.validation),
        "checkpoint_folder": _at(home, scoring.checkpoint_folder),
    }
    return settings.model_copy(
        update={"truth": truth, "scoring": scoring.model_copy(update=places)}
    )


def restore_settings(data: Mapping[str, Any]) -> TrainSettings:
    """Return the settings that a training's ``config.json`` holds.

    Raises
    ------
    ConfigError
        If they are none of this version.
    """
    return _checked(TrainSettings, data, Source("config.json", data=data))


def restore_score_settings(data: Mapping[str, Any]) -> ScoreSettings:
    """Return the settings that a scoring's ``config.json`` holds; errors as above."""
    return _checked(ScoreSettings, data, Source("config.json", data=data))


def dump_toml(settings: BaseModel) -> str:
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


def _parsed(
    schema: type[AnySettings],
    text: str,
    source: str,
    options: Mapping[str, Any] | None,
    overrides: Sequence[str],
) -> AnySettings:
    """Return a text's settings, with options and overrides on top."""
    data = tables(text, source)
    placed = {}
    for key, value in (options or {}).items():
        if value is not None:
            _put(data, key, value)
    for option in overrides:
        placed[override(data, option)] = option
    return _checked(schema, data, Source(source, text, placed, data))


def _checked(schema: type[AnySettings], data: Mapping[str, Any], source: Source) -> AnySettings:
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        refuse(explain(error, data, schema), source)
        raise  # not reached: a validation error has at least one problem


def _put(data: dict[str, Any], key: str, value: Any) -> None:
    *above, last = key.split(".")
    here = data
    for part in above:
        here = here.setdefault(part, {})
        if not isinstance(here, dict):
            raise ConfigError(f"Expected a table [{part}], got {here!r}. Write it as a table.")
    here[last] = value


Placed = TypeVar("Placed", TrainSettings, ScoreSettings)


def _absolute(settings: Placed, folder: Path) -> Placed:
    data = settings.data.model_copy(
        update={
            "path": _at(folder, settings.data.path),
            "test": _at(folder, settings.data.test),
        }
    )
    privacy = settings.privacy.model_copy(update={"account": _at(folder, settings.privacy.account)})
    return settings.model_copy(update={"data": data, "privacy": privacy})


def _at(folder: Path, path: str | None) -> str | None:
    return None if path is None else str((folder / path).resolve())


def _source(folder: Path, source: str | None) -> str | None:
    """Return a path made absolute, and a set's name as it is."""
    if source is None or not is_path(source, folder):
        return source
    return _at(folder, source)


def is_path(source: str, folder: Path | None = None) -> bool:
    """Return whether ``source`` names a file or folder, and not a data set."""
    path = Path(source)
    there = path if folder is None else folder / path
    return there.exists() or bool(path.suffix) or len(path.parts) > 1


def _toml(value: Any) -> str:
    """Return one value in TOML; JSON's texts, numbers and lists are TOML's too."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
