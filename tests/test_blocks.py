from hypothesis import given
from hypothesis import strategies as st

from equigrad._blocks import block_bytes


@given(st.integers(0, 2**45))
def test_blocks_are_an_eighth_within_limits(total: int) -> None:
    size = block_bytes(total)
    assert 2**20 <= size <= 2**24
    if 2**23 <= total <= 2**27:
        assert size == total // 8
