import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from menu_worlds import EVERYWHERE, random_schedule, random_weights

from equigrad.errors import CheckpointError, ConfigError
from equigrad.market import Ladder
from equigrad.market.learned import Bands, Schedule
from equigrad.market.learned.menu import menu_quality, public_facts, validated_weights
from equigrad.market.learned.network import MenuNet, public_features


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10**6),
    st.lists(st.integers(1, 10**7), min_size=1, max_size=8),
    st.floats(1e-3, 1e6),
    st.integers(1, 40),
    st.floats(0.0, 100.0),
)
def test_tables_are_integers_from_zero_up_whatever_the_weights(seed, sizes, budget, steps, size):
    schedule = random_schedule(seed, size=size)
    names = [f"{i:02d}" for i in range(len(sizes))]
    table = schedule.quality(names, sizes, budget, Ladder(2.0, steps))
    assert table.rows.shape == (len(sizes), steps + 1)
    assert (table.rows[:, 0] == 0).all()
    assert (np.diff(table.rows, axis=1) >= 0).all()
    assert table.rows.max() == 10_000


def test_the_menu_is_the_trained_network():
    weights = random_weights(3, width=7)
    net = MenuNet(width=7).double()
    net.load_state_dict({name: torch.as_tensor(array) for name, array in weights.items()})
    sizes, eps = np.asarray([10.0, 700.0, 33.0]), Ladder(2.0, 9).levels
    facts = public_features(torch.as_tensor(sizes), torch.tensor(90.0, dtype=torch.float64), 2.0)
    np.testing.assert_allclose(public_facts(sizes, 90.0, 2.0), facts.numpy(), rtol=1e-12)
    with torch.no_grad():
        quality = net(facts, torch.as_tensor(eps)).numpy()
    want = np.floor(10_000 * quality / quality[:, -1].max())
    got = menu_quality(weights, facts.numpy(), eps)
    assert np.abs(got - want).max() <= 1  # the last place of a float may cross an integer


def test_an_untrained_network_is_the_clock():
    net = MenuNet(torch.Generator().manual_seed(0))
    weights = {name: tensor.detach().numpy() for name, tensor in net.state_dict().items()}
    schedule = Schedule(weights, "laplace", 1, 2.0, EVERYWHERE)
    rows = schedule.quality(["a", "b"], [10, 20], 30.0, Ladder()).rows
    assert np.abs(rows / 10_000 - np.arange(33) / 32).max() < 0.05


def test_permuting_listings_permutes_the_table():
    schedule = random_schedule(5)
    sizes = np.asarray([5, 900, 31, 77])
    order = np.asarray([2, 0, 3, 1])
    rows = schedule.quality(list("abcd"), sizes, 800.0, Ladder()).rows
    moved = schedule.quality(list("abcd"), sizes[order], 800.0, Ladder()).rows
    np.testing.assert_array_equal(moved, rows[order])


def test_a_file_gives_the_same_schedule_and_the_same_bytes():
    bands = Bands((5.0, 20.0, 50.0), (0.5, 1.0), ((True,), (False,)))
    schedule = random_schedule(2, bands=bands, dim=98, value_scale=0.5)
    content = schedule.to_bytes()
    again = Schedule.from_bytes(content, schedule.digest)
    assert again.to_bytes() == content
    assert (again.dim, again.mechanism, again.value_scale, again.bands) == (
        98,
        "laplace",
        0.5,
        bands,
    )
    names = [str(i) for i in range(10)]
    args = (names, np.arange(10) + 5, 70.0, Ladder())
    np.testing.assert_array_equal(again.quality(*args).rows, schedule.quality(*args).rows)


def test_another_or_a_broken_file_is_refused():
    content = random_schedule(2).to_bytes()
    with pytest.raises(CheckpointError, match="another file"):
        Schedule.from_bytes(content, "0" * 64)
    for broken in (b"", content[:-4], content.replace(b"schedule 1", b"schedule 9"), b"\x80\x04."):
        with pytest.raises(CheckpointError, match="safetensors file"):
            Schedule.from_bytes(broken)


def test_bad_weights_are_refused():
    weights = random_weights(0)
    with pytest.raises(CheckpointError, match="arrays"):
        validated_weights({name: weights[name] for name in list(weights)[:-1]})
    with pytest.raises(CheckpointError, match=r"weights\.1 of shape \(5, 5\)"):
        validated_weights({**weights, "weights.1": np.zeros((5, 4))})
    with pytest.raises(CheckpointError, match="finite"):
        validated_weights({**weights, "biases.2": np.asarray([np.nan])})


def test_bands_place_rounds():
    bands = Bands((2.0, 10.0, 20.0), (1.0, 2.0, 4.0), ((True, False), (False, True)))
    assert bands.serves(2, 1.0)
    assert bands.serves(19, 3.99)
    assert not bands.serves(9, 2.0)
    assert bands.cell(1, 1.5) is None
    assert bands.cell(20, 1.5) is None
    assert bands.cell(5, 4.0) is None
    assert Bands.of(bands.describe()) == bands


def test_bad_bands_are_refused():
    with pytest.raises(ConfigError, match="ascending"):
        Bands((2.0, 2.0), (1.0, 2.0), ((True,),))
    with pytest.raises(ConfigError, match="each cell"):
        Bands((2.0, 3.0), (1.0, 2.0, 3.0), ((True,),))
    with pytest.raises(ConfigError, match="money"):
        Bands.of({"parties": [1, 2]})


def test_impossible_rounds_are_refused():
    schedule = random_schedule(0)
    with pytest.raises(ConfigError, match="budget"):
        schedule.quality(["a"], [1], 0.0, Ladder())
    with pytest.raises(ConfigError, match="sizes"):
        schedule.quality([], [], 1.0, Ladder())
