"""A market run holds as it was played; its record holds no more once anything in it was edited."""

import shutil
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from forging import edits, read, write
from market_kinds import KINDS, body, payment, stripped

from equigrad.errors import VerificationError
from equigrad.federation.record.verify import verify
from equigrad.federation.trade.verify import door


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_as_it_was_played_holds(played: Callable[[str], Path], kind: str) -> None:
    folder = played(kind)
    result = verify(folder)
    assert result.finished
    assert result.exact
    assert result.checks["lines of the chain"] == len(read(folder))
    assert result.checks["audit lines of the ledger"] > result.rounds
    told = [text for text in result.unchecked if not text.startswith("The baselines")]
    assert told == []
    assert "models, made again" in result.checks


def test_every_edit_of_the_record_is_found(copied: Path) -> None:
    lines = read(copied)
    missed = Counter[str]()
    for name, changed in islice(edits(lines), 3, None, 7):
        write(copied, changed)
        try:
            verify(copied)
        except VerificationError:
            continue
        missed[name] += 1
    # What nothing in the folder can contradict: which program wrote the record.
    assert [name for name in missed if not name.startswith("start: versions.")] == []


UNSEEN_ALONE = {
    "start: data", "start: model.initial_sha256", "start: versions",
    "collect: awards.bytes", "collect: awards.digest", "aggregate: estimate_norm",
    "settle: head", "finish: heads", "finish: metrics", "finish: coordinator.records",
}  # fmt: skip
"""What the record alone cannot contradict: whose other side is in databases, bytes and data.

(Models and scores of earlier rounds, too; of the last one they stand in the last line again.)"""


def test_most_edits_are_found_in_the_record_alone(
    played: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "data_behind", lambda *_: None)
    alone = stripped(Path(shutil.copytree(played("short"), tmp_path / "short")))
    assert verify(alone).finished
    missed = set()
    for name, changed in edits(read(alone)):
        write(alone, changed)
        try:
            verify(alone)
        except VerificationError:
            continue
        missed.add(".".join(part for part in name.split(".") if not part.isdecimal()))
    known = tuple(UNSEEN_ALONE)
    assert {name for name in missed if not name.startswith(known)} == set()
    assert {name for name in known if not any(m.startswith(name) for m in missed)} == set()


def bid(lines: list[dict[str, Any]]) -> None:
    body(lines, "open")["papers"][0]["table"][-1] += 1


def level(lines: list[dict[str, Any]]) -> None:
    told = body(lines, "clear")
    told["levels"][told["levels"].index(max(told["levels"]))] -= 1


def weight(lines: list[dict[str, Any]]) -> None:
    told = body(lines, "aggregate")["weights"]
    told[0], told[1] = told[1], told[0]


def wallet(lines: list[dict[str, Any]]) -> None:
    told = body(lines, "settle")["wallets"]
    told["bank"] += 7
    told["buyer"] -= 7


def refund(lines: list[dict[str, Any]]) -> None:
    body(lines, "settle")["refunded"] -= 1


def terms(lines: list[dict[str, Any]]) -> None:
    body(lines, "announce")["terms"]["budget"] += 1


def value(lines: list[dict[str, Any]]) -> None:
    body(lines, "appraise")["values"][0] += 0.25


def privacy(lines: list[dict[str, Any]]) -> None:
    body(lines, "finish")["epsilon"][0] -= 0.5


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (bid, r"line 5 \(open of round 0\): recomputed the seal of bank's bid"),
        (payment, r"clear of round 0\): recomputed the payment of (bank|clinic|lab) as \d+, but"),
        (level, r"clear of round 0\): recomputed the level of (bank|clinic|lab) as \d+, but"),
        (weight, r"aggregate of round 0\): recomputed the weight of bank as "),
        (wallet, r"settle of round 0\): recomputed the wallet of (bank|buyer) as "),
        (refund, r"settle of round 0\): recomputed refund as "),
        (terms, r"announce of round 0\): recomputed terms as 200000000"),
        (value, r"appraise of round 0\): recomputed values as"),
        (privacy, r"finish\): expected an epsilon of bank from"),
    ],
    ids=lambda given: getattr(given, "__name__", None),
)
def test_an_edit_of_the_record_is_named(alone: Path, edit: Any, named: str) -> None:
    lines = read(alone)
    edit(lines)
    write(alone, lines)
    with pytest.raises(VerificationError, match=named):
        verify(alone)


def test_a_line_too_many_or_out_of_turn_is_named(alone: Path) -> None:
    lines = read(alone)
    for at, where in ((3, "line 4"), (9, "line 10")):
        write(alone, [*lines[:at], *lines[at + 1 :]])
        with pytest.raises(VerificationError, match=f"{where} .*expected the line"):
            verify(alone)
    write(alone, [*lines, lines[-1]])
    with pytest.raises(VerificationError, match="expected nothing after the finish line"):
        verify(alone)
