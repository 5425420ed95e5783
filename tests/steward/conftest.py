"""One small rehearsed training for all tests here."""

import logging

import pytest
from steward_settings import quick


@pytest.fixture(autouse=True)
def _quiet_accountants():
    """dp-accounting tells of every Rényi order that it skips."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a small finished training; tests must not change it."""
    from equigrad.steward.run import start

    return start(quick(), tmp_path_factory.mktemp("trained") / "run")
