"""Reading a run file: TOML in, a checked configuration out, or one clear list of problems.

A file has a kind. What the keys mean is in :mod:`equigrad.federation.config.schema`,
:mod:`equigrad.federation.vertical.config.schema` and
:mod:`equigrad.federation.trade.config.schema`; whether the strategies it names exist is asked in
the modules ``check`` beside them.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from equigrad.errors import ConfigError
from equigrad.federation.config.check import check_config
from equigrad.federation.config.explain import explain, show
from equigrad.federation.config.locate import Path
from equigrad.federation.config.problems import Problem, Source, refuse
from equigrad.federation.config.schema import DataConfig, RunConfig
from equigrad.federation.trade.config.check import check_market
from equigrad.federation.trade.config.places import with_places
from equigrad.federation.trade.config.schema import MarketConfig
from equigrad.federation.vertical.config.check import absolute, check_vertical
from equigrad.federation.vertical.config.schema import VerticalConfig

__all__ = [
    "AnyConfig",
    "dump_config",
    "horizontal",
    "load_config",
    "override",
    "parse_config",
    "read_text",
    "restore_config",
    "tables",
]

AnyConfig = RunConfig | VerticalConfig | MarketConfig

_SCHEMAS: dict[str, type[AnyConfig]] = {
    "horizontal": RunConfig,
    "vertical": VerticalConfig,
    "market": MarketConfig,
}

_TOML_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


def load_config(path: FilePath, overrides: Sequence[str] = ()) -> AnyConfig:
    """Read and check a run file.

    Parameters
    ----------
    path
        A TOML file.
    overrides
        Settings put on top of the file, each ``key=value`` with a dotted key and a TOML value.

    Returns
    -------
    RunConfig, VerticalConfig or MarketConfig
        By its `kind`; a file with a table [market] and no `kind` is of kind "market". Relative
        paths of files are taken from the run file's folder and made absolute, so that the run can
        be resumed from anywhere.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not TOML, or anything in it is wrong. The message has one
        line for each problem (at most ten): file, line, key, expected, got.
    """
    config = parse_config(read_text(path), str(path), overrides)
    folder = path.absolute().parent
    if isinstance(config, VerticalConfig):
        return absolute(config, folder)
    config = config.model_copy(update={"data": _absolute(config.data, folder)})
    return with_places(config, folder) if isinstance(config, MarketConfig) else config


def _absolute(data: DataConfig, folder: FilePath) -> DataConfig:
    """Return ``data`` with its own files' paths taken from ``folder``."""
    if data.path is None:
        return data
    options = dict(data.options)
    if isinstance(options.get("test"), str):
        options["test"] = str((folder / options["test"]).resolve())
    path = str((folder / data.path).resolve())
    return data.model_copy(update={"path": path, "options": options})


def read_text(path: FilePath) -> str:
    """Return the text of a run file, or raise ``ConfigError`` saying why it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"Expected a run file, got no file {path}. Write one with `equigrad init {path}`."
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: Expected UTF-8 text, got byte 0x{error.object[error.start]:02x} at position "
            f"{error.start}. Save the file as UTF-8."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"Expected a run file that can be read, got {path}: {error.strerror}. "
            "Check the path and its permissions."
        ) from None


def parse_config(
    text: str, source: str = "configuration", overrides: Sequence[str] = ()
) -> AnyConfig:
    """Read and check the text of a run file; ``source`` is what messages call it.

    Raises
    ------
    ConfigError
        As :func:`load_config`.
    """
    data = tables(text, source)
    placed = {override(data, option): option for option in overrides}
    origin = Source(source, text, placed, data)
    config = _validated(data, origin)
    if isinstance(config, VerticalConfig):
        check_vertical(config, origin)
    elif isinstance(config, MarketConfig):
        check_market(config, origin)
    else:
        check_config(config, origin)
    return config


def horizontal(config: AnyConfig) -> RunConfig:
    """Return the configuration if its kind is horizontal.

    Raises
    ------
    ConfigError
        If it is of another kind, for what only horizontal runs have.
    """
    if isinstance(config, RunConfig):
        return config
    raise ConfigError(
        f'Expected a run file of kind "horizontal" here, got "{config.kind}". This is for '
        "consortia whose parties have other records of the same columns and are rewarded in models."
    )


def _validated(data: Mapping[str, Any], origin: Source) -> AnyConfig:
    kind = data.get("kind", "market" if "market" in data else "horizontal")
    if kind == "horizontal" and "market" in data:
        text = (
            'Expected kind = "market" beside a table [market], got "horizontal". Change the kind, '
            "or remove [market]."
        )
        refuse([Problem(("kind",), text)], origin)
    schema = _SCHEMAS.get(kind) if isinstance(kind, str) else None
    if schema is None:
        near = difflib.get_close_matches(str(kind), _SCHEMAS, n=1)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        known = " or ".join(f'"{name}"' for name in _SCHEMAS)
        text = f"Expected kind to be {known}, got {show(kind)}.{hint}"
        refuse([Problem(("kind",), text)], origin)
        raise ConfigError(text)  # not reached: a problem was refused
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        refuse(explain(error, data, schema), origin)
        raise  # not reached: a validation error has at least one problem


def dump_config(config: AnyConfig) -> dict[str, Any]:
    """Return the resolved configuration as plain JSON data; infinity is written as "inf"."""
    return config.model_dump()


def restore_config(data: Mapping[str, Any]) -> AnyConfig:
    """Return the configuration that :func:`dump_config` wrote.

    Raises
    ------
    ConfigError
        If it is none.
    """
    return _validated(data, Source("config.json", data=data))


def tables(text: str, source: str) -> dict[str, Any]:
    """Return the tables of a TOML text, or raise ``ConfigError`` naming line and column."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = _TOML_PLACE.search(message)
        line, column = (place.group(1), place.group(2)) if place else (None, None)
        if line is None:
            last = text.count("\n") + 1
            line, column = str(last), str(len(text) - text.rfind("\n"))
        reason = _TOML_PLACE.sub("", message)
        raise ConfigError(
            f"{source}, line {line}, column {column}: Expected TOML, got a mistake: {reason}. "
            "Correct this line, or one shortly before it."
        ) from None


def override(data: dict[str, Any], option: str) -> Path:
    """Put ``key=value`` into ``data`` and return the path of the key.

    Raises
    ------
    ConfigError
        If ``option`` has no such form, or leads through something that is no table.
    """
    key, sign, value = option.partition("=")
    if not sign or not key.strip():
        raise ConfigError(
            f"Expected --set KEY=VALUE, got --set {option}. Write for example --set rounds=10."
        )
    path: list[str | int] = []
    here: Any = data
    for part in key.strip().split("."):
        here, step = _enter(here, part, option)
        path.append(step)
    parent: Any = data
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = _toml_value(value.strip())
    return tuple(path)


def _enter(here: Any, part: str, option: str) -> tuple[Any, str | int]:
    """Return the table or value ``part`` of ``here`` and its step; a missing table is made."""
    if isinstance(here, list):
        names = [e.get("name") if isinstance(e, dict) else None for e in here]
        index = names.index(part) if part in names else int(part) if part.isdecimal() else -1
        if not 0 <= index < len(here):
            known = ", ".join(str(n) for n in names)
            near = difflib.get_close_matches(part, [n for n in names if isinstance(n, str)], n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"--set {option}: Expected one of {known}, got {part!r}.{hint}")
        return here[index], index
    if not isinstance(here, dict):
        raise ConfigError(
            f"--set {option}: Expected a table before .{part}, got {here!r}. Shorten the key."
        )
    return here.setdefault(part, {}), part


def _toml_value(text: str) -> Any:
    """Return the TOML value of ``text``; what is none is taken as a string without quotes."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text
