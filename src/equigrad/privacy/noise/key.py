"""The source of all randomness of a private run: a secret key and addressed streams of bits.

AES-256 in counter mode turns a key and an address (step, attempt, stream, index) into bits. Equal
addresses give equal bits, so any step can be replayed; different addresses never share a block,
so the streams never overlap. What is made of the bits is in the neighbouring modules.
"""

import hashlib
import os
import threading
from typing import NoReturn

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from equigrad._validate import choice, in_range, positive_int
from equigrad.errors import ConfigError, PrivacyError

__all__ = ["STREAMS", "KeyStream", "NoiseKey"]

STREAMS = {
    "sample": 0,
    "gradient": 1,
    "counts": 2,
    "evaluation": 3,
    "release": 4,
    "canaries": 5,
    "data": 6,
    "selection": 7,
}
"""Names of the streams and their numbers in the nonce; a number is never given to another name."""

KEY_BYTES = 32
_CHUNK = 1 << 17
_ZEROS = bytes(_CHUNK)
_AES_BLOCK = 16
_CLAIMED: set[str] = set()  # fingerprints of the private keys that serve a run of this process
_CLAIMING = threading.Lock()


class KeyStream:
    """The bits at one address, in order; made by :meth:`NoiseKey.stream`.

    It keeps its place, serves one reader and is not safe to share between threads.
    """

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._encryptor = Cipher(algorithms.AES(key), modes.CTR(nonce)).encryptor()
        self._spare = np.empty(0, dtype=np.uint8)

    def restart(self, nonce: bytes) -> None:
        """Go on with the bits at another address of the key."""
        self._encryptor.reset_nonce(nonce)

    def read(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        """Return the next bytes, at most 131,072, in a buffer that the next call overwrites."""
        if not 0 <= n_bytes <= _CHUNK:
            raise ConfigError(f"Expected to read 0 to {_CHUNK} bytes at once, got {n_bytes}.")
        if self._spare.size < n_bytes + _AES_BLOCK:  # the cipher asks for one block more
            self._spare = np.empty(n_bytes + _AES_BLOCK, dtype=np.uint8)
        self._encryptor.update_into(memoryview(_ZEROS)[:n_bytes], self._spare.data)
        return self._spare[:n_bytes]


class NoiseKey:
    """A 256-bit key; private if it came from the operating system, reproducible if from a seed.

    A private run uses :meth:`secret` and takes no seed. A test run uses :meth:`test`, whose key
    anyone can compute from the seed: nothing drawn from it protects anybody, and every epsilon of
    such a run must say "not private: seeded noise" (:attr:`private` is False). The code behind
    both is the same.

    Whoever holds the key can take the noise off again. So it is kept in the private account until
    its run ends, is never part of a record, is not shown by ``repr`` and cannot be pickled.

    A private key serves one run (:meth:`claim`), and one address must never serve two different
    sums: the difference of the two outputs would be the difference of the sums. A step that is
    computed again on other inputs needs another ``attempt`` and must be charged again.
    """

    _key: bytearray
    _private: bool
    _destroyed: bool
    _words: KeyStream | None  # serves one call of `words` after another: a new cipher is dear
    _reading: threading.Lock

    def __init__(self, *parts: object, **named: object) -> None:
        del parts, named
        raise ConfigError(
            "Expected a key from NoiseKey.secret(), or from NoiseKey.test(seed) for a run that is "
            "not private, got one made by hand. Bytes of one's own choice hide nothing."
        )

    @classmethod
    def _of(cls, key: bytes, *, private: bool) -> "NoiseKey":
        """Return the key of these 32 bytes."""
        made = cls.__new__(cls)
        made._key, made._private = bytearray(key), private
        made._destroyed = False
        made._words, made._reading = None, threading.Lock()
        return made

    @classmethod
    def secret(cls) -> "NoiseKey":
        """Return a new key from the operating system's generator."""
        return cls._of(os.urandom(KEY_BYTES), private=True)

    @classmethod
    def test(cls, seed: int) -> "NoiseKey":
        """Return the key that belongs to a seed, a whole number >= 0; it is not private."""
        positive_int("seed", seed, least=0)
        return cls._of(hashlib.sha256(f"equigrad test key {seed}".encode()).digest(), private=False)

    @classmethod
    def from_bytes(cls, data: bytes) -> "NoiseKey":
        """Return the key that :meth:`to_bytes` wrote."""
        if len(data) != KEY_BYTES + 1 or data[0] not in (0, 1):
            raise ConfigError(
                f"Expected {KEY_BYTES + 1} bytes that NoiseKey.to_bytes() wrote, got {len(data)} "
                "bytes of another form."
            )
        return cls._of(data[1:], private=bool(data[0]))

    def to_bytes(self) -> bytes:
        """Return the key itself (33 bytes), for the private account and for nothing else."""
        return bytes([self._private]) + bytes(self._living())

    @property
    def private(self) -> bool:
        """True if the key came from the operating system's generator."""
        return self._private

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits that tell keys apart and say nothing about them."""
        return hashlib.sha256(b"equigrad fingerprint" + bytes(self._living())).hexdigest()[:32]

    def destroy(self) -> None:
        """Overwrite the key; it cannot be used any more.

        Copies that Python or the cipher made in memory may live until the process ends.
        """
        with self._reading:
            self._key[:] = bytes(KEY_BYTES)
            self._words = None
            self._destroyed = True

    @property
    def claimed(self) -> bool:
        """True if the key is private and serves a run of this process already."""
        with _CLAIMING:
            return self.private and self.fingerprint in _CLAIMED

    def claim(self, *, again: bool = False) -> None:
        """Take a private key for one run (or sampler) of this process; a second one is refused.

        A key that was copied to another process cannot be known there. A test key protects
        nothing and may serve any number of runs.

        Parameters
        ----------
        again
            The same run goes on, from its saved state.

        Raises
        ------
        PrivacyError
            If the key, or a copy of it, serves a run already: one noise on two sums would show
            their difference.
        """
        if not self.private:
            return
        with _CLAIMING:
            if self.fingerprint in _CLAIMED and not again:
                raise PrivacyError(
                    "Expected a noise key that has served no run, got one that has. One key on two "
                    "runs shows the difference of their sums: take NoiseKey.secret() for each."
                )
            _CLAIMED.add(self.fingerprint)

    def stream(self, step: int, stream: str, index: int = 0, attempt: int = 0) -> KeyStream:
        """Return the stream of bits at an address.

        Parameters
        ----------
        step
            Number of the step, in [0, 2^40).
        stream
            One of :data:`STREAMS`: what the bits are for.
        index
            Number of the tensor within the step, in [0, 2^24).
        attempt
            Number of the try at this step, in [0, 256); see the class.

        Raises
        ------
        ConfigError
            If a part is out of its range, or the key was destroyed.
        """
        return KeyStream(bytes(self._living()), _nonce(step, stream, index, attempt))

    def words(
        self, step: int, stream: str, count: int, index: int = 0, attempt: int = 0
    ) -> npt.NDArray[np.uint64]:
        """Return the first ``count`` 64-bit words ``(count,) uint64`` at an address."""
        nonce = _nonce(step, stream, index, attempt)
        words = np.empty(positive_int("count", count, least=0), dtype=np.uint64)
        view = words.view(np.uint8)
        with self._reading:
            if self._words is None:
                self._words = KeyStream(bytes(self._living()), nonce)
            self._words.restart(nonce)
            for start in range(0, view.size, _CHUNK):
                part = view[start : start + _CHUNK]
                part[:] = self._words.read(part.size)
        return words if np.little_endian else words.byteswap()

    def uniform(
        self, step: int, stream: str, count: int, index: int = 0, attempt: int = 0
    ) -> npt.NDArray[np.float64]:
        """Return ``(count,) float64`` uniform on the multiples of 2^-53 in [0, 1)."""
        words = self.words(step, stream, count, index, attempt)
        words >>= np.uint64(11)
        return words.astype(np.float64) * np.float64(2.0**-53)

    def coins(
        self, step: int, stream: str, probability: float, count: int, attempt: int = 0
    ) -> npt.NDArray[np.bool_]:
        """Return ``(count,) bool``, each True with ``probability``, at most 2^-64 less.

        This is the Poisson sample of a step: row i takes part if coin i is True.
        """
        in_range("probability", probability, 0, 1)
        words = self.words(step, stream, count, 0, attempt)
        if probability == 1:
            return np.ones(count, dtype=np.bool_)
        return words < np.uint64(int(probability * 2**64))

    def _living(self) -> bytearray:
        if self._destroyed:
            raise ConfigError("Expected a living noise key, got a destroyed one. Make a new key.")
        return self._key

    def __repr__(self) -> str:
        return f"NoiseKey({'private' if self._private else 'not private: seeded noise'})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("Expected no pickling of a noise key; keep to_bytes() in a private place.")


def _nonce(step: int, stream: str, index: int, attempt: int) -> bytes:
    """Return the 16 bytes that the cipher starts counting from at an address.

    5 + 1 + 1 + 3 bytes of address leave 6 bytes for the block counter: 2^52 bytes a stream.
    """
    choice("stream", stream, STREAMS)
    start = _part("step", step, 5) + _part("attempt", attempt, 1)
    return start + bytes([STREAMS[stream]]) + _part("index", index, 3) + bytes(6)


def _part(name: str, value: int, size: int) -> bytes:
    """Return one part of the nonce in big-endian order."""
    if positive_int(name, value, least=0) >= 1 << 8 * size:
        raise ConfigError(f"Expected {name} < 2^{8 * size}, got {name}={value}.")
    return int(value).to_bytes(size, "big")
