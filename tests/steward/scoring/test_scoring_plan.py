"""The budget: one composition for everything, checked by a second accountant; refusals before."""

import dp_accounting as dpa
import pytest
from dp_accounting.pld import PLDAccountant
from score_settings import quick

from equigrad.errors import BudgetExceededError, ConfigError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import PrivacyEvent, epsilon, pure_release
from equigrad.steward.scoring.plan import planned, refuse_beyond_account, schedule

DELTA = 1e-5
QUICK = {"epsilon": 3.0, "steps": 10, "batch": 1000, "split": 0.5, "scorer_steps": 5}
"""All records in every step, and Rényi divergences: priced at once."""
RDP = {"privacy.accountant": "rdp"}
PRESETS = [
    {"epsilon": 1.0, "steps": 100, "batch": 300, "split": 0.5, "scorer_steps": None},
    {"epsilon": 3.0, "steps": 60, "batch": 100, "split": 0.5, "scorer_steps": 40},
    {"epsilon": 8.0, "steps": 40, "batch": 300, "split": 0.25, "scorer_steps": 20},
]


def made(preset, release="selected", selecting=(), selected=lambda event: event, **changes):
    settings = quick(
        **{
            "privacy.epsilon": preset["epsilon"],
            "privacy.delta": DELTA,
            "privacy.accountant": "pld",
            "privacy.expected_batch": preset["batch"],
            "training.steps": preset["steps"],
            "scoring.steps": preset["scorer_steps"],
            "selection.rule": "fixed-threshold",
            "selection.train": True,
            "selection.split": preset["split"],
            "selection.release": release,
            **changes,
        }
    )
    numbers = schedule(settings, 1000)
    template = PrivacyEvent(noise_multiplier=1.0, sampling_rate=numbers.rate, noise_coordinates=650)
    return planned(settings, numbers, template, selecting, selected)


def second_opinion(events):
    """Compose in dp-accounting's own accountant, which our code does not use, and coarser."""
    accountant = PLDAccountant(value_discretization_interval=2e-4)
    for event in events:
        one = dpa.PoissonSampledDpEvent(
            event.sampling_rate, dpa.GaussianDpEvent(event.noise_multiplier)
        )
        accountant.compose(one, event.steps)
    return accountant.get_epsilon(DELTA)


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_everything_released_costs_epsilon_and_a_second_accountant_agrees(preset):
    plan = made(preset)
    target = preset["epsilon"]
    ledger = plan.ledger()
    assert [event.label for event in ledger] == [
        "score: scorer's model",
        "score: model of the selection",
    ]
    cost = epsilon(ledger, DELTA)
    assert 0.98 * target <= cost <= target
    assert second_opinion(ledger) == pytest.approx(cost, rel=0.01)
    scoring = epsilon([plan.scorer], DELTA)
    assert 0.98 * preset["split"] * target <= scoring <= preset["split"] * target
    whole = epsilon([plan.arms["baseline"]], DELTA)
    assert 0.98 * target <= whole <= target
    # Epsilons are never added: composing leaves the second training more than the rest.
    assert epsilon([plan.arms["selected"]], DELTA) > target - scoring


def test_the_released_arm_decides_what_the_ledger_holds():
    preset = {**QUICK, "epsilon": 8.0}
    baseline = made(preset, release="baseline", **RDP)
    assert baseline.ledger() == [baseline.arms["baseline"]]
    assert not baseline.charges("scorer")
    assert not baseline.charges("selecting")
    best = made(preset, release="best", **RDP)
    assert best.ledger() == [best.scorer, best.arms["selected"], best.arms["baseline"]]
    assert 0.98 * 8 <= epsilon(best.ledger(), DELTA, accountant="rdp") <= 8
    alone = made(preset, **RDP)
    assert best.arms["baseline"].noise_multiplier > alone.arms["baseline"].noise_multiplier


def test_a_selection_that_releases_or_replaces_is_paid_for():
    preset = QUICK
    plain = made(preset, **RDP)
    quantile = pure_release("quantile", epsilon=0.3)
    paid = made(preset, selecting=[quantile], **RDP)
    assert paid.ledger()[1] == quantile
    assert 0.98 * 3 <= epsilon(paid.ledger(), DELTA, accountant="rdp") <= 3
    assert paid.arms["selected"].noise_multiplier > plain.arms["selected"].noise_multiplier
    assert paid.arms["baseline"] == plain.arms["baseline"]

    def replaced(event):
        return PrivacyEvent.from_json({**event.to_json(), "neighbouring": "replace-one"})

    swapped = made(preset, selected=replaced)
    assert 0.98 * 3 <= epsilon(swapped.ledger(), DELTA) <= 3
    ordinary = made(preset)
    assert swapped.arms["selected"].noise_multiplier > ordinary.arms["selected"].noise_multiplier


def test_scoring_alone_costs_the_whole_budget():
    preset = {**QUICK, "epsilon": 8.0}
    plan = made(preset, **{"selection.train": False, **RDP})
    assert plan.ledger() == [plan.scorer]
    assert 0.98 * 8 <= epsilon(plan.ledger(), DELTA, accountant="rdp") <= 8
    assert plan.arms == {}


def test_what_cannot_fit_is_refused():
    with pytest.raises(BudgetExceededError, match="by what is fixed already"):
        made(QUICK, selecting=[pure_release("quantile", epsilon=6.0)], **RDP)
    once = {**QUICK, "batch": 1, "steps": 1, "scorer_steps": 1}  # hardly ever drawn
    with pytest.raises(ConfigError, match="asks for noise"):
        made(once, **{"selection.train": False, "privacy.delta": 0.01})


def test_a_plan_that_an_account_cannot_pay_is_refused_whole(tmp_path):
    plan = made(QUICK, **RDP)
    path = tmp_path / "account.sqlite"
    with PrivacyAccount.open(
        path, owner="me", epsilon=2.0, delta=DELTA, accountant="rdp"
    ) as account:
        before = account.head()
        with pytest.raises(BudgetExceededError, match=r"model of the selection.*account of me"):
            refuse_beyond_account(plan, account)
        assert account.head() == before
    with PrivacyAccount.open(
        tmp_path / "b", owner="me", epsilon=3.0, delta=DELTA, accountant="rdp"
    ) as account:
        refuse_beyond_account(plan, account)


def test_rates_and_steps_follow_from_public_numbers():
    numbers = schedule(quick(**{"privacy.expected_batch": None, "training.steps": None}), 1000)
    assert (numbers.batch, numbers.rate, numbers.steps) == (300, 0.3, 100)
    assert numbers.checkpoints == (25, 50, 75, 100)
    declared = schedule(
        quick(**{"privacy.expected_batch": 100, "privacy.public_records": 500}), 470
    )
    assert (declared.records, declared.rate) == (500, 0.2)
    epochs = {"training.steps": None, "training.epochs": 4.0, "privacy.expected_batch": 100}
    assert schedule(quick(**epochs), 1000).steps == 40
    with pytest.raises(ConfigError, match=r"privacy.expected_batch \(--batch\) of at most"):
        schedule(quick(**{"privacy.expected_batch": 5000}), 1000)
