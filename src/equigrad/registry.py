"""Explicit registries: a strategy is found by the name it was registered under, and by no other.

A family keeps one :class:`Registry`; each strategy's module adds itself by a decorator, and the
family's ``__init__`` imports its modules by name. Nothing is discovered by scanning.
"""

import difflib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from equigrad.errors import RegistryError

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Names of one family of strategies.

    Parameters
    ----------
    family
        What the entries are, in words; used in error messages ("contribution rule").
    """

    def __init__(self, family: str) -> None:
        self.family = family
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers its object under ``name``; a second one is refused."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise RegistryError(f"The {self.family} {name!r} is registered already.")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        """Return the entry ``name``; an unknown name lists the known ones and the nearest."""
        try:
            return self._entries[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._entries, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise RegistryError(
                f"Unknown {self.family} {name!r}; expected one of {', '.join(self.names())}.{hint}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self._entries)

    def names(self) -> list[str]:
        """Return the registered names, sorted."""
        return sorted(self._entries)
