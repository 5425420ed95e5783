"""Fetching one file over HTTP: checked, atomic, retried.

Only :mod:`equigrad.data.files` calls this room. Pooch does the transfer: it writes to a temporary
file beside the target and moves it there only after the SHA-256 agreed, so nothing half-done is
ever left in the cache.
"""

import csv
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pooch
import requests

from equigrad.errors import DownloadError

if TYPE_CHECKING:
    from equigrad.data.files import DataFile, Home, Store

__all__ = ["fetch"]


def fetch(file: "DataFile", set_name: str, store: "Store") -> Path:
    """Download ``file`` into the store's cache and return its path.

    The mirror is asked first, then the file's home. Each address is tried ``store.attempts``
    times.

    Raises
    ------
    DownloadError
        If no address serves the right bytes. Nothing is left in the cache.
    """
    failures: list[str] = []
    for home in _addresses(file, store):
        target = file.path if home.convert is None else file.plain_path
        digest = file.sha256 if home.convert is None else file.plain_sha256
        try:
            return _retrieve(home, store.cache / target, digest, store)
        except (requests.RequestException, ValueError, OSError) as error:
            failures.append(f"{home.url} ({_reason(error)})")
    raise DownloadError(_message(file, set_name, store, failures))


def _addresses(file: "DataFile", store: "Store") -> "Iterator[Home]":
    from equigrad.data.files import Home

    if store.mirror:
        yield Home(f"{store.mirror}/{file.path}")
    if file.home is not None:
        yield file.home


def _retrieve(home: "Home", target: Path, digest: str, store: "Store") -> Path:
    """Download one address to ``target``, which appears only if its SHA-256 is ``digest``."""
    with _quiet():
        manager = pooch.create(
            path=target.parent,
            base_url="",
            registry={target.name: f"sha256:{digest}"},
            urls={target.name: home.url},
            retry_if_failed=store.attempts - 1,
        )
        return Path(manager.fetch(target.name, downloader=_downloader(home, store.timeout)))


def _downloader(home: "Home", timeout: float) -> Callable[[str, str, Any], None]:
    """Return Pooch's HTTP downloader, followed by the home's conversion if it has one."""
    transfer = pooch.HTTPDownloader(timeout=timeout)
    if home.convert is None:
        return transfer  # type: ignore[no-any-return]  # pooch is not typed
    convert = home.convert

    def transfer_and_convert(url: str, output_file: str, manager: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            raw = Path(folder) / "raw"
            transfer(url, str(raw), manager)
            try:
                Path(output_file).write_bytes(convert(raw.read_bytes()))
            except (IndexError, csv.Error) as error:
                raise ValueError(f"not the published table: {error}") from error

    return transfer_and_convert


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Pooch's progress messages off the terminal: a library prints nothing."""
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _reason(error: Exception) -> str:
    """Return what went wrong on one line; for a failed connection the innermost cause."""
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    return " ".join(str(cause or error).split())


def _message(file: "DataFile", set_name: str, store: "Store", failures: list[str]) -> str:
    looked = ", ".join(str(place / file.path) for place in store.places())
    tried = f"tried {'; '.join(failures)}" if failures else "no address serves it"
    origin = f" It comes from {file.source}." if file.source else ""
    return (
        f"Expected the file {file.path} of the set {set_name!r} (SHA-256 {file.sha256}), got none: "
        f"looked in {looked}; {tried}.{origin} Put the file at "
        f"$EQUIGRAD_DATA/{file.path} and set EQUIGRAD_DATA, or set EQUIGRAD_DATA_URL to a mirror."
    )
