"""Numbers and tables as they are printed."""

import json
import math
import re

import pytest
from rich.console import Console

from equigrad.cli import output
from equigrad.cli.output import emit_json, number, percent, show_table


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (None, ".3f", "–"),
        (math.nan, ".3f", "–"),
        (1 / 3, ".3f", "0.333"),
        (-0.0001, ".2f", "0.00"),
        (-0.0001, "+.1f", "+0.0"),
        (12.0, "+.1f", "+12.0"),
        (math.inf, ".1f", "inf"),
    ],
)
def test_numbers(value, form, text):
    assert number(value, form) == text


def test_percentages():
    assert [percent(0.1234), percent(1.0, digits=0), percent(None)] == ["12.3%", "100%", "–"]


def test_json_without_what_json_lacks(capsys):
    emit_json({"a": [math.nan, math.inf, 1.5], 2: {"b": (1, None)}, "c": "ü"})
    assert json.loads(capsys.readouterr().out) == {
        "a": [None, None, 1.5],
        "2": {"b": [1, None]},
        "c": "ü",
    }


@pytest.mark.parametrize("width", [20, 60, 119, 120, 200])
def test_no_number_is_ever_cut(monkeypatch, capsys, width):
    monkeypatch.setattr(output, "results", lambda: Console(width=width, color_system=None))
    rows = [(f"party-{i}", "123456789.123", "+0.25", "a word and more words") for i in range(3)]
    show_table(("party", "contribution", "gain", "remarks"), rows, ruled=2)
    text = capsys.readouterr().out
    assert len(re.findall(r"123456789\.123", text)) == 3
    assert len(re.findall(r"party-\d", text)) == 3
    assert text.count("+0.25") == 3
