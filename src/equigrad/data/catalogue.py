"""Data sets by name: what there is, where it lies, and loading one.

The sets register themselves in :mod:`~equigrad.data.bundled`, :mod:`~equigrad.data.tables`,
:mod:`~equigrad.data.images` and :mod:`~equigrad.data.text`. A user's own files are read by
:mod:`equigrad.data.own` instead.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from equigrad.data import bundled, images, tables, text
from equigrad.data.dataset import Split
from equigrad.data.files import Store
from equigrad.data.info import SETS, Request, SetInfo
from equigrad.data.manifest import FILES
from equigrad.errors import ConfigError

__all__ = ["FAMILIES", "CatalogueEntry", "catalogue", "load"]

#: The modules whose import fills the registry.
FAMILIES = (bundled, tables, images, text)


@dataclass(frozen=True)
class CatalogueEntry:
    """A set's descriptor and where it is found: "bundled", a folder's path, or "not here"."""

    info: SetInfo
    found: str


def catalogue(store: Store | None = None) -> list[CatalogueEntry]:
    """Return all sets by name, in alphabetical order; no data is read.

    Parameters
    ----------
    store
        Where to look; None for what the environment describes.
    """
    store = Store.from_environment() if store is None else store
    return [CatalogueEntry(SETS[name].info, _found(SETS[name].info, store)) for name in SETS]


def _found(info: SetInfo, store: Store) -> str:
    if not info.files:
        return "bundled"
    paths = [store.find(FILES[path]) for path in info.files]
    if any(path is None for path in paths):
        return "not here"
    return str(paths[0].parent) if paths[0] is not None else "not here"


def load(
    name: str,
    *,
    seed: int = 0,
    test_fraction: float | None = None,
    store: Store | None = None,
    **options: Any,
) -> Split:
    """Load a data set by name.

    Parameters
    ----------
    name
        A name of :func:`catalogue`.
    seed
        Decides the split of a set without an official test part; the same seed gives the same
        split on every machine.
    test_fraction
        Share for testing, in (0, 1); None for the set's default (0.2; 0.1 for movie_reviews).
        Sets with an official test part accept None only.
    store
        Where files come from; None for what the environment describes.
    **options
        The set's own options; see its class.

    Raises
    ------
    RegistryError
        If there is no such set.
    ConfigError
        If an option is unknown or impossible.
    DataError
        If a file is missing, cannot be fetched, or is not what it should be.
    """
    source = SETS[name]
    unknown = sorted(set(options) - set(source.options))
    if unknown:
        raise ConfigError(
            f"Expected options of the data set {name!r} among {', '.join(source.options)}; got "
            f"{', '.join(unknown)}. Remove or rename it."
        )
    request = Request(
        Store.from_environment() if store is None else store,
        np.random.default_rng(seed),
        test_fraction,
        options,
    )
    return source.load(request)
