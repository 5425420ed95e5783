import pytest
from pydantic import ValidationError
from small_runs import small_config


def test_values_by_party_and_sums_alone_do_not_go_together() -> None:
    with pytest.raises(ValidationError, match="under secure aggregation the coordinator sees only"):
        small_config(round={"secure_aggregation": True})
