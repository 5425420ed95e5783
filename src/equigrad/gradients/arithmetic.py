"""Arithmetic of full precision while norms and sums are taken; neighbours: the pass, its result."""

import contextlib
from collections.abc import Iterator

import torch

__all__ = ["exact_products"]


@contextlib.contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Switch TF32 off on CUDA devices, and put back what was set.

    Products with ten bits of mantissa would make a norm wrong by up to a thousandth, and a norm
    that is too small breaks the clipping bound. Other devices have no such mode.
    """
    if device.type != "cuda":
        yield
        return
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = False
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
