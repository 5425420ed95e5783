"""What lies beside a market's record is verified with it: ledger, accounts, model, data."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forging import read, write
from market_kinds import KINDS, body, forge, payment, stripped
from market_runs import play

from equigrad.errors import DataError, VerificationError
from equigrad.federation.record.verify import verify
from equigrad.federation.trade.setup import prepare
from equigrad.federation.trade.verify import data
from equigrad.market.learned import Bands, Schedule
from equigrad.market.learned.menu import NAMES


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("UPDATE accounts SET balance = balance + 1 WHERE owner = 'bank'", "Expected balances"),
        ("UPDATE postings SET amount = amount + 1 WHERE amount > 0", "ledger entries"),
        ("UPDATE awards SET payment = payment + 1, body = replace(body, 'paid', 'void')", ""),
        ("UPDATE journal SET body = replace(body, 'bank', 'lab') WHERE seq = 2", "audit chain"),
        ("DELETE FROM bids WHERE round = 'round-0001'", "Expected balances and entities"),
    ],
)
def test_an_edit_of_the_ledger_is_found(copied: Path, command: str, named: str) -> None:
    forge(copied / "market.db", command)
    with pytest.raises(VerificationError, match=f"The ledger does not hold: .*{named}"):
        verify(copied)


def test_another_ledger_is_not_this_runs(copied: Path, played: Callable[[str], Path]) -> None:
    shutil.copy(played("short") / "market.db", copied / "market.db")
    with pytest.raises(VerificationError, match=r"in the ledger"):
        verify(copied)


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("UPDATE entries SET event = replace(event, '\"epsilon\":', '\"epsilon\": 0')", "Expected"),
        (
            "UPDATE entries SET digest = substr(digest, 2) || '0' WHERE digest > ''",
            "changed by hand",
        ),
        ("UPDATE account SET epsilon = epsilon + 1", "limit"),
        (
            "UPDATE uploads SET content = substr(content, 1, length(content) - 1)",
            "Expected the upload",
        ),
        ("DELETE FROM entries WHERE seq = (SELECT max(seq) FROM entries)", "Expected"),
    ],
)
def test_an_edit_of_an_account_is_found_and_named(copied: Path, command: str, named: str) -> None:
    sellers = [p for p in ("bank", "clinic", "lab") if body(read(copied), "settle")["wallets"][p]]
    path = copied / "accounts" / f"{sellers[0]}.sqlite"
    forge(path, command)
    with pytest.raises(VerificationError, match=f"{sellers[0]}.*{named}"):
        verify(copied)


def test_another_account_is_not_what_was_sold_from(copied: Path, tmp_path: Path) -> None:
    other = play(tmp_path / "other", **KINDS["sound"], top='name = "second"')
    for path in (copied / "accounts").iterdir():
        shutil.copy(other / "accounts" / path.name, path)
    with pytest.raises(VerificationError, match=r"collect of round 0\): expected a sale of round-"):
        verify(copied)


def test_an_edit_of_the_model_is_found(copied: Path) -> None:
    path = copied / "models" / "coordinator.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(VerificationError, match=r"coordinator\.safetensors: expected the model"):
        verify(copied)
    lines = read(copied)
    lines[-1]["body"]["models"][path.name] = hashlib.sha256(content).hexdigest()
    write(copied, lines)
    with pytest.raises(VerificationError, match=r"\(finish\): recomputed models"):
        verify(copied)


def test_what_could_not_be_checked_is_said(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copied / "accounts" / "lab.sqlite").unlink()
    told = verify(copied).unchecked
    assert [text.split(":")[0] for text in told] == [
        "The privacy accounts of lab",
        "Aggregates, models and scores from round 0 on",
    ]
    monkeypatch.setattr(data, "prepare", missing)
    told = verify(stripped(copied)).unchecked
    assert [text.split(":")[0] for text in told] == [
        "The ledger",
        "The privacy accounts of bank, clinic, lab",
        "Sizes, models, scores and losses, which need the data",
        "Aggregates, models and scores from round 0 on",
    ]
    assert "no such data here" in told[2]


def missing(_: object) -> None:
    raise DataError("no such data here")


def test_other_data_are_not_what_was_sold(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(told: Any) -> Any:
        setup = prepare(told)
        return replace(setup, start={**setup.start, "sizes": [41, 40, 40]})

    monkeypatch.setattr(data, "prepare", changed)
    with pytest.raises(VerificationError, match="expected sizes as the data give them"):
        verify(copied)


def test_a_run_that_was_stopped_holds_up_to_there(copied: Path) -> None:
    lines = read(copied)
    shutil.rmtree(copied / "checkpoint")
    (copied / "models" / "coordinator.safetensors").unlink()
    for count in range(2, len(lines)):
        write(copied, lines[:count])
        result = verify(copied)
        assert not result.finished
        assert result.rounds == sum(line["stage"] == "settle" for line in lines[:count])
        within = lines[count]["stage"] not in ("announce", "finish", "evaluate")
        assert any(text.startswith("Round ") for text in result.unchecked) == within


def test_runs_that_share_a_ledger_both_hold(tmp_path: Path) -> None:
    ledger = tmp_path / "all.db"
    market = f'budget = "200.00"\nledger = "{ledger}"'
    first = play(tmp_path / "first", market=market)
    second = play(tmp_path / "second", market=market, top='name = "second"')
    assert [verify(folder).unchecked for folder in (first, second)] == [[], []]
    forge(ledger, "UPDATE accounts SET balance = balance + 1 WHERE owner = 'bank'")
    with pytest.raises(VerificationError, match="The ledger does not hold"):
        verify(first)
    ledger.unlink()
    assert verify(second).unchecked[0].startswith("The ledger, which is not in the folder: ")


def test_a_learned_clock_is_cleared_from_its_published_tables(tmp_path: Path) -> None:
    schedule = learned_schedule()
    path = tmp_path / "menu.safetensors"
    path.write_bytes(schedule.to_bytes())
    market = f'budget = "200.00"\nmechanism = "learned-clock"\nschedule = "{path}"'
    folder = play(tmp_path / "run", market=market)
    assert verify(folder).unchecked == []
    path.unlink()
    told = verify(folder)
    assert told.unchecked[0].startswith("That the public tables are those of the schedule: ")
    assert told.checks["payments"] == 6
    lines = read(folder)
    payment(lines)
    write(folder, lines)
    with pytest.raises(VerificationError, match="recomputed the payment of"):
        verify(folder)


def learned_schedule() -> Schedule:
    """Return a schedule with weights at random, for the model of these runs."""
    generator = np.random.default_rng(0)
    shapes = ((5, 4), (5,), (5, 5), (5,), (1, 5), (1,))
    weights = {
        name: generator.normal(size=shape) for name, shape in zip(NAMES, shapes, strict=True)
    }
    everywhere = Bands((1.0, 1e12), (1e-30, 1e30), ((True,),))
    return Schedule(weights, "l2-sphere", 62, 2.0, everywhere)
