"""An upload: what a party sends after protection, and its bytes.

A frame is eight bytes of magic, the length of a JSON header (four bytes, big-endian), the header
and the raw numbers, little-endian. Equal uploads have equal bytes. Neighbours: mechanisms make and
check uploads; the privacy account stores their bytes.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from equigrad.errors import UploadError

__all__ = ["Upload"]

_MAGIC: Final = b"EQGUPL01"
_DTYPES: Final = ("<f8", "<f4", "<i8")
_FIELDS: Final = ("mechanism", "form", "epsilon", "bound", "dim", "count", "dtype", "sparse")


@dataclass(frozen=True, eq=False)
class Upload:
    """A protected gradient and, in public, how it was protected.

    Attributes
    ----------
    mechanism, form
        Name of the mechanism, and of the form of its numbers (``"float64"``, ``"float32"``,
        ``"lattice"``).
    epsilon, bound, dim
        Epsilon of this upload, the mechanism's clipping bound, coordinates of the model.
    values
        ``(count,)`` float64, float32 or int64: all coordinates, or those at ``places``.
    places
        ``(count,) uint32``, or None if all coordinates are there.
    """

    mechanism: str
    form: str
    epsilon: float
    bound: float
    dim: int
    values: npt.NDArray[Any]
    places: npt.NDArray[np.uint32] | None = None

    def to_bytes(self) -> bytes:
        """Return the frame."""
        dtype = self.values.dtype.newbyteorder("<").str
        header = {
            "mechanism": self.mechanism,
            "form": self.form,
            "epsilon": float(self.epsilon).hex(),
            "bound": float(self.bound).hex(),
            "dim": int(self.dim),
            "count": int(self.values.size),
            "dtype": dtype,
            "sparse": self.places is not None,
        }
        text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
        body = self.values.astype(dtype).tobytes()
        if self.places is not None:
            body += self.places.astype("<u4").tobytes()
        return _MAGIC + len(text).to_bytes(4, "big") + text + body

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Return the upload of a frame; its numbers are not judged here.

        Raises
        ------
        UploadError
            If the bytes are not such a frame, or not all of one.
        """
        start = len(_MAGIC) + 4
        if content[: len(_MAGIC)] != _MAGIC or len(content) < start:
            raise UploadError(f"Expected the bytes of an upload, got {len(content)} others.")
        end = start + int.from_bytes(content[len(_MAGIC) : start], "big")
        header = _header(content[start:end])
        width, count = np.dtype(header["dtype"]).itemsize, header["count"]
        want = end + count * (width + 4 * header["sparse"])
        if len(content) != want:
            raise UploadError(f"Expected an upload of {want} bytes, got {len(content)}.")
        values = np.frombuffer(content, dtype=header["dtype"], count=count, offset=end)
        places = None
        if header["sparse"]:
            places = np.frombuffer(content, dtype="<u4", count=count, offset=end + count * width)
        return cls(
            header["mechanism"],
            header["form"],
            header["epsilon"],
            header["bound"],
            header["dim"],
            values,
            places,
        )

    def digest(self) -> str:
        """Return the SHA-256 of the frame, in hexadecimal digits."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def _header(text: bytes) -> dict[str, Any]:
    """Return the fields of a header, each of its type."""
    try:
        header: dict[str, Any] = json.loads(text)
        found = {name: header[name] for name in _FIELDS}
        found["epsilon"], found["bound"] = (float.fromhex(found[n]) for n in ("epsilon", "bound"))
        whole = all(type(found[n]) is int and found[n] >= 0 for n in ("dim", "count"))
        words = all(type(found[n]) is str for n in ("mechanism", "form"))
        good = whole and words and type(found["sparse"]) is bool and len(header) == len(found)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UploadError(f"Expected the header of an upload, got another ({error}).") from error
    if not good or found["dtype"] not in _DTYPES:
        raise UploadError(f"Expected the header of an upload, got {header!r}.")
    return found
