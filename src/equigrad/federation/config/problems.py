"""Problems of a run file, each said in one line: where, what was expected, what was got.

:mod:`equigrad.federation.config.loader` finds problems of form and
:mod:`equigrad.federation.config.check` those of meaning; both raise through :func:`refuse`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from equigrad.errors import ConfigError
from equigrad.federation.config.locate import Path, locate

__all__ = ["Problem", "Source", "key_path", "refuse"]

_SHOWN = 10


@dataclass(frozen=True)
class Problem:
    """One thing wrong at one key; ``text`` is a full sentence with the remedy."""

    path: Path
    text: str


@dataclass(frozen=True)
class Source:
    """Where a configuration came from.

    Parameters
    ----------
    name
        The file's name, as the user wrote it.
    text
        Its text; empty if there is none (a configuration made in Python).
    overrides
        Key paths set on the command line, with what was written there.
    data
        The parsed tables, to call an entry of a list by its name.
    """

    name: str = "configuration"
    text: str = ""
    overrides: Mapping[Path, str] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)

    def where(self, path: Path) -> str:
        """Return "FILE, line N" for a key path, or the option that set it."""
        for size in range(len(path), 0, -1):
            if path[:size] in self.overrides:
                return f"--set {self.overrides[path[:size]]}"
        for key, option in self.overrides.items():
            if path and key[: len(path)] == path and locate(self.text, path) is None:
                return f"--set {option}"
        line = locate(self.text, path) if self.text and path else None
        return self.name if line is None else f"{self.name}, line {line}"


def key_path(path: Path, data: Mapping[str, Any]) -> str:
    """Return a key path as the user would say it: ``party.north.label_noise``.

    An entry of a list of tables is called by its ``name``, or ``party[2]`` if it has none.
    """
    words = ""
    here: Any = data
    for part in path:
        here = _step(here, part)
        if isinstance(part, int):
            name = here.get("name") if isinstance(here, Mapping) else None
            words += f".{name}" if isinstance(name, str) else f"[{part}]"
        else:
            words += f".{part}" if words else part
    return words


def _step(here: Any, part: str | int) -> Any:
    try:
        return here[part]
    except (KeyError, IndexError, TypeError):
        return None


def refuse(problems: Iterable[Problem], source: Source) -> None:
    """Raise one ``ConfigError`` with a line for each problem; do nothing if there is none."""
    ordered = sorted(problems, key=lambda p: locate(source.text, p.path) or 0)
    lines = list(dict.fromkeys(f"{source.where(p.path)}: {p.text}" for p in ordered))
    if not lines:
        return
    if len(lines) > _SHOWN:
        lines = [*lines[:_SHOWN], f"... and {len(lines) - _SHOWN} more."]
    raise ConfigError("\n".join(lines))
