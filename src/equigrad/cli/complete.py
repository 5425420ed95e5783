"""Shell completion of values: names of data sets, strategies and run folders."""

from pathlib import Path

__all__ = [
    "auctions",
    "local_mechanisms",
    "partition_rules",
    "run_folders",
    "run_sources",
    "scorers",
    "selectors",
    "trainable",
]


def run_folders(incomplete: str) -> list[str]:
    """Return the run folders below the working folder that begin with ``incomplete``."""
    found = {
        path.parent for pattern in ("*", "*/*") for path in Path().glob(f"{pattern}/config.json")
    }
    return sorted(str(p) for p in found if str(p).startswith(incomplete))


def run_sources(incomplete: str) -> list[str]:
    """Return data set names and files of data or runs that begin with ``incomplete``."""
    from equigrad.data import SETS

    kinds = {".toml", ".csv", ".parquet", ".npz"}
    files = [str(p) for p in Path().glob(f"{incomplete}*") if p.is_dir() or p.suffix in kinds]
    return [name for name in SETS if name.startswith(incomplete)] + sorted(files)


def partition_rules(incomplete: str) -> list[str]:
    """Return the partition rules that begin with ``incomplete``."""
    from equigrad.data import PARTITIONS

    return [name for name in PARTITIONS if name.startswith(incomplete)]


def scorers(incomplete: str) -> list[str]:
    """Return the scorers that begin with ``incomplete``."""
    from equigrad.valuation import SCORERS

    return [name for name in SCORERS if name.startswith(incomplete)]


def selectors(incomplete: str) -> list[str]:
    """Return the selectors that begin with ``incomplete``."""
    from equigrad.valuation.select import SELECTORS

    return [name for name in SELECTORS if name.startswith(incomplete)]


def auctions(incomplete: str) -> list[str]:
    """Return the auctions that begin with ``incomplete``."""
    from equigrad.market import AUCTIONS

    return [name for name in AUCTIONS if name.startswith(incomplete)]


def trainable(incomplete: str) -> list[str]:
    """Return the auctions that can be trained and begin with ``incomplete``."""
    from equigrad.broker.trained import TRAINABLE

    return [name for name in TRAINABLE if name.startswith(incomplete)]


def local_mechanisms(incomplete: str) -> list[str]:
    """Return the local mechanisms that begin with ``incomplete``."""
    from equigrad.market.local import LOCAL_MECHANISMS

    return [name for name in LOCAL_MECHANISMS if name.startswith(incomplete)]
