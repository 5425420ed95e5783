"""Training a schedule and a net: paced, seeded, stopped in good order, and usable afterwards."""

import numpy as np
import pytest

from equigrad.broker import Offer, clear_offline, compare, read_bids
from equigrad.broker.learn_net import LearnedNet, NetTask, learn_net
from equigrad.broker.learn_schedule import ScheduleTask, learn_schedule
from equigrad.broker.offline import terms_of
from equigrad.broker.pacing import Pacing
from equigrad.errors import CheckpointError, ConfigError
from equigrad.market import Ladder
from equigrad.market.learned import SHIPPED, Schedule, shipped_schedule
from equigrad.market.regret import regret_from_bytes

LADDER = Ladder(2.0, 8)


class Clock:
    """A clock that moves on by a second each time it is looked at."""

    def __init__(self):
        self.time = 0.0

    def __call__(self):
        self.time += 1.0
        return self.time


def silent(done, text):
    assert 0 <= done <= 1
    assert text


def task(**settings):
    return ScheduleTask(ladder=LADDER, parties=(10,), validation=1, **settings)


@pytest.fixture
def bids(tmp_path):
    path = tmp_path / "bids.csv"
    rows = [f"p{i},{20 * (i + 1)},{0.6 + 0.1 * i},linear,{0.6 + 0.05 * i}" for i in range(10)]
    path.write_text("\n".join(["party,size,eps_cap,kind,factor", *rows]))
    return read_bids(path)


def test_pacing_counts_steps_or_minutes_whichever_is_up_first():
    by_steps = Pacing(4)
    assert [by_steps(k) for k in range(6)] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert by_steps.describe(4) == "all steps done"
    by_time = Pacing(None, 0.1, Clock())
    assert [round(by_time(k), 3) for k in range(3)] == [0.167, 0.333, 0.5]
    assert by_time.describe(3) == "the time was up"
    by_time.stop()
    assert by_time(3) == 1.0
    assert by_time.describe(3) == "interrupted"
    for settings in ((None, None), (0, None), (None, 0.0), (None, float("nan"))):
        with pytest.raises(ConfigError, match=r"rounds|minutes"):
            Pacing(*settings)


def test_a_schedule_is_seeded_and_says_what_it_was_trained_for():
    one, same = (learn_schedule(task(seed=3), Pacing(3), silent) for _ in range(2))
    assert one.to_bytes() == same.to_bytes()
    other = learn_schedule(task(seed=4, local="l2-sphere", dim=7), Pacing(3), silent)
    assert (other.mechanism, other.dim, other.eps_max) == ("l2-sphere", 7, 2.0)
    assert one.notes["steps"] == "3"
    assert one.digest != other.digest
    gauss = learn_schedule(task(local="gaussian", delta=1e-5), Pacing(1), silent)
    assert gauss.mechanism == "gaussian delta=1e-05"


def test_time_ends_a_schedule_s_training():
    found = learn_schedule(task(), Pacing(None, 0.2, Clock()), silent)
    assert 1 < int(found.notes["steps"]) < 12


def test_a_stopped_training_keeps_what_it_has():
    pacing = Pacing(10**6)

    def stop_soon(done, text):
        if "step 2" in text:
            pacing.stop()

    schedule = learn_schedule(task(), pacing, stop_soon)
    assert schedule.notes["steps"] == "3"
    assert schedule.notes["checkpoint"] == "1 of 1"
    pacing = Pacing(10**6)
    found = learn_net(NetTask("regret", parties=3, validation=2, batch=2), pacing, stop_soon)
    assert regret_from_bytes(found.content)[1]["ended"] == "interrupted"


def learned_net(variant, rounds=2, **settings):
    settings = {"parties": 10, "levels": 2, "validation": 2, "batch": 2, **settings}
    return learn_net(NetTask(variant, **settings), Pacing(rounds), silent)


@pytest.mark.parametrize("variant", ["regret", "m-regret", "dm-regret"])
def test_a_net_is_seeded_and_clears(variant, bids, tmp_path):
    one, same = learned_net(variant), learned_net(variant)
    weights = [regret_from_bytes(f.content)[0].net.state_dict() for f in (one, same)]
    for name, tensor in weights[0].items():
        np.testing.assert_array_equal(tensor, weights[1][name])
    file = tmp_path / "net.safetensors"
    file.write_bytes(one.content)
    found = clear_offline(bids, Offer("100", mechanism=variant, trained=file))
    assert found.clearing.spent <= found.clearing.budget
    assert found.clearing.mechanism.startswith(variant)
    again = clear_offline(bids, Offer("100", mechanism=variant, trained=file))
    assert again.clearing.digest == found.clearing.digest
    with pytest.raises(CheckpointError, match="dim=2"):
        clear_offline(bids, Offer("100", mechanism=variant, trained=file, dim=2))
    with pytest.raises(ConfigError, match="local=laplace"):
        clear_offline(bids, Offer("100", mechanism=variant, trained=file, local="l2-sphere"))


def test_a_net_that_violates_nothing_ends_its_training(monkeypatch):
    import equigrad.broker.learn_net as room

    monkeypatch.setattr(room, "MOST_REGRET", 1e9)
    monkeypatch.setattr(room, "MOST_SHORTFALL", 1e9)
    found = learned_net("m-regret", rounds=400)
    notes = regret_from_bytes(found.content)[1]
    assert isinstance(found, LearnedNet)
    assert found.done
    assert notes["ended"] == "criterion met"
    assert int(notes["steps"]) == 20  # the first look


def test_what_ships_is_what_was_shipped_and_serves(bids):
    for mechanism, dim in SHIPPED:
        schedule = shipped_schedule(mechanism, dim)
        assert (schedule.mechanism, schedule.dim, schedule.eps_max) == (mechanism, dim, 2.0)
        assert any(map(any, schedule.bands.learned))
        assert Schedule.from_bytes(schedule.to_bytes()).digest == SHIPPED[mechanism, dim][1]
    offer = Offer("300", mechanism="learned-clock")
    found = clear_offline(bids, offer)
    assert found.clearing.claims.truthful == "exact"
    assert found.clearing.terms.quality is not None
    assert not found.clearing.terms.quality.shared  # the menu serves, not the plain clock
    assert offer.sizes_fixed
    with pytest.raises(CheckpointError, match="equigrad auction train learned-clock"):
        clear_offline(bids, Offer("300", mechanism="learned-clock", dim=3))


def test_a_file_of_one_s_own_is_used(bids, tmp_path):
    file = tmp_path / "mine.safetensors"
    file.write_bytes(learn_schedule(task(dim=5), Pacing(1), silent).to_bytes())
    ladder = Ladder(2.0, 16)
    offer = Offer("300", mechanism="learned-clock", trained=file, dim=5, ladder=ladder)
    auction, _, terms = terms_of(bids, offer)
    assert Schedule.from_bytes(file.read_bytes()).digest in auction.label
    assert terms.mechanism == auction.label
    labels = [label for label, _ in compare(bids, offer)]
    assert labels[1] == auction.label


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mechanism": "learned-clock", "form": "reference"}, "form for all-in only"),
        ({"mechanism": "learned-clock", "size_exponent": 0.5}, "Leave them out"),
        ({"mechanism": "dm-regret"}, "--trained FILE"),
        ({"mechanism": "clock", "trained": "x"}, "Leave it out"),
        ({"mechanism": "learned-clock", "trained": "no/such"}, "Check the path"),
    ],
)
def test_what_an_offer_of_a_learned_auction_may_not_be(bids, tmp_path, settings, message):
    if "trained" in settings:
        settings = {**settings, "trained": tmp_path / settings["trained"]}
    with pytest.raises(ConfigError, match=message):
        clear_offline(bids, Offer("300", **settings))


def test_impossible_tasks_are_refused():
    for settings in ({"validation": 0}, {"parties": (1,)}):
        with pytest.raises(ConfigError):
            ScheduleTask(**settings)
    with pytest.raises(ConfigError, match="validation"):
        NetTask("regret", validation=0)
    with pytest.raises(ConfigError, match="dim"):
        NetTask("regret", dim=0)
    with pytest.raises(ConfigError, match="variant"):
        learn_net(NetTask("regrets"), Pacing(1), silent)
