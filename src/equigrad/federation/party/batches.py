"""Batches of a party's records in a seeded order, sliced from memory."""

from collections.abc import Iterator
from itertools import islice

import torch

__all__ = ["local_batches"]

# Records are gathered in the new order a block at a time: few calls, and no second copy of a
# large data set.
_BLOCK_BYTES = 1 << 26

Batch = tuple[torch.Tensor, torch.Tensor]


def local_batches(
    features: torch.Tensor,
    labels: torch.Tensor,
    *,
    batch_size: int,
    epochs: int | None,
    steps: int | None,
    generator: torch.Generator,
) -> Iterator[Batch]:
    """Yield the batches of one round.

    Every epoch is a fresh permutation of all records; its last batch may be smaller and is not
    dropped. With ``steps``, epochs follow one another until so many batches were given.

    Parameters
    ----------
    features, labels
        ``(n, *shape)`` and ``(n,)``, n >= 1, on one device.
    batch_size
        Records in a batch.
    epochs, steps
        One of them, the other ``None``; neither means one epoch.
    generator
        A CPU generator; the only source of the order.
    """
    if steps is not None:
        endless = -(-steps * batch_size // len(labels)) + 1  # enough epochs for so many steps
        batches = _epochs(features, labels, batch_size, max(endless, steps), generator)
        yield from islice(batches, steps)
    else:
        yield from _epochs(features, labels, batch_size, epochs or 1, generator)


def _epochs(
    features: torch.Tensor,
    labels: torch.Tensor,
    batch_size: int,
    epochs: int,
    generator: torch.Generator,
) -> Iterator[Batch]:
    record_bytes = max(features[0].numel() * features.element_size(), 1)
    block = max(_BLOCK_BYTES // record_bytes // batch_size, 1) * batch_size
    for _ in range(epochs):
        order = torch.randperm(len(labels), generator=generator).to(labels.device)
        for part in torch.split(order, block):
            gathered = features.index_select(0, part), labels.index_select(0, part)
            yield from zip(*(torch.split(g, batch_size) for g in gathered), strict=True)
