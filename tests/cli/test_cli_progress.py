"""What is shown while a run goes on: a table on a terminal, lines elsewhere, nothing if quiet."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from equigrad.cli import progress
from equigrad.cli.progress import LiveProgress, PlainProgress, party_table, watch
from equigrad.federation.progress import PartyProgress, Silent

ROWS = [
    PartyProgress("north", 0.91, 0.6, 0.51, 1.0),
    PartyProgress("south", 0.85, 0.4, 0.3, 0.5),
    PartyProgress("echo-1", 0.5, 0.0, 0.0, 0.0, ("echo",), "excluded"),
    PartyProgress("west", state="absent"),
]
START = {
    "method": "cgsv",
    "parties": ["north", "south", "echo-1", "west"],
    "data": {"name": "digits"},
    "model": {"factory": "mlp", "parameters": 2410},
}


def play(listener):
    listener.started(START)
    listener.standalone(1, 4)
    listener.standalone(4, 4)
    listener.round_done(0, 2, ROWS)
    listener.message("warning", "all uploads are zero [sic]")
    listener.round_done(1, 2, ROWS)
    listener.finished(Path("runs/x"))


def console(*, terminal):
    return Console(file=StringIO(), force_terminal=terminal, width=100, color_system=None)


def test_plain_lines():
    out = console(terminal=False)
    play(PlainProgress(out))
    lines = out.file.getvalue().splitlines()
    assert lines[0] == "cgsv: 4 parties, data digits, model mlp with 2410 parameters"
    assert lines.pop(1) == "trained alone: 1/4"
    assert lines[1] == "trained alone: 4/4 parties"
    assert lines[2].startswith("round 1/2  score 0.500 to 0.910, mean 0.753; highest reputation")
    assert "flagged echo-1 (echo); absent west" in lines[2]
    assert lines[3] == "warning: all uploads are zero [sic]"
    assert lines[5] == "finished: runs/x"
    assert len(lines) == 6


def test_plain_lines_of_many_parties_who_train_alone():
    out = console(terminal=False)
    listener = PlainProgress(out)
    for done in range(1, 1001):
        listener.standalone(done, 1000)
    lines = out.file.getvalue().splitlines()
    assert (len(lines), lines[0]) == (50, "trained alone: 20/1000")


def test_a_live_table():
    out = console(terminal=True)
    with LiveProgress(out) as live:
        play(live)
        live.round_done(1, 2, ROWS)
    text = out.file.getvalue()
    assert "round 2/2" in text
    assert "████████████████ 0.600" in text
    assert "echo, excluded" in text
    assert "warning: all uploads are zero [sic]" in text


def test_many_parties_are_cut_to_the_highest_reputations():
    rows = [PartyProgress(f"p{i:03}", 0.5, i / 4950) for i in range(100)]
    out = console(terminal=False)
    out.print(party_table(rows))
    text = out.file.getvalue()
    assert "p099" in text
    assert "p079" not in text
    assert "and 80 more" in text


def test_no_party_and_nothing_known():
    out = console(terminal=False)
    plain = PlainProgress(out)
    plain.started({})
    plain.round_done(0, 1, [])
    plain.round_done(0, 1, [PartyProgress("a")])
    out.print(party_table([PartyProgress("a")]))
    assert out.file.getvalue().splitlines()[:2] == ["run: 0 parties", "round 1/1  "]


@pytest.mark.parametrize(
    ("quiet", "terminal", "kind"),
    [(True, True, Silent), (False, True, LiveProgress), (False, False, PlainProgress)],
)
def test_the_listener_suits_the_place(monkeypatch, quiet, terminal, kind):
    out = console(terminal=terminal)
    monkeypatch.setattr(progress, "errors", lambda: out)
    with watch(quiet) as listener:
        assert type(listener) is kind
        play(listener)
    assert bool(out.file.getvalue()) is not quiet
