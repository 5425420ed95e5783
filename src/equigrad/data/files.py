"""Where a data file is: the user's data folder, then the cache, then the network.

:class:`Store` answers for the loaders of this room. What files there are stands in
:mod:`equigrad.data.manifest`; how one is fetched in :mod:`equigrad.data.download`.
"""

import gzip
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pooch

from equigrad.errors import ConfigError, DataError

__all__ = ["DataFile", "Home", "Store", "gunzip_sha256", "sha256"]


@dataclass(frozen=True)
class Home:
    """Where the public serves a file, and how its bytes become ours.

    Parameters
    ----------
    url
        Address of the published bytes.
    convert
        Turns the published bytes into the file's plain (decompressed) content; None where the
        published bytes are the packed file itself.
    """

    url: str
    convert: Callable[[bytes], bytes] | None = None


@dataclass(frozen=True)
class DataFile:
    """One file of a data set and how to know it.

    Parameters
    ----------
    path
        Relative path in the data folder and in the cache (``adult/adult_train.csv.gz``).
    sha256
        SHA-256 of the packed file.
    plain_sha256
        SHA-256 of the decompressed content, for ``.csv.gz`` files: gzip bytes depend on who
        packed them, the content does not. Empty where only the packed file is accepted.
    home
        Where the public serves it; None where no address serves these bytes.
    source
        In words, where the file comes from.
    """

    path: str
    sha256: str
    plain_sha256: str = ""
    home: Home | None = None
    source: str = ""

    @property
    def plain_path(self) -> str:
        """The relative path of the decompressed form."""
        return self.path.removesuffix(".gz")

    def forms(self) -> tuple[str, ...]:
        """Return the relative paths under which the file is recognised."""
        return (self.path, self.plain_path) if self.plain_sha256 else (self.path,)


class Store:
    """Finds data files and checks that they are what they should be.

    Looks in ``folder``, then in ``cache``, then downloads into ``cache``. Every file is checked
    by its SHA-256 the first time this store hands it out. A wrong file in ``folder`` is an error
    (somebody put it there); a wrong file in ``cache`` is fetched again.

    Parameters
    ----------
    folder
        A folder laid out as the files' relative paths; None for no such folder.
    cache
        Where downloads are kept.
    mirror
        Base address that serves the same layout, asked before a file's home; empty for none.
    timeout
        Seconds without an answer after which a download attempt is given up.
    attempts
        How often each address is tried.
    """

    def __init__(
        self,
        folder: Path | None,
        cache: Path,
        *,
        mirror: str = "",
        timeout: float = 30.0,
        attempts: int = 3,
    ) -> None:
        self.folder = folder
        self.cache = cache
        self.mirror = mirror.rstrip("/")
        self.timeout = timeout
        self.attempts = attempts
        self._checked: set[Path] = set()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "Store":
        """Return the store that the environment describes.

        ``EQUIGRAD_DATA`` is the folder, ``EQUIGRAD_CACHE`` the cache (by default the operating
        system's cache folder for ``equigrad``), ``EQUIGRAD_DATA_URL`` the mirror.

        Raises
        ------
        ConfigError
            If the mirror is no http or https address.
        """
        env = os.environ if environ is None else environ
        folder = env.get("EQUIGRAD_DATA")
        mirror = env.get("EQUIGRAD_DATA_URL", "")
        if mirror and not mirror.lower().startswith(("http://", "https://")):
            raise ConfigError(
                "Expected EQUIGRAD_DATA_URL to begin with http:// or https://, got "
                f"{mirror!r}. Correct it, or unset it."
            )
        cache = env.get("EQUIGRAD_CACHE") or str(pooch.os_cache("equigrad"))
        return cls(
            Path(folder).expanduser() if folder else None,
            Path(cache).expanduser(),
            mirror=mirror,
        )

    def find(self, file: DataFile) -> Path | None:
        """Return where ``file`` lies now (unchecked), or None if it would have to be fetched."""
        for place in self.places():
            for form in file.forms():
                if (place / form).is_file():
                    return place / form
        return None

    def places(self) -> list[Path]:
        """Return the folders that are searched, in order."""
        return [self.cache] if self.folder is None else [self.folder, self.cache]

    def get(self, file: DataFile, set_name: str) -> Path:
        """Return the path of ``file``, checked; fetch it if it is not here.

        Raises
        ------
        DataError
            If the file in the data folder is not the one it should be.
        DownloadError
            If the file is not here and cannot be fetched; the message says where it was looked
            for and what to put where.
        """
        from equigrad.data.download import fetch

        found = self.find(file)
        if found is None:
            return self._remember(fetch(file, set_name, self))
        if found in self._checked or matches(found, file):
            return self._remember(found)
        if self.folder is not None and found.is_relative_to(self.folder):
            raise DataError(
                f"Expected {found} of the set {set_name!r} with SHA-256 {expected(found, file)}, "
                f"got {sha256(found)}. Replace it with the right file, or unset EQUIGRAD_DATA to "
                "let it be fetched."
            )
        found.unlink()
        return self.get(file, set_name)

    def _remember(self, path: Path) -> Path:
        self._checked.add(path)
        return path


def expected(path: Path, file: DataFile) -> str:
    """Return the SHA-256 that the file at ``path`` should have."""
    return file.sha256 if path.name == Path(file.path).name else file.plain_sha256


def matches(path: Path, file: DataFile) -> bool:
    """Tell whether the file at ``path`` is ``file``, packed by whomever, or plain."""
    if sha256(path) == expected(path, file):
        return True
    return (
        bool(file.plain_sha256)
        and path.suffix == ".gz"
        and gunzip_sha256(path) == (file.plain_sha256)
    )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def gunzip_sha256(path: Path) -> str:
    """Return the SHA-256 of a gzip file's content, or an empty string if it is not gzip."""
    try:
        with gzip.open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, EOFError, ValueError):
        return ""
