"""What the tests of the per-sample pass share: flat oracle rows, comparisons, small losses."""

import torch

from equigrad.gradients import PerSampleGradients, PerSamplePass, per_sample_oracle


def squares(outputs, targets=None):
    """Return a loss whose gradient at the output is no constant."""
    difference = outputs if targets is None else outputs - targets
    return (difference.square() + difference.sin()).flatten(1).sum(1)


def flat(tensors, lead=0):
    """Return a dict of tensors as one, flat after the first ``lead`` axes."""
    return torch.cat([tensor.flatten(lead) for tensor in tensors.values()], dim=lead)


def oracle_rows(model, loss, inputs, targets=None):
    """Return ``(B, parameters)`` from batches of one."""
    return flat(per_sample_oracle(model, loss, inputs, targets, vectorised=False), lead=1)


def check(grads: PerSampleGradients, rows, tolerance=1e-10):
    """Hold every answer of ``grads`` to the written-out ``rows``."""
    size = max(float(rows.norm(dim=1).max()), 1e-30)
    weights = torch.linspace(-1, 2, len(rows), dtype=rows.dtype)
    total = weights @ rows

    def close(got, want, scale):
        torch.testing.assert_close(got, want, rtol=0, atol=tolerance * scale)

    close(grads.norms, rows.norm(dim=1), size)
    sums = grads.weighted_sum(weights)
    close(flat(sums), total, size * len(rows))
    close(grads.dots(sums), rows @ total, size * size * len(rows))
    close(grads.gram(grads), rows @ rows.T, size * size)
    groups = torch.arange(len(rows)) % 3
    parts = flat(grads.group_sums(groups, 3, weights), lead=1)
    want = torch.stack([(weights * (groups == k)) @ rows for k in range(3)])
    close(parts, want, size * len(rows))


def compare(model, inputs, targets=None, loss=squares, tolerance=1e-10, workspace_bytes=2**26):
    """Compare a pass over the whole batch with the oracle's batches of one; return the plan."""
    one = PerSamplePass(model, loss, workspace_bytes=workspace_bytes)
    rows = oracle_rows(model, loss, inputs, targets)
    grads = one(inputs, targets)
    check(grads, rows, tolerance)
    return grads.plan()
