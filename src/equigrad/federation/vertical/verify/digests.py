"""Messages, answers and masks of the sponsor's folder, compared with the record's digests.

Neighbour: ``door``, for runs that cannot be played again.
"""

from collections.abc import Iterator

import numpy as np

from equigrad.assistance.arrays import Bool
from equigrad.federation.record.agreement import VerifyResult, same
from equigrad.federation.record.canonical import sha256_array
from equigrad.federation.record.chain import Line
from equigrad.federation.vertical.sponsor_folder import SponsorFolder

__all__ = ["check_digests", "check_masks"]


def check_digests(
    folder: SponsorFolder,
    names: tuple[str, ...],
    held: Bool,
    lines: list[Line],
    result: VerifyResult,
) -> None:
    """Compare messages and answers in the sponsor's folder with their digests in the record."""
    for residual, fit in _rounds(lines):
        pass_, t = residual.body["pass"], residual.body["t"]
        message = folder.message(pass_, t)
        same(residual, "messages", residual.body["sha256"], sha256_array(message), result)
        fits = folder.fits(pass_, t)
        for name, digest in zip(fit.body["answered"], fit.body["sha256"], strict=True):
            m = names.index(name)
            own = np.ascontiguousarray(fits[m][..., held[:, m], :])
            same(fit, "answers", digest, sha256_array(own), result)


def _rounds(lines: list[Line]) -> Iterator[tuple[Line, Line]]:
    sent = None
    for line in lines:
        if line.stage == "residual":
            sent = line
        elif line.stage == "fit" and sent is not None:
            yield sent, line


def check_masks(line: Line, names: tuple[str, ...], held: Bool, result: VerifyResult) -> None:
    """Compare the masks ``(N, M)`` with what the alignment's line says of them."""
    for m, name in enumerate(names):
        count = line.body["common"][name]
        mask = np.ascontiguousarray(held[:, m])
        same(line, "masks", line.body["masks"][name], sha256_array(mask), result)
        same(line, "masks", count, int(mask.sum()), result)
