"""Peak memory of contribution values, for ``contribution_speed.py``: each in a fresh process."""

import multiprocessing
from collections.abc import Callable

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from _common import Report, memory_mib, show
from _shapley_rivals import uploads_of
from equigrad.contribution import ExactCGSV, SampledCGSV, gram

__all__ = ["memory", "one_core"]

MIB = 2**20


def one_core() -> None:
    """Keep this process's linear algebra on one core."""
    threadpool_limits(1)
    torch.set_num_threads(1)


def _peak_of_gram(n: int, dimension: int) -> tuple[float, float]:
    """Return MiB of float32 uploads, and what they and their Gram matrix add at the peak."""
    gram(np.ones((4, 100)))
    before, _ = memory_mib()
    uploads = np.random.default_rng(0).standard_normal((n, dimension), dtype=np.float32)
    gram(uploads)
    return uploads.nbytes / MIB, memory_mib()[1] - before


def _peak_of_exact(n: int) -> tuple[float, float]:
    """Return MiB of one array of 2^n float64 and what the exact values add at the peak."""
    C = gram(uploads_of(n, 100))
    ExactCGSV().value(C[:4, :4], np.ones(4))
    before, _ = memory_mib()
    ExactCGSV().value(C, np.ones(n))
    return 2**n * 8 / MIB, memory_mib()[1] - before


def _peak_of_sampled(n: int) -> tuple[float, float]:
    """Return MiB of the Gram matrix and what sampled values add at the peak."""
    C = gram(uploads_of(n, 200))
    SampledCGSV().value(C[:4, :4], np.ones(4), np.random.default_rng(0))
    before, _ = memory_mib()
    SampledCGSV(max_permutations=128).value(C, np.ones(n), np.random.default_rng(0))
    return C.nbytes / MIB, memory_mib()[1] - before


def memory(report: Report) -> None:
    """Measure peak resident memory, each in a fresh process."""
    measures: list[tuple[str, Callable[..., tuple[float, float]], tuple[int, ...]]] = [
        ("Gram matrix, 100 uploads of 1e6 float32", _peak_of_gram, (100, 1_000_000)),
        ("exact values, N = 20, from the Gram matrix", _peak_of_exact, (20,)),
        ("sampled values, N = 1000, from the Gram matrix", _peak_of_sampled, (1000,)),
    ]
    rows = []
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(1, initializer=one_core, maxtasksperchild=1) as pool:
        for what, call, sizes in measures:
            base, peak = pool.apply(call, sizes)
            cells = {"data_mib": base, "peak_mib": peak, "ratio": peak / base}
            rows.append(report.row(part="memory", what=what, **cells))
    show("Peak resident memory (data: the uploads, one 2^N array, the Gram matrix)", rows)
    report.claim(
        "Gram matrix: peak memory, uploads included, over the uploads' bytes",
        rows[0]["ratio"],
        1.5,
        "lower",
    )
