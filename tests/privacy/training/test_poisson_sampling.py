"""Poisson batches: rate, variance, independence, cuts, and their use in a DataLoader."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from equigrad.errors import ConfigError, DataError
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training import PoissonSampler, poisson_rows
from equigrad.privacy.training.loaders import loader_rate
from equigrad.privacy.training.rows import as_rows

KEY = NoiseKey.test(11)


def draws(n: int, q: float, times: int) -> np.ndarray:
    """Return ``(times, n)`` booleans."""
    out = np.zeros((times, n), dtype=bool)
    for t in range(times):
        out[t, poisson_rows(KEY, t, n, q).numpy()] = True
    return out


def test_sizes_have_the_binomial_mean_and_variance() -> None:
    n, q, times = 400, 0.05, 4000
    sizes = draws(n, q, times).sum(1)
    spread = (n * q * (1 - q)) ** 0.5
    assert abs(sizes.mean() - n * q) < 4 * spread / times**0.5
    assert abs(sizes.var() / spread**2 - 1) < 4 * (2 / times) ** 0.5


def test_rows_and_steps_are_independent() -> None:
    taken = draws(12, 0.3, 6000).astype(float)
    bound = 4.5 / 6000**0.5
    across_rows = np.corrcoef(taken.T) - np.eye(12)
    assert np.abs(across_rows).max() < bound
    lagged = [np.corrcoef(taken[1:, i], taken[:-1, i])[0, 1] for i in range(12)]
    assert np.abs(lagged).max() < bound
    assert np.abs(taken.mean(0) - 0.3).max() < 4.5 * (0.21 / 6000) ** 0.5


def test_empty_batches_come_at_their_rate() -> None:
    times, chance = 3000, 0.9**10
    empty = int((draws(10, 0.1, times).sum(1) == 0).sum())
    assert abs(empty / times - chance) < 4 * (chance * (1 - chance) / times) ** 0.5


def test_rate_one_takes_every_row_and_draws_can_be_repeated() -> None:
    assert torch.equal(poisson_rows(KEY, 3, 7, 1.0), torch.arange(7))
    assert torch.equal(poisson_rows(KEY, 9, 500, 0.2), poisson_rows(KEY, 9, 500, 0.2))
    assert not torch.equal(poisson_rows(KEY, 9, 500, 0.2), poisson_rows(KEY, 10, 500, 0.2))


def test_cut_batches_are_a_uniform_part_of_the_whole() -> None:
    n, times = 20, 4000
    counts = np.zeros(n)
    for t in range(times):
        whole = poisson_rows(KEY, t, n, 0.5)
        cut = poisson_rows(KEY, t, n, 0.5, 5)
        assert len(cut) == min(5, len(whole))
        assert set(cut.tolist()) <= set(whole.tolist())
        counts[cut.numpy()] += 1
    expected = counts.mean()
    assert np.abs(counts - expected).max() < 4.5 * expected**0.5


def test_the_sampler_serves_a_dataloader_and_its_rate_is_read() -> None:
    data = TensorDataset(torch.arange(200.0)[:, None], torch.zeros(200, dtype=torch.long))
    sampler = PoissonSampler(200, 0.2, steps=6, key=NoiseKey.test(1))
    loader = DataLoader(data, batch_sampler=sampler)
    first = [batch[0].reshape(-1).long().tolist() for batch in loader]
    second = [batch[0].reshape(-1).long().tolist() for batch in loader]
    assert len(first) == len(loader) == 6
    assert first != second  # every pass draws anew
    assert loader_rate(loader) == 0.2
    assert len(as_rows(loader)) == 200
    assert len(PoissonSampler(200, 0.03)) == 33


def test_the_sampler_of_opacus_is_understood() -> None:
    samplers = pytest.importorskip("opacus.utils.uniform_sampler")
    data = TensorDataset(torch.zeros(50, 2), torch.zeros(50))
    sampler = samplers.UniformWithReplacementSampler(num_samples=50, sample_rate=0.1)
    assert loader_rate(DataLoader(data, batch_sampler=sampler)) == pytest.approx(0.1)


@pytest.mark.parametrize("how", ["shuffle", "weights", "order"])
def test_other_loaders_are_refused(how: str) -> None:
    data = TensorDataset(torch.zeros(50, 2), torch.zeros(50))
    options = {
        "shuffle": {"shuffle": True},
        "weights": {"sampler": WeightedRandomSampler([1.0] * 50, 50)},
        "order": {},
    }[how]
    with pytest.raises(ConfigError, match="independently"):
        as_rows(DataLoader(data, batch_size=10, **options))


def test_streams_and_bad_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="length"):
        as_rows(iter([1, 2]))
    with pytest.raises(ConfigError, match="sampling_rate"):
        PoissonSampler(10, 0.0)
    with pytest.raises(ConfigError, match="NoiseKey"):
        PoissonSampler(10, 0.5, key=7)  # type: ignore[arg-type]
