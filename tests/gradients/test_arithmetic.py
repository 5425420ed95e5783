"""Products of matrices: one result, whichever library multiplies."""

import pytest
import torch

from equigrad.gradients import arithmetic
from equigrad.gradients.arithmetic import add_product, exact_products


@pytest.mark.parametrize("shape", [(3, 5, 7), (256, 64, 100), (64, 300, 257), (1, 1100, 1000)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("onednn", [True, False])
def test_products_are_added_in_full_precision(shape, dtype, onednn, monkeypatch):
    if not onednn:  # as where PyTorch comes without it
        monkeypatch.setattr(arithmetic, "_ONEDNN", None)
    rows, outs, ins = shape
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(rows, ins, generator=generator, dtype=dtype)
    b = torch.randn(rows, outs, generator=generator, dtype=dtype)
    start = torch.randn(outs, ins, generator=generator, dtype=dtype)
    flat = torch.zeros(outs * ins + 8, dtype=dtype)
    out = flat[8:].view(outs, ins).copy_(start)
    add_product(out, b.mT, a)
    unit = torch.finfo(dtype).eps / 2
    bound = (rows + 2) * unit * (b.abs().double().mT @ a.abs().double() + start.abs())
    assert bool(
        ((out.double() - (start.double() + b.double().mT @ a.double())).abs() <= bound).all()
    )
    assert not flat[:8].any()


def test_large_products_of_float32_go_to_onednn():
    assert arithmetic._ONEDNN is not None or not torch.backends.mkldnn.is_available()


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_products_are_exact_whatever_precision_was_allowed(precision):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        with exact_products(torch.device("cpu")):
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)
