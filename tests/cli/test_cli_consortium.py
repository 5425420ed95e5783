"""The example that the demonstration runs: its final table tells the story it promises."""

import json
from pathlib import Path

import pytest

from equigrad.federation.config.loader import load_config

EXAMPLE = Path(__file__).parents[2] / "examples" / "consortium.toml"
FREE_RIDERS = {"riverside": "random", "lakeside": "echo"}


@pytest.fixture(scope="module")
def parties(tmp_path_factory):
    """Rows of the story table by party, read back from the folder of a run."""
    from equigrad.federation.runner import run

    folder = run(load_config(EXAMPLE), tmp_path_factory.mktemp("demo") / "consortium")
    metrics = json.loads((folder / "metrics.json").read_text())
    return {row["party"]: row for row in metrics["parties"]}


def test_who_takes_part(parties):
    assert len(parties) == 8
    sizes = [row["records"] for row in parties.values()]
    assert sizes == sorted(sizes)
    assert {
        p: r["behaviour"] for p, r in parties.items() if r["behaviour"] != "honest"
    } == FREE_RIDERS


def test_free_riders_are_found_and_earn_nothing_more(parties):
    for name, kind in FREE_RIDERS.items():
        row = parties[name]
        assert [flag["kind"] for flag in row["flags"]] == [kind]
        assert row["reputation"] == 0
        assert row["share"] < 0.15  # the first rounds, before the audits could tell
    assert [p for p, r in parties.items() if r["flags"] and p not in FREE_RIDERS] == []


def test_every_honest_party_gains(parties):
    gains = {p: r["gain"] for p, r in parties.items() if p not in FREE_RIDERS}
    assert min(gains.values()) > 0


def test_every_honest_party_ends_above_the_free_riders(parties):
    best = max(parties[p]["final"] for p in FREE_RIDERS)
    assert min(r["final"] for p, r in parties.items() if p not in FREE_RIDERS) > best


def test_those_who_give_more_get_more(parties):
    clean = [p for p in parties if p not in FREE_RIDERS and p != "seaview"]
    for column in ("reputation", "share"):
        values = [parties[p][column] for p in clean]
        assert values == sorted(values)
    noisy, smaller = parties["seaview"], parties["hillcrest"]
    assert noisy["records"] > smaller["records"]
    assert noisy["reputation"] < smaller["reputation"]
