"""Checkpoints kept of private runs, their twins and plain loops: which ones, with which facts."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from equigrad.errors import BudgetExceededError, CheckpointError, ConfigError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.training import PrivateTrainer, PublicData, paired_non_private
from equigrad.valuation import CheckpointKeeper, checkpoint_steps, collect, score


def rows() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(60, 4, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(3, (60,), generator=generator)


def linear() -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Linear(4, 3).double()


def run(model: nn.Module | None = None, optimizer: Any = None, **options: Any) -> PrivateTrainer:
    model = linear() if model is None else model
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.5)
    settings: dict[str, Any] = {
        "rule": "flat",
        "rule_options": {"clip": 0.7},
        "noise_multiplier": 0.9,
        "delta": 1e-4,
        "steps": 12,
        "public_batch_size": 20,
        "test_seed": 5,
    }
    return PrivateTrainer(
        model, optimizer, nn.CrossEntropyLoss(), rows(), **{**settings, **options}
    )


@given(st.integers(1, 400), st.integers(1, 60))
def test_the_schedule_is_even_ends_at_the_end_and_depends_on_numbers_only(steps, checkpoints):
    schedule = checkpoint_steps(steps, checkpoints)
    assert len(schedule) == len(set(schedule)) == min(steps, checkpoints)
    assert schedule[-1] == steps
    assert schedule[0] >= 1
    gaps = [b - a for a, b in zip((0, *schedule), schedule, strict=False)]
    assert max(gaps) - min(gaps) <= 1


def test_states_are_those_of_the_same_run_made_step_by_step():
    trajectory = collect(run(), checkpoints=4)
    assert trajectory.steps == (3, 6, 9, 12)
    again = run()
    for k, kept in enumerate(trajectory.states):
        again.train(3)
        for name, tensor in again.model.state_dict().items():
            assert torch.equal(kept[name], tensor), (k, name)


def test_a_private_runs_facts_come_along():
    trainer = run()
    trajectory = collect(trainer, checkpoints=3)
    assert trajectory.origin == "private"
    assert trajectory.seeded
    assert trajectory.optimizer == "SGD"
    assert trajectory.learning_rates == (0.5, 0.5, 0.5)
    assert trajectory.events == tuple(trainer.events)
    assert sum(event.steps for event in trajectory.events) == 12
    constants = trajectory.private_steps
    assert constants is not None
    assert (constants.clip, constants.noise_multiplier, constants.steps) == (0.7, 0.9, 12)
    assert (constants.sampling_rate, constants.delta) == (pytest.approx(1 / 3), 1e-4)


def test_a_run_with_a_secret_key_is_not_marked_as_seeded():
    assert not collect(run(test_seed=None), checkpoints=2).seeded


def test_a_run_without_noise_is_unprotected():
    trajectory = collect(run(noise_multiplier=0.0), checkpoints=2)
    assert trajectory.origin == "unprotected"
    assert trajectory.private_steps is None


@pytest.mark.parametrize(
    "options",
    [{"rule": "auto-s"}, {"rule": "quantile", "rule_options": {"clip": 0.6, "count_noise": 5.0}},
     {"max_logical_batch": 30},
     {"neighbouring": "replace-one"},
     {"stability": 2}],
)  # fmt: skip
def test_no_constants_where_they_would_not_say_what_a_record_spends(options):
    assert collect(run(**options), checkpoints=2).private_steps is None


def test_the_progress_of_the_run_is_still_told_and_put_back():
    told = []
    trainer = run(progress=lambda report: told.append(report.step))
    hook = trainer.progress
    collect(trainer, checkpoints=3)
    assert told == list(range(1, 13))
    assert trainer.progress is hook


def test_rates_are_those_of_the_steps_that_led_to_the_states():
    model = linear()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1 - t / 12)
    trainer = run(model, optimizer, scheduler=scheduler)
    twin = paired_non_private(trainer)
    expected = tuple(1 - (step - 1) / 12 for step in (4, 8, 12))
    assert collect(trainer, checkpoints=3).learning_rates == pytest.approx(expected)
    assert collect(twin, checkpoints=3).learning_rates == pytest.approx(expected)


def test_groups_with_rates_of_their_own_have_no_common_one():
    model = linear()
    groups = [{"params": [model.weight], "lr": 0.5}, {"params": [model.bias], "lr": 0.1}]
    trajectory = collect(run(model, torch.optim.SGD(groups)), checkpoints=2)
    assert trajectory.learning_rates is None


def test_a_begun_run_is_divided_from_where_it_stands():
    trainer = run()
    trainer.train(4)
    assert collect(trainer, checkpoints=4).steps == (6, 8, 10, 12)
    with pytest.raises(CheckpointError, match="after all 12"):
        collect(trainer)


def test_a_run_that_stops_early_keeps_its_last_state():
    never_better = PublicData(rows(), min_gain=100.0, patience=1, every=2)
    trainer = run(early_stopping=never_better)
    trajectory = collect(trainer, checkpoints=4)
    assert trainer.stopped
    assert trajectory.steps is not None
    assert trajectory.steps[-1] == trainer.steps_done < 12
    assert torch.equal(trajectory.states[-1]["weight"], trainer.model.state_dict()["weight"])
    assert trajectory.private_steps is not None
    assert trajectory.private_steps.steps == trainer.steps_done
    with pytest.raises(CheckpointError, match="stopped early"):
        collect(trainer)


def test_what_was_met_before_an_error_stays_with_the_caller(tmp_path):
    def fails(report):
        if report.step == 7:
            raise BudgetExceededError("nothing left")

    kept: list[Any] = []
    with pytest.raises(BudgetExceededError):
        collect(run(progress=fails), checkpoints=4, into=kept)
    assert len(kept) == 2
    with pytest.raises(CheckpointError, match="empty sequence"):
        collect(run(), into=kept)


def test_keeping_states_costs_nothing(tmp_path):
    file = tmp_path / "account"
    account = PrivacyAccount.open(file, owner="us", epsilon=50.0, delta=1e-3)
    trainer = run(test_seed=None, account=account)
    trajectory = collect(trainer, checkpoints=12)
    assert list(trajectory.events) == list(trainer.events)
    assert sum(event.steps for event in trainer.events) == 12


def test_a_twin_is_unprotected_and_follows_its_own_steps():
    twin, again = (paired_non_private(run()) for _ in range(2))
    trajectory = collect(twin, checkpoints=2)
    assert trajectory.origin == "unprotected"
    assert trajectory.steps == (6, 12)
    assert trajectory.events == ()
    again.train(6)
    assert torch.equal(trajectory.states[0]["weight"], again.model.state_dict()["weight"])


def test_a_loop_of_ones_own_keeps_what_it_calls_for():
    model, (inputs, labels) = linear(), rows()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    keeper = CheckpointKeeper(model, optimizer, steps=6, checkpoints=3)
    met = []
    for _ in range(6):
        optimizer.zero_grad()
        cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        keeper()
        met.append(model.weight.detach().clone())
    trajectory = keeper.trajectory(nn.CrossEntropyLoss(), origin="public")
    assert trajectory.steps == (2, 4, 6)
    assert [
        torch.equal(s["weight"], met[k]) for s, k in zip(trajectory.states, (1, 3, 5), strict=True)
    ]
    assert trajectory.learning_rates == (0.3, 0.3, 0.3)
    assert torch.equal(trajectory.states[0]["weight"], met[1])
    scores = score(trajectory, rows(), view="local")
    assert len(scores["aum"]) == 60
    with pytest.raises(CheckpointError, match="planned 6"):
        keeper()


def test_a_loop_that_ends_early_may_keep_its_end():
    keeper = CheckpointKeeper(linear(), steps=10, checkpoints=2)
    with pytest.raises(CheckpointError, match="at least one checkpoint"):
        keeper.trajectory(nn.CrossEntropyLoss(), origin="public")
    keeper.keep()
    assert not keeper.states
    for _ in range(5):
        keeper()
    keeper.keep()
    keeper()
    keeper.keep()
    trajectory = keeper.trajectory(nn.CrossEntropyLoss(), origin="unprotected")
    assert trajectory.steps == (5, 6)
    assert trajectory.learning_rates is None
    assert trajectory.optimizer is None


def test_the_origin_has_no_default():
    keeper = CheckpointKeeper(linear(), steps=1)
    keeper()
    with pytest.raises(TypeError, match="origin"):
        keeper.trajectory(nn.CrossEntropyLoss())  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="origin"):
        keeper.trajectory(nn.CrossEntropyLoss(), origin="other")  # type: ignore[arg-type]


def test_states_may_be_kept_elsewhere():
    class Seen(list[Any]):
        pass

    elsewhere = Seen()
    trajectory = collect(run(), checkpoints=3, into=elsewhere)
    assert trajectory.states is elsewhere
    assert len(elsewhere) == 3
