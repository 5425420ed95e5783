"""Arithmetic of full precision while norms and sums are taken.

Neighbours: the pass and its result, the pieces.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["add_product", "exact_products"]

_ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
# Below so many multiplications, MKL's product in place is the faster one.
_ONEDNN_FROM = 2**20


def add_product(out: Tensor, left: Tensor, right: Tensor) -> None:
    """Add the matrix product ``left @ right`` to ``out`` in place, without a history.

    All have one dtype. For float32 on a processor PyTorch takes MKL's product, which uses half of
    an AMD processor (measured .97 against .50 ms for 256 x 256 by 256 x 784 on one thread). That
    of oneDNN, which PyTorch brings along for its compiler, does not, so it is taken where it is
    there. Both add rounded products of float32, in an order that follows from the shapes.
    """
    large = out.numel() * left.shape[1] >= _ONEDNN_FROM
    if _ONEDNN is None or not large or out.dtype is not torch.float32 or out.device.type != "cpu":
        out.addmm_(left, right)
    else:
        out.add_(_ONEDNN(left, right.mT, None, "none", [], ""))


@contextlib.contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Switch reduced precision of float32 products off, and put back what was set.

    On CUDA that is TF32; on a processor what ``torch.set_float32_matmul_precision`` allows, which
    is bfloat16 where the processor has it. Products with eight or ten bits of mantissa would make a
    norm wrong by up to a thousandth and more, and a norm that is too small breaks the clipping
    bound.
    """
    with contextlib.ExitStack() as stack:
        if device.type == "cuda":
            products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
            before = products.allow_tf32, convolutions.allow_tf32
            products.allow_tf32 = convolutions.allow_tf32 = False

            def restore() -> None:
                products.allow_tf32, convolutions.allow_tf32 = before

            stack.callback(restore)
        elif (precision := torch.get_float32_matmul_precision()) != "highest":
            torch.set_float32_matmul_precision("highest")
            stack.callback(torch.set_float32_matmul_precision, precision)
        yield
