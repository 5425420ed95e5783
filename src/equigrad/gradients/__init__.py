"""Per-sample gradients in one backward pass: norms, weighted sums, inner products, group sums."""
