"""Market runs of every kind, each small; and spoiling what they leave."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

KINDS: dict[str, dict[str, Any]] = {
    "sound": {"market": 'budget = "200.00"\nappraise = "cgsv"\nfee_bps = 250'},
    "all-in": {
        "market": 'budget = "200.00"\nmechanism = "all-in"\naggregator = "conventional"',
        "local": 'mechanism = "laplace"\nsampler = "discrete"',
    },
    "menus": {
        "rounds": 3,
        "market": 'budget = "200.00"\ninvite = 2\nquality_exponent = 0.5\nsize_exponent = 0.25\n'
        'aggregator = "inverse-variance"\ndim = 1',
        "local": 'mechanism = "gaussian"\ndelta = 1e-7\nnoise = "secret"',
        "more": '[market.account]\ncost = "rdp"\nlimit = 4.0',
    },
    "silent": {
        "rounds": 3,
        "market": 'budget = "200.00"\nexclude_rounds = 1',
        "party": {"clinic": {"behaviour": "silent-reveal"}, "lab": {"leave": 2}},
    },
    "failed": {
        "market": 'budget = "200.00"\nquorum = 3',
        "party": {"clinic": {"behaviour": "wrong-epsilon"}},
    },
    "replayed": {
        "market": 'budget = "200.00"\nappraise = "cgsv"',
        "party": {"clinic": {"behaviour": "replay"}},
    },
    "funds": {"rounds": 4, "market": 'budget = "200.00"\nfunds = "300.00"'},
    "nobody": {"market": 'budget = "0.05"'},
    "short": {"rounds": 1, "market": 'budget = "200.00"\nappraise = "cgsv"'},
}


def stripped(folder: Path) -> Path:
    """Take away what is not to be published."""
    (folder / "market.db").unlink()
    for own in ("accounts", "parties", "checkpoint"):
        shutil.rmtree(folder / own)
    return folder


def forge(path: Path, command: str) -> None:
    """Change a database behind its triggers, as who has the file can, and put them back."""
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers = found.fetchall()
        for name, _ in triggers:
            connection.execute(f'DROP TRIGGER "{name}"')
        assert connection.execute(command).rowcount > 0
        for _, text in triggers:
            connection.execute(text)
    connection.close()


def body(lines: list[dict[str, Any]], stage: str) -> Any:
    return next(line["body"] for line in lines if line["stage"] == stage)


def payment(lines: list[dict[str, Any]]) -> None:
    told = body(lines, "clear")
    told["payments"][told["levels"].index(max(told["levels"]))] += 5
