"""Sales: reserved before noise, spent with it, the same bytes again, and costs by adding up."""

import json
import math
import subprocess
import sys
import threading
from pathlib import Path

import dp_accounting as dpa
import numpy as np
import pytest
from dp_accounting.rdp import RdpAccountant
from sqlalchemy import text

from equigrad.errors import BudgetExceededError, ConfigError, PrivacyError
from equigrad.privacy.account import SALE_COSTS, PrivacyAccount, SalesAccount
from equigrad.privacy.account.costs import account_epsilon, basic_epsilon, basic_parts
from equigrad.privacy.accounting import PrivacyEvent, epsilon, gaussian_epsilon, pure_release

WORKER = Path(__file__).with_name("sales_workers.py")


def pure(eps, **more):
    return pure_release("gradient", epsilon=eps, neighbouring="replace-one", **more)


def laplace(eps, **more):
    return PrivacyEvent(mechanism="laplace", noise_multiplier=1 / eps, **more)


def opened(path, epsilon=1.0, cost="basic", delta=1e-6):
    return SalesAccount.open(
        path, owner="a", epsilon=epsilon, delta=delta, accountant=SALE_COSTS[cost]
    )


def counting(contents=(b"first", b"second", b"third")):
    drawn = iter(contents)
    seen = []

    def draw():
        seen.append(next(drawn))
        return seen[-1]

    return draw, seen


def test_a_sale_goes_from_reserved_to_spent_and_keeps_its_bytes(tmp_path):
    draw, seen = counting()
    with opened(tmp_path / "a.db") as account:
        sale = account.reserve("award", pure(0.5), buyer="b", round_number=3)
        assert (sale.state, sale.epsilon, sale.delta) == ("reserved", 0.5, 0.0)
        assert (account.spent(), account.remaining()) == (0.0, 0.5)
        assert account.deliver("award", draw) == b"first"
        assert account.deliver("award", draw) == b"first"
        assert (account.spent(), account.remaining()) == (0.5, 0.5)
    with SalesAccount.open(tmp_path / "a.db") as account:
        assert account.deliver("award", draw) == b"first"
        assert seen == [b"first"]
        (sale,) = account.sales()
        assert sale == account.sale("award")
        assert (sale.award, sale.buyer, sale.round_number, sale.state) == ("award", "b", 3, "spent")
        assert [entry.kind for entry in account.entries()] == ["begin", "step", "end"]


def test_what_does_not_fit_is_refused_before_noise_is_drawn(tmp_path):
    with opened(tmp_path / "a.db") as account:
        account.reserve("one", pure(0.75), buyer="b", round_number=1)
        with pytest.raises(BudgetExceededError, match=r"award two.*left 0\.25"):
            account.reserve("two", pure(0.5), buyer="b", round_number=1)
        assert [sale.award for sale in account.sales()] == ["one"]
        account.reserve("three", pure(0.25), buyer="b", round_number=1)
        assert account.remaining() == 0.0
        with pytest.raises(PrivacyError, match="Reserve it first"):
            account.deliver("two", lambda: b"noise")


def test_expired_before_noise_is_released_and_spent_stays_spent(tmp_path):
    draw, seen = counting()
    with opened(tmp_path / "a.db") as account:
        account.reserve("late", pure(0.75), buyer="b", round_number=1)
        assert account.expire("late").state == "released"
        assert account.expire("late").state == "released"
        assert account.remaining() == 1.0
        with pytest.raises(PrivacyError, match="expired"):
            account.deliver("late", draw)
        with pytest.raises(PrivacyError, match="expired"):
            account.reserve("late", pure(0.75), buyer="b", round_number=1)
        assert seen == []
        account.reserve("done", pure(0.75), buyer="b", round_number=1)
        account.deliver("done", draw)
        assert account.expire("done").state == "spent"
        assert account.spent() == 0.75


def test_accepting_twice_is_accepting_once(tmp_path):
    with opened(tmp_path / "a.db") as account:
        for _ in range(3):
            account.reserve("award", pure(0.75), buyer="b", round_number=1)
        assert account.remaining() == 0.25
        for changed in (
            {"buyer": "c", "round_number": 1, "event": pure(0.75)},
            {"buyer": "b", "round_number": 2, "event": pure(0.75)},
            {"buyer": "b", "round_number": 1, "event": pure(0.25)},
        ):
            with pytest.raises(PrivacyError, match="accepted once"):
                account.reserve("award", **changed)


def test_awards_above_the_cap_are_declined(tmp_path):
    with opened(tmp_path / "a.db") as account:
        with pytest.raises(PrivacyError, match="cap"):
            account.reserve("award", pure(0.75), buyer="b", round_number=1, cap=0.5)
        assert (
            account.reserve("award", pure(0.5), buyer="b", round_number=1, cap=0.5).epsilon == 0.5
        )


@pytest.mark.parametrize("fault", [ValueError("a gradient with NaN"), None, b"", "text"])
def test_a_drawing_that_fails_spends_nothing(tmp_path, fault):
    def draw():
        if isinstance(fault, ValueError):
            raise fault
        return fault

    with opened(tmp_path / "a.db") as account:
        account.reserve("award", pure(0.5), buyer="b", round_number=1)
        with pytest.raises((ValueError, PrivacyError)):
            account.deliver("award", draw)
        assert (account.sale("award").state, account.spent()) == ("reserved", 0.0)
        assert account.deliver("award", lambda: b"sound") == b"sound"


def test_bytes_that_were_changed_or_lost_are_never_drawn_again(tmp_path):
    with opened(tmp_path / "a.db") as account:
        for award in ("changed", "forgotten"):
            account.reserve(award, pure(0.25), buyer="b", round_number=1)
            account.deliver(award, lambda: b"noise")
        with account._store.transaction() as connection:
            connection.execute(text("UPDATE uploads SET content = x'00' WHERE award = 'changed'"))
        account.forget("forgotten")
        for award, got in (("changed", "others"), ("forgotten", "none")):
            with pytest.raises(PrivacyError, match=f"got {got}"):
                account.deliver(award, lambda: b"fresh")
        assert account.spent() == 0.5
        account.reserve("open", pure(0.25), buyer="b", round_number=1)
        with pytest.raises(PrivacyError, match="delivered"):
            account.forget("open")


def test_sales_share_the_limit_with_training_and_scores(tmp_path):
    with opened(tmp_path / "a.db", epsilon=2.0) as account:
        account.reserve("award", pure(1.0), buyer="b", round_number=1)
        step = PrivacyEvent(noise_multiplier=20.0)
        run = account.begin_run(step, name="training", steps=10)
        run.begin_step(0, "x")
        cost = epsilon([step.with_steps(10)], 1e-6)
        assert account.remaining() == pytest.approx(1.0 - cost)
        with pytest.raises(BudgetExceededError, match="would fit"):
            run.extend(10**4)
        run.end()
        account.charge(laplace(0.25))
        assert account.spent() == pytest.approx(0.25 + epsilon([step], 1e-6))
        assert account.statement().epsilon < 2.0
    with PrivacyAccount.open(tmp_path / "a.db") as plain:
        assert plain.accountant == "basic"
        assert plain.unfinished() == ["sale award"]


def test_a_file_of_before_gets_its_table_when_it_first_sells(tmp_path):
    with opened(tmp_path / "a.db") as account:
        with account._store.transaction() as connection:
            connection.execute(text("DROP TABLE uploads"))
        account.reserve("award", pure(0.5), buyer="b", round_number=1)
        assert account.deliver("award", lambda: b"noise") == b"noise"


def test_eight_writers_at_once_never_pass_the_limit(tmp_path):
    path = tmp_path / "a.db"
    opened(path, epsilon=3.0).close()
    sent, refused, errors = [], [], []

    def seller(number):
        try:
            with SalesAccount.open(path, timeout=120.0) as account:
                for k in range(4):
                    award = f"{number}-{k}"
                    try:
                        account.reserve(award, pure(0.25), buyer="b", round_number=k)
                    except BudgetExceededError:
                        refused.append(award)
                        continue
                    content = f"{award} {np.random.default_rng().random()}".encode()
                    sent.append((award, account.deliver(award, lambda kept=content: kept)))
                # Everybody also delivers the same award, of which there is one upload.
                account.reserve("shared", pure(0.25), buyer="b", round_number=9)
                mine = str(number).encode()
                sent.append(("shared", account.deliver("shared", lambda: mine)))
        except BudgetExceededError:
            refused.append("shared")
        except Exception as error:  # a thread must tell
            errors.append(error)

    threads = [threading.Thread(target=seller, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with SalesAccount.open(path) as account:
        spent = [sale for sale in account.sales() if sale.state == "spent"]
        assert account.spent() == math.fsum(sale.epsilon for sale in spent) == 3.0
        assert len(spent) == 12
        assert len(refused) >= 32 - 12
        for award, content in sent:
            assert account.deliver(award, lambda: b"fresh") == content


def test_killed_at_any_point_nothing_is_lost_and_nothing_is_drawn_twice(tmp_path):
    path = tmp_path / "a.db"
    opened(path, epsilon=10.0).close()
    done = subprocess.run(
        [sys.executable, str(WORKER), str(path)], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    left = [line["left"] for line in lines if "left" in line]
    found = {line["point"]: line for line in lines if "point" in line}
    states = {
        "reserving": None,
        "reserved": "reserved",
        "drawing": "reserved",
        "stored": "reserved",
        "charged": "reserved",
        "ended": "reserved",
        "committed": "spent",
    }
    assert set(found) == set(states)
    before = 0.0
    for point, state in states.items():
        line = found[point]
        assert (line["killed"], line["state"]) == (True, state)
        assert line["spent"] == before + (0.25 if state == "spent" else 0.0)
        assert line["after"] == before + 0.25
        assert line["retries"] == [line["digest"]]
        before = line["after"]
    assert left == [found["committed"]["digest"]]  # bytes left once only, and are those kept


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_steps_keeps_limit_and_bytes(tmp_path, seed):
    chance = np.random.default_rng(seed)
    path, limit = tmp_path / "a.db", 2.0
    account = opened(path, epsilon=limit)
    states, bytes_, cost = {}, {}, {}
    for turn in range(70):
        award = str(chance.integers(12))
        what = chance.choice(["reserve", "deliver", "expire", "reopen"], p=[0.4, 0.35, 0.15, 0.1])
        held = math.fsum(cost[a] for a, s in states.items() if s != "released")
        if what == "reserve":
            eps = cost.setdefault(award, float(chance.integers(1, 9)) / 16)
            state = states.get(award)
            if state is None and held + eps <= limit:
                states[award] = account.reserve(award, pure(eps), buyer="b", round_number=1).state
            elif state in ("reserved", "spent"):
                assert account.reserve(award, pure(eps), buyer="b", round_number=1).state == state
            else:
                with pytest.raises(PrivacyError):
                    account.reserve(award, pure(eps), buyer="b", round_number=1)
        elif what == "deliver":
            if states.get(award) in ("reserved", "spent"):
                sent = account.deliver(award, lambda fresh=f"{award} {turn}": fresh.encode())
                assert sent == bytes_.setdefault(award, sent)
                states[award] = "spent"
            else:
                with pytest.raises(PrivacyError):
                    account.deliver(award, lambda: b"never")
        elif what == "expire" and award in states:
            states[award] = "released" if states[award] != "spent" else "spent"
            assert account.expire(award).state == states[award]
        elif what == "reopen":
            account.close()
            account = SalesAccount.open(path)
        assert {sale.award: sale.state for sale in account.sales()} == states
        spent = math.fsum(cost[a] for a, s in states.items() if s == "spent")
        assert account.spent() == spent
        assert limit - account.remaining() <= limit
    account.entries()
    account.close()


def test_check_values_of_the_costs():
    many, few = [laplace(0.1, steps=100)], [pure(1.0, steps=8)]
    assert account_epsilon(many, 1e-6, "basic") == 10.0
    assert account_epsilon(many, 1e-6, "basic-or-rdp") == pytest.approx(4.984, abs=5e-4)
    assert account_epsilon(few, 1e-6, "basic-or-rdp") == 8.0
    assert account_epsilon([laplace(1.0, steps=8)], 1e-6, "basic-or-rdp") == 8.0
    assert account_epsilon([], 1e-6, "basic") == 0.0
    one_by_one = [laplace(0.1)] * 100
    assert account_epsilon(one_by_one, 1e-6, "basic-or-rdp") == pytest.approx(4.984, abs=5e-4)


@pytest.mark.parametrize("eps", [0.05, 0.3, 1.0])
def test_pure_events_cost_what_randomised_response_does(eps):
    known = RdpAccountant(neighboring_relation=dpa.NeighboringRelation.REPLACE_ONE)
    known.compose(dpa.RandomizedResponseDpEvent(2 / (1 + math.exp(eps)), 2), 200)
    got = account_epsilon([pure(eps, steps=200)], 1e-6, "basic-or-rdp")
    assert got == pytest.approx(min(200 * eps, known.get_epsilon(1e-6)), rel=1e-9)


def test_gaussian_sales_add_up_with_their_deltas():
    sale = PrivacyEvent(noise_multiplier=4.0, settings={"delta": 1e-7})
    one = float(gaussian_epsilon(0.25, 1e-7))
    assert basic_parts(sale) == (one, 1e-7)
    assert basic_epsilon([sale] * 5, 1e-6) == pytest.approx(5 * one)
    assert basic_epsilon([sale] * 11, 1e-6) == math.inf
    assert account_epsilon([sale] * 11, 1e-6, "basic-or-rdp") < 11 * one
    training = PrivacyEvent(noise_multiplier=2.0, sampling_rate=0.01, steps=50)
    assert basic_parts(training) is None
    together = basic_epsilon([sale, training], 1e-6)
    assert together == pytest.approx(one + epsilon([training], 1e-6 - 1e-7), rel=1e-9)
    replaced = PrivacyEvent(noise_multiplier=4.0, neighbouring="replace-one")
    assert account_epsilon([replaced], 1e-6, "basic-or-rdp") == epsilon([replaced], 1e-6)


@pytest.mark.parametrize("eps", [k / 16 for k in range(1, 33)] + [0.1, 0.3, 0.7, 1.1, 1e-3])
def test_laplace_noise_costs_no_more_than_its_epsilon(eps):
    found, delta = basic_parts(laplace(eps))
    assert (found <= eps, delta) == (True, 0.0)
    assert found == pytest.approx(eps, rel=1e-15)


def test_a_run_fits_as_often_as_the_sum_allows(tmp_path):
    with opened(tmp_path / "a.db", epsilon=5.0) as account:
        account.charge(pure(1.0))
        run = account.begin_run(pure(0.5), name="run")
        assert run.reserved == 8


def test_unknown_costs_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="basic-or-rdp"):
        SalesAccount.open(tmp_path / "a.db", owner="a", epsilon=1.0, delta=1e-6, accountant="rényi")
