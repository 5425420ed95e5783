"""The Gram matrix of the uploads: all that the contribution rules need to know of them.

Products are accumulated in float64 over chunks of parameters, whatever the dtype of the uploads,
on the device the uploads lie on. The rules that read the matrix live beside this module.
"""

from collections.abc import Sequence
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch

from equigrad._blocks import block_bytes
from equigrad._validate import positive_int
from equigrad.contribution.base import Float64
from equigrad.errors import UploadError

__all__ = ["Uploads", "chunk_columns", "gram", "upload_shape"]

Uploads: TypeAlias = (
    npt.NDArray[np.floating] | torch.Tensor | Sequence[torch.Tensor | npt.NDArray[np.floating]]
)


def gram(uploads: Uploads, *, chunk: int = 65536) -> Float64:
    """Return ``C[i, j] = <u_i, u_j>``, accumulated in float64.

    Parameters
    ----------
    uploads
        ``(N, D)`` array or tensor, or a list of N flat arrays or tensors of equal length, of any
        real floating dtype.
    chunk
        Most parameters taken at a time. With many parties fewer are taken, so that one chunk
        (N x chunk float64) stays within :func:`~equigrad._blocks.block_bytes` (16 MiB at most).

    Returns
    -------
    ndarray
        ``(N, N) float64``, exactly symmetric, in main memory. Products of tensors are formed on
        their device. Another ``chunk`` changes entries by at most 1e-12 of
        ``sqrt(C_ii C_jj)``. Memory beyond the uploads: one chunk and a few N x N matrices.

    Raises
    ------
    UploadError
        If an upload has another length or a dtype that is not floating, or holds NaN or inf
        (or numbers so large that their squares overflow float64). The message names the party.
    """
    positive_int("chunk", chunk)
    n, size = upload_shape(uploads)
    step = max(1, min(chunk, block_bytes(4 * n * size) // (8 * max(n, 1))))
    total: torch.Tensor | None = None
    for start in range(0, size, step):
        block = chunk_columns(uploads, start, min(start + step, size))
        product = block @ block.T
        total = product if total is None else total.add_(product)
    if total is None:
        return np.zeros((n, n))
    C = cast(Float64, total.cpu().numpy())
    # a matrix product is symmetric only up to rounding
    C = np.triu(C) + np.triu(C, 1).T
    bad = np.flatnonzero(~np.isfinite(np.diagonal(C)))
    if bad.size:
        raise UploadError(
            f"Expected finite uploads, got NaN, inf or an overflowing square in upload {bad[0]}. "
            "Treat its party as absent."
        )
    return C


def upload_shape(uploads: Uploads) -> tuple[int, int]:
    """Return (number of uploads, parameters each) after checking lengths and dtypes."""
    if isinstance(uploads, np.ndarray | torch.Tensor):
        if uploads.ndim != 2:
            raise UploadError(f"Expected uploads of shape (N, D), got {tuple(uploads.shape)}.")
        _refuse_dtype(uploads, "the uploads")
        return int(uploads.shape[0]), int(uploads.shape[1])
    size = uploads[0].shape[0] if len(uploads) and uploads[0].ndim else 0
    for i, upload in enumerate(uploads):
        if tuple(upload.shape) != (size,):
            raise UploadError(
                f"Expected upload {i} to be flat with as many entries as upload 0 ({size}), got "
                f"shape {tuple(upload.shape)}. Treat its party as absent."
            )
        _refuse_dtype(upload, f"upload {i}")
    return len(uploads), size


def chunk_columns(uploads: Uploads, start: int, stop: int) -> torch.Tensor:
    """Return columns ``start:stop`` of the uploads as an ``(N, stop - start)`` float64 tensor.

    It lies on the device of the (first) upload and shares memory with float64 uploads.
    """
    if isinstance(uploads, np.ndarray | torch.Tensor):
        return _tensor(uploads[:, start:stop])
    first = uploads[0]
    device = first.device if isinstance(first, torch.Tensor) else None
    block = torch.empty((len(uploads), stop - start), dtype=torch.float64, device=device)
    for row, upload in zip(block, uploads, strict=True):
        part = upload[start:stop]
        row.copy_(part.detach() if isinstance(part, torch.Tensor) else _tensor(part))
    return block


def _tensor(part: npt.NDArray[np.floating] | torch.Tensor) -> torch.Tensor:
    """Return ``part`` as a float64 tensor, without a copy where it is one already."""
    if isinstance(part, torch.Tensor):
        return part.detach().to(torch.float64)
    array = np.asarray(part, dtype=np.float64)
    if not array.flags.writeable or min(array.strides) < 0:  # torch refuses to share these
        array = array.copy()
    return torch.from_numpy(array)


def _refuse_dtype(array: npt.NDArray[np.floating] | torch.Tensor, what: str) -> None:
    floating = (
        array.dtype.is_floating_point
        if isinstance(array, torch.Tensor)
        else np.issubdtype(array.dtype, np.floating)
    )
    if not floating:
        raise UploadError(f"Expected {what} to have a floating dtype, got {array.dtype}.")
