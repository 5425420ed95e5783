"""Hold a pass against the oracle: outputs, norms, weighted sums, inner products."""

import torch
from torch.utils._pytree import tree_leaves

from equigrad.gradients import per_sample_gradients, per_sample_oracle

__all__ = ["agree", "numbers", "spread", "within"]


def numbers(*shape, seed=0):
    """Return float64 normal numbers."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def spread(outputs, targets):
    """Return a loss per record that every output number enters in its own way."""
    del targets
    total = 0.0
    for k, out in enumerate(tree_leaves(outputs)):
        flat = out.flatten(1)
        slope = torch.linspace(0.3, 1.7, flat.shape[1], dtype=flat.dtype)
        total = total + (slope * flat + 0.1 * k + 0.2).square().sum(1)
    return total


def within(got, want, tolerance, message=None):
    """Compare by the largest entry: cancellation makes single entries arbitrarily small."""
    scale = float(want.abs().max()) if want.numel() else 0.0
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance * scale, msg=message)


def agree(model, inputs, targets=None, loss=spread, *, tolerance=1e-10, **options):
    """Assert that a pass over ``model`` answers as the oracle does; return the pass's result."""
    rows = per_sample_oracle(model, loss, inputs, targets, vectorised=False)
    size = len(tree_leaves(inputs)[0])
    expected = torch.stack([r.flatten(1).square().sum(1) for r in rows.values()]).sum(0).sqrt()
    weights = numbers(size, seed=1).to(expected.dtype)
    for create_graph in (False, True):
        grads = per_sample_gradients(
            model, loss, inputs, targets, create_graph=create_graph, **options
        )
        within(grads.norms.detach(), expected, tolerance)
        sums = grads.weighted_sum(weights)
        assert list(sums) == list(rows)
        for name, its_rows in rows.items():
            want = torch.einsum("b,b...->...", weights, its_rows)
            within(sums[name].detach(), want, tolerance, lambda m, n=name: f"{n}: {m}")
        direction = {name: numbers(*r.shape[1:], seed=2).to(r.dtype) for name, r in rows.items()}
        want = sum((r * direction[name]).flatten(1).sum(1) for name, r in rows.items())
        within(grads.dots(direction).detach(), want, tolerance)
    return grads
