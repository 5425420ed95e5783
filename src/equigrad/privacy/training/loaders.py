"""What a ``DataLoader`` says about how its batches are drawn.

Accounting by subsampling holds for batches in which every row is drawn independently, and for no
others. Neighbours: :mod:`.rows` takes the rows of a loader, :mod:`.sampling` draws.
"""

from typing import Any

from torch.utils.data import (
    DataLoader,
    RandomSampler,
    SequentialSampler,
    WeightedRandomSampler,
)

from equigrad.errors import ConfigError

__all__ = ["loader_rate"]


def loader_rate(loader: DataLoader[Any]) -> float:
    """Return the sampling rate of a ``DataLoader`` that draws rows independently.

    Raises
    ------
    ConfigError
        For every other loader: its batches are not Poisson samples, so epsilon would be wrong.
    """
    sampler: Any = loader.batch_sampler
    rate = getattr(sampler, "sample_rate", None)
    if type(sampler).__name__ in ("PoissonSampler", "UniformWithReplacementSampler") and rate:
        return float(rate)
    inner: Any = loader.sampler
    if isinstance(inner, WeightedRandomSampler):
        what = "weighs rows (WeightedRandomSampler)"
    elif isinstance(inner, RandomSampler):
        what = "shuffles into batches of a fixed size"
    elif isinstance(inner, SequentialSampler):
        what = "walks through the rows in order"
    else:
        what = f"draws by {type(sampler if sampler is not None else inner).__name__}"
    raise ConfigError(
        f"Expected data whose rows are drawn independently, got a DataLoader that {what}; its "
        "epsilon would be wrong. Give the data set itself and public_batch_size: the trainer "
        "draws Poisson batches."
    )
