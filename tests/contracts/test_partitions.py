"""Every registered partition rule passes the family's contract suite."""

import pytest

from equigrad.data.partition import (
    PARTITIONS,
    ClassImbalanced,
    Column,
    Dirichlet,
    PartitionRule,
    PowerLaw,
    Uniform,
)
from equigrad.testing.partition import PartitionRuleContract

RULES = {
    "uniform": Uniform(5),
    "uniform, one party": Uniform(1),
    "uniform, small pool": Uniform(5, pool=200),
    "power-law": PowerLaw(5),
    "power-law, small pool": PowerLaw(8, pool=300),
    "class-imbalanced, disjoint": ClassImbalanced(4, pool=200),
    "class-imbalanced, shared": ClassImbalanced(4),
    "class-imbalanced, with repeats": ClassImbalanced(2, pool=1200),
    "dirichlet": Dirichlet(5, alpha=0.3),
    "dirichlet, small pool": Dirichlet(5, alpha=10.0, min_records=20, pool=300),
    "column": Column("site"),
}


def test_all_registered_rules_are_under_contract() -> None:
    assert {rule.name for rule in RULES.values()} == set(PARTITIONS)


@pytest.fixture(params=RULES, autouse=True)
def _rule(request: pytest.FixtureRequest) -> None:
    if request.instance is not None:
        request.instance.tested = RULES[request.param]


class TestPartitions(PartitionRuleContract):
    tested: PartitionRule

    def rule(self) -> PartitionRule:
        return self.tested
