"""Every registered scorer passes the family's contract suite, with its defaults and options."""

import pytest

from equigrad.testing.scoring import ScorerContract
from equigrad.valuation import SCORERS

OPTIONS = {
    "data-oob": [{"learner": "linear"}],
    "datainf": [{"block": "single"}],
    "el2n": [{"at": 0}],
    "el2n-mean": [{"over": "ensemble"}],
    "grad-norm": [{"clip": 3.0}],
    "grand": [{"clip": 2.0}],
    "individual-privacy": [{"output": "mu"}, {"carry_last": True}],
    "plis": [{"reduction": "l1"}],
    "projected": [{"method": "trak"}, {"projection": "dense", "dimension": 20}],
    "sum-margin": [{"n_classes": 3}],
    "tracin": [{"clipped": True}, {"clip": 0.7}],
    "tracin-self": [{"clip": 3.0}],
    "vog": [{"target": "prob"}, {"class_norm": True}, {"stage": "late"}],
}
"""Constructor options beside the defaults, by name; a name that is not here has defaults only."""

CASES = [
    pytest.param(name, options, id="-".join([name, *map(str, options)]))
    for name in SCORERS.names()
    for options in ({}, *OPTIONS.get(name, []))
]


@pytest.mark.parametrize(("name", "options"), CASES)
class TestEveryScorer(ScorerContract):
    @pytest.fixture(autouse=True)
    def _made(self, name, options):
        self.name, self.options = name, options

    def make(self):
        return SCORERS[self.name](**self.options)


def test_options_are_of_registered_scorers():
    assert set(OPTIONS) <= set(SCORERS)
