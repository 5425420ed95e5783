"""What a training shows while it goes on: plain lines, or a bar on a terminal."""

import io
from pathlib import Path

from rich.console import Console

from equigrad.cli.train_progress import BarProgress, LineProgress, summary

START = {
    "data": {"name": "toy", "records": 7},
    "model": {"factory": "mlp", "parameters": 3},
    "event": {"rule": "flat", "noise_multiplier": 1.25},
    "steps": 10,
}
BODY = {
    "test": {
        "overall": {"accuracy": 0.5},
        "by_group": {"accuracy": {"a": 0.25, "b": 0.75, "c": None}},
    },
    "state": {"threshold": 2.5, "bounds": [1.0]},
}


def play(listener):
    listener.started(START, 3)
    listener.message("warning", "mind [this]")
    listener.stepped(4, 10)
    listener.measured(5, 10, BODY)
    listener.finished(Path("x"))


def test_lines():
    console = Console(file=io.StringIO(), width=200)
    play(LineProgress(console))
    lines = console.file.getvalue().splitlines()
    assert "7 records of toy" in lines[0]
    assert "going on after step 3" in lines[0]
    assert lines[1:] == [
        "warning: mind [this]",
        "step 5/10  test accuracy 50.0%, worst a 25.0%, threshold 2.5",
        "finished: x",
    ]


def test_a_bar_on_a_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    with BarProgress(console) as bar:
        play(bar)
    shown = console.file.getvalue()
    assert "mind [this]" in shown
    assert "5/10" in shown
    assert "worst a 25.0%" in shown


def test_a_training_without_groups_names_no_worst():
    body = {
        "test": {"overall": {"accuracy": None}, "by_group": {"accuracy": {"all records": 0.5}}},
        "state": {},
    }
    assert summary(body) == "test accuracy –"
