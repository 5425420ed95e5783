import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from equigrad.federation.streams import numpy_stream, stream_seed, torch_stream

keys = st.tuples(
    st.integers(0, 2**63 - 1), st.text(max_size=8), st.integers(-1, 1000), st.text(max_size=8)
)


@given(keys, keys)
def test_streams_of_different_keys_differ(
    one: tuple[int, str, int, str], two: tuple[int, str, int, str]
) -> None:
    seeds = [stream_seed(s, purpose, round_=t, party=p) for s, purpose, t, p in (one, two)]
    separated = any("\x1f" in part for key in (one, two) for part in (key[1], key[3]))
    assert (seeds[0] == seeds[1]) == (one == two) or separated


def test_streams_are_fresh_and_touch_no_global_state() -> None:
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is tested
    first = torch.randn(3, generator=torch_stream(1, "batches", round_=2, party="a"))
    again = torch.randn(3, generator=torch_stream(1, "batches", round_=2, party="a"))
    other = torch.randn(3, generator=torch_stream(1, "batches", round_=3, party="a"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    draws = [numpy_stream(1, "x").standard_normal() for _ in range(2)]
    assert draws[0] == draws[1]
    after = torch.random.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002 - as above
    assert torch.equal(before[0], after[0])
    assert np.array_equal(before[1], after[1])


def test_seeds_are_part_of_the_record_and_never_change() -> None:
    assert stream_seed(7, "split") == 2551472844522759140
