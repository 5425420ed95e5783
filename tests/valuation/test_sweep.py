"""The sweep: each checkpoint read once, stretches within their limit, progress, going on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from valuation_helpers import drawn_states, small_records, small_trajectory, values_of

from equigrad.errors import CheckpointError, ConfigError
from equigrad.valuation import Trajectory, score
from equigrad.valuation.scorers import Loss, LossMean

RECORDS = small_records(10)


class Counted:
    """States that count how often each is read."""

    def __init__(self, states):
        self.states, self.reads = states, [0] * len(states)

    def __len__(self):
        return len(self.states)

    def __getitem__(self, index):
        self.reads[index] += 1
        return self.states[index]


class Watched(LossMean):
    """Notes the stretches it began and the visits it had; ``width`` numbers a record."""

    def __init__(self, width=1):
        self.width, self.begun, self.visits = width, [], []

    def begin(self, n, context):
        self.begun.append(n)
        state = super().begin(n, context)
        return state | {"wide": torch.zeros(n, self.width)}

    def visit(self, state, visit):
        self.visits.append((visit.index, visit.place, visit.start, len(visit)))
        super().visit(state, visit)


def swept(scorer, trajectory=None, **options):
    options = {"view": "local", "assess": False, "batch_size": 4, **options}
    return score(trajectory or small_trajectory(), RECORDS, [scorer], **options)


def test_every_checkpoint_and_batch_is_visited_in_order():
    scorer = Watched()
    swept(scorer)
    batches = [(0, 4), (4, 4), (8, 2)]
    assert scorer.visits == [(t, t, start, size) for t in range(3) for start, size in batches]


def test_a_scorer_sees_its_place_among_its_own_checkpoints():
    class Late(Watched):
        def chosen(self, count):
            return [1, 2]

    scorer = Late()
    swept(scorer, batch_size=100)
    assert [(index, place) for index, place, *_ in scorer.visits] == [(1, 0), (2, 1)]


@pytest.mark.parametrize(
    ("limit", "stretches"),
    [(1, [4, 4, 2]), (4 * 1016, [4, 4, 2]), (8 * 1016, [8, 2]), (10**6, [10])],
)
def test_stretches_are_whole_batches_within_the_limit(limit, stretches):
    scorer = Watched(width=250)  # 16 bytes of sums and counts, 1000 of the rest
    want = swept(Watched())
    got = swept(scorer, accumulator_bytes=limit)
    assert [n for n in scorer.begun if n > 1] == stretches
    np.testing.assert_array_equal(next(iter(got.values())).values, next(iter(want.values())).values)


def test_all_scorers_share_one_reading_of_each_checkpoint():
    model = nn.Sequential(nn.Linear(4, 3)).double()
    states = Counted(drawn_states(model, 6))
    trajectory = Trajectory(model, states, nn.CrossEntropyLoss(), origin="public")
    states.reads = [0] * 6
    names = ["loss-mean", "aum", "grad-norm-mean"]
    found = score(trajectory, RECORDS, names, view="local", assess=True)
    assert states.reads == [1] * 6
    whole = [Trajectory(model, [s], nn.CrossEntropyLoss(), origin="public") for s in states.states]
    for scores in found.values():
        assert scores.checkpoints == tuple(one.identity(0) for one in whole)


def test_progress_counts_records_at_checkpoints():
    told = []
    swept(Watched(250), accumulator_bytes=4 * 1016, progress=lambda *at: told.append(at))
    assert {total for _, total in told} == {30}
    done = [at for at, _ in told]
    assert done == sorted(done)
    assert done == [4, 8, 12, 16, 20, 24, 26, 28, 30]


def test_a_scorer_of_the_end_has_less_to_do():
    told = []
    swept(Loss(), progress=lambda *at: told.append(at))
    assert told == [(10, 10)]


def test_a_state_holds_what_the_rest_of_the_sweep_needs():
    kept = []

    def keep(state):
        kept.append(replace(state, tensors={k: t.clone() for k, t in state.tensors.items()}))

    names = ["loss-mean", "forgetting"]
    options = {"view": "local", "batch_size": 4, "accumulator_bytes": 1, "assess": True}
    trajectory = small_trajectory(5)
    whole = score(trajectory, RECORDS, names, keep=keep, **options)
    assert [(s.start, s.visited) for s in kept[:7]] == [
        *((0, t) for t in range(1, 6)),
        (4, 0),
        (4, 1),
    ]
    assert (kept[-1].start, kept[-1].visited) == (10, 0)
    for state in kept:
        told = []
        again = score(
            trajectory,
            RECORDS,
            names,
            state=state,
            progress=lambda *at, told=told: told.append(at),
            **options,
        )
        expected = (3 - state.start // 4) * 5 - state.visited if state.start < 10 else 0
        assert len(told) == expected
        for name in names:
            np.testing.assert_array_equal(again[name].values, whole[name].values)
            assert again[name].reliability == whole[name].reliability


def other_records():
    return RECORDS[0] + 1, RECORDS[1]


OTHER = {
    "scorers": lambda o: {**o, "scorers": ["aum"]},
    "settings": lambda o: {**o, "scorers": [LossMean(), "grad-norm"]},
    "records": lambda o: {**o, "data": other_records()},
    "labels": lambda o: {**o, "data": (RECORDS[0], RECORDS[1].roll(1))},
    "fewer records": lambda o: {**o, "data": (RECORDS[0][:8], RECORDS[1][:8])},
    "checkpoints": lambda o: {**o, "trajectory": small_trajectory(3, seed=9)},
    "stretches": lambda o: {**o, "accumulator_bytes": 10**6},
    "assessment": lambda o: {**o, "trajectory": small_trajectory(4), "assess": True},
}


@pytest.mark.parametrize("place", [1, 4, -1])
@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_a_state_of_another_scoring_is_refused(change, place):
    kept = []

    def keep(state):
        kept.append(replace(state, tensors={k: t.clone() for k, t in state.tensors.items()}))

    options = {
        "trajectory": small_trajectory(),
        "data": RECORDS,
        "scorers": ["loss-mean"],
        "view": "local",
        "assess": False,
        "batch_size": 4,
        "accumulator_bytes": 1,
    }
    score(**options, keep=keep)
    with pytest.raises(CheckpointError, match="this very scoring"):
        score(**change(options), state=kept[place])
    bare = replace(kept[place], tensors={})
    with pytest.raises(CheckpointError, match="this very scoring"):
        score(**options, state=bare)


def test_an_impossible_limit_is_refused():
    with pytest.raises(ConfigError, match="accumulator_bytes"):
        swept(Loss(), accumulator_bytes=0)


def test_a_shared_visit_and_a_lone_one_agree():
    trajectory = small_trajectory(learning_rates=(0.1, 0.2, 0.3))
    together = score(
        trajectory, RECORDS, ["loss", "aum", "tracin-self"], view="local", assess=False
    )
    for name, scores in together.items():
        lone = values_of(trajectory, RECORDS, name)
        np.testing.assert_allclose(scores.values, lone, rtol=1e-13)
