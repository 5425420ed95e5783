"""Private set intersection: the sponsor learns which of its rows a party holds, the party nothing.

Three messages, as bytes: the party's setup, the sponsor's request, the party's response. With
keyed digests alone a party sees the digests of all the sponsor's rows; here it sees, afterwards,
those of the common rows. Needs the extra ``psi`` (OpenMined's elliptic-curve protocol). The items
are the digests of ``digests``, so even a broken protocol would show no identifier.
"""

import importlib
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equigrad.data.alignment.digests import Digests
from equigrad.errors import AlignmentError, ConfigError

__all__ = ["PsiClient", "PsiServer", "require_psi"]

# A set-up in raw form has no false positives; the library asks for a rate all the same.
_RATE: Final = 1e-12
_KEY_BYTES: Final = 32


class PsiClient:
    """The sponsor's side of one intersection with one party.

    Parameters
    ----------
    digests
        ``(N, 32)``, the sponsor's rows.
    key
        32 secret bytes that go nowhere, or None for new ones; give those of :attr:`key` to go on
        after a stop.

    Raises
    ------
    ConfigError
        If the extra ``psi`` is not installed.
    """

    def __init__(self, digests: Digests, key: bytes | None = None) -> None:
        self._psi = _library()
        self._items = _items(digests)
        self._client = _made(self._psi.client, key)

    @property
    def key(self) -> bytes:
        """The secret of this side."""
        return bytes(self._client.GetPrivateKeyBytes())

    def request(self) -> bytes:
        """Return the request: each row's digest under this side's secret, about 35 bytes a row."""
        return bytes(self._client.CreateRequest(self._items).SerializeToString())

    def held(self, setup: bytes, response: bytes) -> npt.NDArray[np.bool_]:
        """Return ``(N,)``: which of the rows the party holds.

        Raises
        ------
        AlignmentError
            If a message is damaged, or answers another request.
        """
        parsed = _parsed(self._psi.Response, response, "response")
        if len(parsed.encrypted_elements) != len(self._items):
            raise AlignmentError(
                f"Expected a response about {len(self._items)} rows in the intersection, got one "
                f"about {len(parsed.encrypted_elements)}. Start the alignment again."
            )
        opened = _parsed(self._psi.ServerSetup, setup, "setup")
        try:
            found = self._client.GetIntersection(opened, parsed)
        except RuntimeError as error:
            raise AlignmentError(f"Expected a readable response, got: {error}.") from error
        held = np.zeros(len(self._items), dtype=np.bool_)
        held[np.asarray(found, dtype=np.int64)] = True
        return held


class PsiServer:
    """A party's side of one intersection with the sponsor.

    Parameters
    ----------
    digests
        ``(N, 32)``, the party's rows, at least one.
    key
        32 secret bytes that go nowhere, or None for new ones.

    Raises
    ------
    ConfigError
        If the extra ``psi`` is not installed.
    AlignmentError
        If there are no rows.
    """

    def __init__(self, digests: Digests, key: bytes | None = None) -> None:
        self._psi = _library()
        if not len(digests):
            raise AlignmentError("Expected rows to intersect with, got none.")
        self._items = _items(digests)
        self._server = _made(self._psi.server, key)

    @property
    def key(self) -> bytes:
        """The secret of this side."""
        return bytes(self._server.GetPrivateKeyBytes())

    def setup(self, n_requested: int) -> bytes:
        """Return the setup for a request of ``n_requested`` rows, about 35 bytes a row held.

        It is in raw form: no row is found that is not common.
        """
        raw = self._psi.DataStructure.RAW
        made = self._server.CreateSetupMessage(_RATE, n_requested, self._items, raw)
        return bytes(made.SerializeToString())

    def respond(self, request: bytes) -> bytes:
        """Return the response to a request, about 35 bytes a row asked.

        Raises
        ------
        AlignmentError
            If the request is damaged.
        """
        parsed = _parsed(self._psi.Request, request, "request")
        try:
            return bytes(self._server.ProcessRequest(parsed).SerializeToString())
        except RuntimeError as error:
            raise AlignmentError(f"Expected a readable request, got: {error}.") from error


def require_psi() -> None:
    """Raise ``ConfigError``, with the way to get it, if the extra ``psi`` is not installed."""
    _library()


def _library() -> ModuleType:
    try:
        return importlib.import_module("private_set_intersection.python")
    except ImportError as error:
        raise ConfigError(
            "Expected the extra 'psi' for private set intersection, got none installed. Install "
            "it with: pip install 'equigrad[psi]'; or choose method = \"hmac\"."
        ) from error


def _items(digests: Digests) -> list[str]:
    return [row.tobytes().hex() for row in digests]


def _made(side: Any, key: bytes | None) -> Any:
    if key is None:
        return side.CreateWithNewKey(True)
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"Expected a secret of {_KEY_BYTES} bytes, got {len(key)}.")
    return side.CreateFromKey(key, True)


def _parsed(kind: Any, message: bytes, what: str) -> Any:
    parsed = kind()
    try:
        parsed.ParseFromString(message)
    except Exception as error:  # the library's own root is no public name
        raise AlignmentError(
            f"Expected a readable {what} of the intersection, got {len(message)} bytes that are "
            "none. Start the alignment again."
        ) from error
    return parsed
