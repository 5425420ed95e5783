"""Plans: noise from public numbers alone, budgets that hold, and a variance that is right."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from private_runs import private_config

from equigrad.errors import ConfigError
from equigrad.federation.config.schema import PartyConfig
from equigrad.federation.messages import TrainRequest
from equigrad.federation.party import PartyAgent
from equigrad.federation.private.account import Charge, PartyAccount
from equigrad.federation.private.plan import PrivacyPlan, plan_party
from equigrad.federation.private.rules import make_rule
from equigrad.federation.private.spending import epsilon_spent
from equigrad.federation.setup import prepare
from equigrad.privacy.accounting import PrivacyEvent, epsilon
from equigrad.privacy.clipping import CLIPPING_RULES
from equigrad.privacy.clipping.flat import Flat
from equigrad.privacy.noise import GaussianMechanism, NoiseKey
from equigrad.privacy.training import release

SIZE = 50


def plan(records: int = 40, party: dict[str, Any] | None = None, **privacy: Any) -> PrivacyPlan:
    config = private_config(privacy)
    return plan_party(config, PartyConfig(name="a", **(party or {})), records, SIZE)


def test_numbers_of_a_plan_by_hand() -> None:
    made = plan(records=42)
    assert made.event.sampling_rate == 8 / 42
    assert made.expected_batch == 8
    assert made.round_steps == 6  # an epoch of 42 records in batches of 8
    assert made.planned_steps == made.limit_steps == 4 * 6
    assert made.event.noise_coordinates == SIZE
    assert made.event.seeded


def test_a_party_pays_for_its_own_rounds_only() -> None:
    config = private_config({"noise_multiplier": None}, evaluation={"standalone": False})
    late = plan_party(config, PartyConfig(name="a", join=2, leave=3), 40, SIZE)
    always = plan_party(config, PartyConfig(name="a"), 40, SIZE)
    assert (late.planned_steps, always.planned_steps) == (5, 20)
    assert late.event.noise_multiplier < always.event.noise_multiplier
    tight = plan_party(config, PartyConfig(name="a", epsilon=2.0), 40, SIZE)
    assert tight.event.noise_multiplier > always.event.noise_multiplier
    assert (tight.epsilon, always.epsilon) == (2.0, 8.0)


def test_training_alone_is_planned_for() -> None:
    config = private_config({"noise_multiplier": None}, evaluation={"standalone": True})
    assert plan_party(config, PartyConfig(name="a"), 40, SIZE).planned_steps == 40


@pytest.mark.parametrize("accountant", ["rdp", "pld"])
@pytest.mark.parametrize("rule", ["flat", "global-adapt"])
def test_all_rounds_together_stay_within_the_budget(accountant: str, rule: str) -> None:
    options = {"clip": 1.0} | ({"count_noise": 10.0} if rule == "global-adapt" else {})
    made = plan(
        noise_multiplier=None, accountant=accountant, epsilon=3.0, rule=rule, options=options
    )
    whole = made.event.with_steps(made.limit_steps)
    spent = epsilon([whole], made.delta, accountant=accountant)
    assert 0.99 * 3.0 <= spent <= 3.0
    assert epsilon_spent(made.event.to_json(), made.limit_steps, made.delta, accountant) == spent
    counted = made.event.counts
    assert counted == (((0.5, 10.0),) if rule == "global-adapt" else ())


def test_given_noise_limits_the_steps() -> None:
    made = plan(noise_multiplier=2.0, epsilon=1.0)
    assert made.round_steps <= made.limit_steps < made.planned_steps
    step = made.event
    assert epsilon([step.with_steps(made.limit_steps)], made.delta, accountant="rdp") <= 1.0
    assert epsilon([step.with_steps(made.limit_steps + 1)], made.delta, accountant="rdp") > 1.0


def test_a_budget_below_one_round_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"at least one round of 'a' \(5 steps\)"):
        plan(noise_multiplier=0.6, epsilon=0.1)


def test_parties_smaller_than_the_expected_batch_are_refused_by_name() -> None:
    sizes = {spec.name: len(spec.train) for spec in prepare(private_config()).specs}
    least = min(sizes.values())
    fitting = prepare(private_config({"expected_batch": least})).plans
    assert {plan.expected_batch for plan in fitting.values()} == {float(least)}
    source = 'method = "cgsv"\n\n[privacy]\nunit = "record"\nexpected_batch = 27\n'
    with pytest.raises(ConfigError) as caught:
        prepare(private_config({"expected_batch": least + 1}), source)
    message = str(caught.value)
    assert message.startswith("run file, line 5: Expected privacy.expected_batch")
    assert f"got {least + 1}" in message
    assert f"Take {least} or less." in message
    for name, size in sizes.items():
        assert (f"{name!r} ({size} records)" in message) == (size == least)


def test_the_batch_of_training_is_all_records_of_a_smaller_party() -> None:
    changes = {"training": {"lr": 0.1, "batch_size": 1000}}
    for spec in prepare(private_config(**changes)).specs:
        assert spec.plan is not None
        assert spec.plan.expected_batch == len(spec.train)


def test_more_expected_than_there_are_records() -> None:
    made = plan(records=5)
    assert (made.event.sampling_rate, made.expected_batch, made.round_steps) == (1.0, 5.0, 1)


@settings(max_examples=25, deadline=None)
@given(records=st.integers(1, 400), batch=st.integers(1, 64), epochs=st.integers(1, 3))
def test_rates_and_steps_are_possible_for_any_numbers(
    records: int, batch: int, epochs: int
) -> None:
    config = private_config(
        {"epsilon": 1e6, "noise_multiplier": 50.0},
        training={"batch_size": batch, "epochs": epochs},
    )
    made = plan_party(config, PartyConfig(name="a"), records, SIZE)
    assert 0 < made.event.sampling_rate <= 1
    assert math.isclose(made.event.sampling_rate * records, made.expected_batch)
    assert made.round_steps == epochs * math.ceil(records / made.expected_batch)


@pytest.mark.parametrize("name", sorted(CLIPPING_RULES))
def test_a_rule_is_made_again_from_what_its_event_says(name: str) -> None:
    signature = {"clip": 1.0, "threshold": 5.0}
    taken = CLIPPING_RULES[name].__init__.__code__.co_varnames
    rule = make_rule(name, {k: v for k, v in signature.items() if k in taken})
    event = PrivacyEvent(noise_multiplier=1.0, rule=name, settings=rule.describe())
    again = PrivacyEvent.from_json(event.to_json())
    options = {k: v for k, v in again.settings.items() if k != "rule"}
    assert make_rule(name, options).describe() == rule.describe()


@pytest.mark.parametrize(("form", "steps"), [("rounded", 1), ("fast", 4)])
def test_declared_variance_is_that_of_the_noise(
    form: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of zero leave nothing but the noise in an update; the account is left out."""
    config = private_config(
        {"noise_form": form}, training={"lr": 0.3, "batch_size": 8, "steps": steps}
    )
    spec = replace(prepare(config).specs[0], account=Path("unused.sqlite"))
    agent = PartyAgent(spec)
    seeds = iter(range(20))

    def free(self: PartyAccount, first: int, inputs: str) -> Charge:
        return Charge(NoiseKey.test(next(seeds)), tuple(range(steps)), steps)

    monkeypatch.setattr(PartyAccount, "charge", free)
    monkeypatch.setattr(Flat, "weights", lambda self, norms, groups=None: norms * 0)
    state = agent.initial_state()
    updates = [agent._private.train(state, 0).update.double().numpy() for _ in range(20)]
    noise = np.stack(updates)
    variance = spec.plan.noise_variance(0.3, noise.shape[1])
    assert abs(noise.var() / variance - 1) < 4.5 * np.sqrt(2 / noise.size)
    assert abs(noise.mean()) < 4.5 * np.sqrt(variance / noise.size)


def test_variance_is_computed_from_the_mechanism_that_adds_the_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan and the maker of noisy sums agree on the noise, to the last bit."""
    seen = []

    class Watched(GaussianMechanism):
        def add_(self, total: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
            seen.append(self.deviation(total.numel()))
            return super().add_(total, *args, **options)

    monkeypatch.setattr(release, "GaussianMechanism", Watched)
    for batch in (8, 20):
        setup = prepare(private_config({"expected_batch": batch, "noise_multiplier": 20.0}))
        spec = replace(setup.specs[0], account=tmp_path / f"{batch}.sqlite")
        agent = PartyAgent(spec)
        seen.clear()
        step = agent._private.train(agent.initial_state(), 0)
        rule = spec.plan.rule()
        assert set(seen) == {spec.plan.mechanism(rule).deviation(step.update.numel())}


@pytest.mark.parametrize("gamma", [100.0, 0.05])
def test_declared_noise_makes_squared_norms_unbiased(
    gamma: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One local step on all records: what bounding did to the noise is undone on average."""
    changes = {"training": {"lr": 0.5, "batch_size": 1000, "steps": 1}}
    spec = prepare(private_config(**changes)).specs[0]
    agent = PartyAgent(replace(spec, account=Path("unused.sqlite")))
    seeds = iter(range(1000))

    def free(self: PartyAccount, first: int, inputs: str) -> Charge:
        return Charge(NoiseKey.test(next(seeds)), (0,), 1)

    monkeypatch.setattr(PartyAccount, "charge", free)
    request = TrainRequest(round=0, bounding="clip", gamma=gamma, evaluate=False)
    corrected, raw = [], []
    for _ in range(40):
        _, reply = agent.handle(agent.initial_state(), request)
        square = float(reply.upload.double().square().sum())
        size, factor = reply.upload.numel(), reply.privacy["factor"]
        raw.append(square / factor**2)
        corrected.append((square - size * reply.noise["variance"]) / factor**2)
    monkeypatch.setattr(release.GaussianMechanism, "add_", lambda self, total, *a, **k: total)
    clean = float(agent._private.train(agent.initial_state(), 0).update.double().square().sum())
    error = np.std(corrected, ddof=1) / np.sqrt(len(corrected))
    assert abs(np.mean(corrected) - clean) < 4.5 * error
    assert abs(np.mean(raw) - clean) > 9 * error  # without the correction the noise is paid for
