"""Small rehearsed scorings for all tests here."""

import logging

import pytest
import torch
from score_settings import quick, whole


@pytest.fixture(autouse=True)
def _quiet_and_on_one_thread():
    """dp-accounting tells of every Rényi order that it skips."""
    logger, threads = logging.getLogger("absl"), torch.get_num_threads()
    before = logger.level
    logger.setLevel(logging.ERROR)
    torch.set_num_threads(1)
    yield
    logger.setLevel(before)
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def scored(tmp_path_factory):
    """The folder of a small finished scoring without selection; tests must not change it."""
    from equigrad.steward.scoring.run import start_scoring

    settings = quick(truth__flip_labels=0.1)
    return start_scoring(settings, tmp_path_factory.mktemp("scored") / "run")


@pytest.fixture(scope="session")
def trained_on_selection(tmp_path_factory):
    """The folder of a small finished scoring with selection and both arms."""
    from equigrad.steward.scoring.run import start_scoring

    return start_scoring(whole(), tmp_path_factory.mktemp("whole") / "run")
