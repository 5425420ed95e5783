"""The twin without privacy, early stopping, averaging, diagnostics and the states of helpers."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from training_cases import RULES, flat, net, rows, trainer

from equigrad.errors import BudgetExceededError, ConfigError, PrivacyError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import epsilon
from equigrad.privacy.noise import NoiseKey, count_mechanism
from equigrad.privacy.training import (
    PaidEvaluation,
    PoissonSampler,
    PublicData,
    paired_non_private,
    poisson_rows,
)
from equigrad.privacy.training.encoding import join, split


@pytest.mark.parametrize("physical", [None, 3])
@pytest.mark.parametrize("rule", ["flat", "global", "global-adapt", "quantile"])
def test_without_noise_and_clipping_a_run_follows_its_twin(rule: str, physical: int | None) -> None:
    huge = {
        "flat": {"clip": 1e6},
        "global": {"clip": 1e6, "threshold": 1e6},
        "global-adapt": {"clip": 1e6, "threshold": 1e6, "threshold_max": 1e6},
        "quantile": {"clip": 1e6, "clip_min": 1e6, "clip_max": 1e6},
    }[rule]
    model = net(torch.float32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.5)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.5)
    run = trainer(
        model,
        rows(dtype=torch.float32),
        optimizer=optimizer,
        scheduler=scheduler,
        rule=rule,
        rule_options=huge,
        noise_multiplier=0.0,
        max_physical=physical,
    )
    twin = paired_non_private(run)
    start = flat(model).clone()
    run.train()
    twin.train()
    assert (flat(run.model) - flat(twin.model)).abs().max() < 1e-6
    assert (flat(run.model) - start).abs().max() > 1e-2
    assert twin.private is False


def test_a_twin_has_its_own_rate_and_leaves_the_run_alone() -> None:
    alone, run = trainer(), trainer()
    twin = paired_non_private(run, lr=0.05)
    twin.train(3)
    run.train(3)
    alone.train(3)
    assert torch.equal(flat(run.model), flat(alone.model))
    assert twin.optimizer.param_groups[0]["lr"] == 0.05
    assert twin.steps_done == 3
    by_hand = net()
    x, y, _ = rows()
    for step in range(3):
        chosen = poisson_rows(NoiseKey.test(5), step, 120, 20 / 120)
        by_hand.zero_grad()
        outputs = by_hand(x[chosen])
        (nn.functional.cross_entropy(outputs, y[chosen], reduction="sum") / 20).backward()
        with torch.no_grad():
            for p in by_hand.parameters():
                p -= 0.05 * p.grad
    torch.testing.assert_close(flat(twin.model), flat(by_hand))
    with pytest.raises(PrivacyError, match="first step"):
        paired_non_private(run)


def test_public_rows_stop_a_run_for_free() -> None:
    x, y, _ = rows(40, seed=9)
    watch = PublicData((x, y), every=1, patience=2, min_gain=1e9)
    run = trainer(steps=50, early_stopping=watch)
    assert run.train() == 3  # the first look sets the mark, two more bring no such gain
    assert run.stopped
    assert [event.label for event in run.events] == ["private training"]
    assert run.train() == 0
    accuracy = PublicData((x, y), metric="accuracy", every=1, patience=50)
    run = trainer(steps=2, early_stopping=accuracy)
    run.train()
    model = run.model.eval()
    with torch.no_grad():
        right = (model(x).argmax(1) == y).double().mean()
    assert accuracy.scores[-1] == pytest.approx(float(right))


def test_a_paid_look_is_the_noisy_count_and_is_charged() -> None:
    x, y, _ = rows(80, seed=9)
    watch = PaidEvaluation((x, y), noise=6.0, every=2, patience=50, public_size=100)
    run = trainer(steps=6, early_stopping=watch, accountant="rdp")
    run.train(2)
    with torch.no_grad():
        right = float((run.model(x).argmax(1) == y).sum())
    noisy = count_mechanism(6.0, 1.0).release(
        torch.tensor([right], dtype=torch.float64), NoiseKey.test(5), 0, "evaluation"
    )
    assert watch.scores == [float(noisy) / 100]
    run.train()
    steps, looks = run.events
    assert (steps.steps, looks.steps, looks.noise_multiplier) == (6, 3, 6.0)
    assert float(run.epsilon) == pytest.approx(epsilon([steps, looks], 1e-4, accountant="rdp"))
    assert float(run.epsilon) > epsilon([steps], 1e-4, accountant="rdp")


def test_a_target_leaves_room_for_the_looks() -> None:
    watch = PaidEvaluation(rows(80, 9)[:2], noise=10.0, every=3, patience=50)
    target = {"noise_multiplier": None, "target_epsilon": 2.0, "accountant": "rdp"}
    run = trainer(early_stopping=watch, **target)
    plain = trainer(**target)
    assert run.settings.noise_multiplier > plain.settings.noise_multiplier
    run.train()
    assert float(run.epsilon) <= 2.0


def test_an_account_without_room_for_the_looks_refuses_the_run(tmp_path: Path) -> None:
    run = trainer(accountant="rdp")
    run.train()
    limit = float(run.epsilon) * 1.05
    watch = PaidEvaluation(rows(80, 9)[:2], noise=0.5, every=1, patience=50)
    with PrivacyAccount.open(
        tmp_path / "a", owner="me", epsilon=limit, delta=1e-4, accountant="rdp"
    ) as account:
        with pytest.raises(BudgetExceededError):
            trainer(account=account, early_stopping=watch)
        assert account.unfinished() == []
        assert account.spent() == 0


def test_the_average_is_that_of_the_iterates() -> None:
    states = []
    run = trainer(average_decay=0.8, progress=lambda report: states.append(flat(run.model).clone()))
    expected = flat(run.model).clone()
    run.train(6)
    for t, state in enumerate(states, start=1):
        decay = min(0.8, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * state
    torch.testing.assert_close(flat(run.averaged()), expected)
    assert torch.equal(flat(run.model), states[-1])
    with pytest.raises(ConfigError, match="average_decay"):
        trainer().averaged()


class Watcher:
    """A diagnostic hook that keeps what it is shown."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.closed: list[dict[str, Any]] = []
        self.weights: list[torch.Tensor] = []
        self.parameters: list[torch.Tensor] = []

    def due(self, step: int) -> bool:
        return step % 2 == 0

    def observe(self, grads: Any, weights: torch.Tensor, groups: torch.Tensor) -> None:
        assert groups.shape == weights.shape == grads.norms.shape
        self.rows.append(grads.size)
        self.weights.append(weights)

    def close(self, step: int, model: nn.Module, **facts: Any) -> None:
        self.closed.append({"step": step, **facts})
        self.parameters.append(flat(model).clone())


@pytest.mark.parametrize("rule", ["flat", "group-adaptive", "global-adapt"])
def test_diagnostics_see_the_step_and_change_nothing(rule: str) -> None:
    watcher, start = Watcher(), flat(net()).clone()
    seen = trainer(rule=rule, diagnostics=watcher, max_physical=8)
    plain = trainer(rule=rule, max_physical=8)
    seen.train(5)
    plain.train(5)
    assert torch.equal(flat(seen.model), flat(plain.model))
    assert [facts["step"] for facts in watcher.closed] == [0, 2, 4]
    sizes = [len(poisson_rows(NoiseKey.test(5), s, 120, 20 / 120)) for s in (0, 2, 4)]
    assert sum(watcher.rows) == sum(sizes)
    assert torch.equal(watcher.parameters[0], start)
    first = watcher.closed[0]
    assert (first["noise_multiplier"], first["public_batch_size"]) == (0.8, 20.0)
    assert first["plain_sgd"] is True
    assert "diagnostics recorded during training" in seen.statement.not_covered


def test_a_loader_brings_its_rows_and_rate() -> None:
    x, y, _ = rows()
    data = torch.utils.data.TensorDataset(x, y)
    sampler = PoissonSampler(120, 0.25, key=NoiseKey.test(3))
    loader = torch.utils.data.DataLoader(data, batch_sampler=sampler)
    run = trainer(data=loader, public_batch_size=None)
    assert (run.settings.sampling_rate, run.settings.public_batch_size) == (0.25, 30.0)
    run.train(2)


def test_epochs_are_counted_by_the_true_rate() -> None:
    run = trainer(steps=None, epochs=3.0, public_batch_size=7.0)
    assert run.settings.sampling_rate == 7 / 120
    assert run.settings.steps == 51  # 3 * 120 / 7 = 51.4, never 3 * int(120 / 7)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=60)
@given(plain)
def test_states_come_back_as_they_were(state: Any) -> None:
    body, tensors = split({"state": state}, "x")
    assert join(body, tensors) == {"state": state}


def test_tensors_counters_and_numbers_come_back_bit_for_bit() -> None:
    state = {
        0: {"step": torch.tensor(3.0), "m": torch.randn(2, 3, generator=torch.Generator())},
        "milestones": Counter({3: 1, 8: 2}),
        "odd": (float("inf"), float("-inf"), np.float64(0.1), np.arange(3)),
        "bits": torch.tensor([1, 2], dtype=torch.int64),
        "set": {3, 1},
    }
    body, tensors = split(state, "x")
    back = join(body, tensors)
    assert torch.equal(back[0]["m"], state[0]["m"])
    assert back[0]["step"].shape == ()
    assert isinstance(back["milestones"], Counter)
    assert back["milestones"] == state["milestones"]
    assert back["odd"][:3] == (float("inf"), float("-inf"), 0.1)
    assert np.array_equal(back["odd"][3], np.arange(3))
    assert back["bits"].dtype == torch.int64
    assert back["set"] == {1, 3}
    with pytest.raises(ConfigError, match="pickles"):
        split({"f": len}, "x")


def test_every_rule_can_be_saved_and_begun_again(tmp_path: Path) -> None:
    from equigrad.privacy.training import PrivateTrainer

    for name in RULES:
        run = trainer(rule=name)
        run.train(3)
        run.save(tmp_path / name)
        after = flat(run.model).clone()
        run.pause()
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        again = PrivateTrainer.resume(
            tmp_path / name, model, optimizer, nn.CrossEntropyLoss(), rows()
        )
        assert again.rule.describe() == run.rule.describe()
        assert torch.equal(flat(again.model), after)
        again.train(3)
        whole = trainer(rule=name)
        whole.train(6)
        assert torch.equal(flat(again.model), flat(whole.model))
