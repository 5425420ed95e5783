"""The tools that write parts of the documentation, and whether their output is current."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from documented import ROOT, blocks, commands, shape

sys.path.insert(0, str(ROOT / "docs" / "tools"))

import command_line
import data_sets
import pages
import roles
import run_file

from equigrad.contribution import RULES
from equigrad.contribution.audit import AuditSettings
from equigrad.data import PARTITIONS, SETS
from equigrad.federation.config.presets import PRESETS
from equigrad.federation.config.schema import RunConfig
from equigrad.federation.methods import METHODS
from equigrad.privacy.clipping import CLIPPING_RULES
from equigrad.registry import Registry
from equigrad.reward import REWARD_RULES


@pytest.mark.parametrize("page", list(pages.GENERATED), ids=lambda page: page.name)
def test_generated_pages_are_current(page: Path) -> None:
    """The generated part of a page says what its source says."""
    current = page.read_text(encoding="utf-8") == pages.renewed(page)
    assert current, "run: python docs/tools/pages.py"


def test_page_without_markers_is_refused(tmp_path: Path) -> None:
    """A page that lost its markers is an error, not a page overwritten."""
    page = tmp_path / "page.md"
    page.write_text(pages.START, encoding="utf-8")
    with pytest.raises(ValueError, match="two markers"):
        pages.renewed(page)


def test_commands_page_names_every_command() -> None:
    """Every command has its section, and no mark-up of a terminal is left in it."""
    text = command_line.reference()
    every = (
        "init",
        "run",
        "resume",
        "report",
        "verify",
        "compare",
        "data describe",
        "train",
        "audit",
    )
    for name in every:
        assert f"## `equigrad {name}" in text
    assert "[bold]" not in text
    assert "| `--folder`, `-o` |" in text


def test_data_page_names_every_set() -> None:
    """Every set of the catalogue is a row with its source and licence."""
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.+); (.+) \|$", data_sets.reference(), flags=re.M)
    assert [name for name, _, _ in rows] == list(SETS)


def test_run_file_page_names_every_key() -> None:
    """Every key of the schema stands in the reference with a meaning."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", run_file.reference(), flags=re.M)
    assert len(rows) > 60
    assert {key for key, *_ in rows} >= {"seed", "rule", "gamma", "quorum", "behaviour", "workers"}
    assert [key for key, _, _, meaning in rows if not meaning] == []
    assert "party" in RunConfig.model_fields


def test_told_thresholds_are_those_of_the_audits() -> None:
    """The page on fair rewards quotes the audits' thresholds as they are."""
    text = (ROOT / "docs" / "fair-rewards.md").read_text(encoding="utf-8")
    audits = AuditSettings()
    assert f"last reward (cosine at least {audits.echo})" in text
    assert f"copies of each other (cosine at least {audits.clones})" in text
    assert f"a cosine of {audits.alike} and" in text
    assert f"for {audits.streak} such rounds in a row" in text
    assert f"the reward is still at least {audits.echo_hint}, else" in text
    assert f"fewer than {audits.least_params} parameters" in text


def test_told_presets_are_those_of_the_code() -> None:
    """Each preset's column names its mask, and the default its numbers."""
    text = (ROOT / "docs" / "fair-rewards.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `?([\w ]+?)`?(?: rounds)? \|(.*)\|$", text, flags=re.M))
    order = ("paper", "reference", "robust")
    assert [f"`{PRESETS[name].mask}`" for name in order] == [
        c.strip() for c in rows["mask"].split("|")
    ]
    robust = PRESETS["robust"]
    assert rows["warmup"].split("|")[-1].strip() == str(robust.warmup)
    assert rows["sharpness"].split("|")[-1].strip() == f"{robust.sharpness:g}"
    assert rows["beta"].split("|")[-1].strip() == f"{robust.beta:g} × members"
    assert [c.strip() for c in rows["alpha"].split("|")] == [str(PRESETS[n].alpha) for n in order]


@pytest.mark.parametrize(
    ("page", "family"),
    [
        ("fair-rewards.md", RULES),
        ("fair-rewards.md", REWARD_RULES),
        ("fair-rewards.md", METHODS),
        ("data.md", PARTITIONS),
        ("private-training.md", CLIPPING_RULES),
    ],
    ids=lambda value: getattr(value, "family", value),
)
def test_every_strategy_is_a_row(page: str, family: Registry[Any]) -> None:
    """A page that lists a family lists all of it, each strategy in a row of a table."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert set(family) <= set(re.findall(r"^\| `([\w-]+)` \|", text, flags=re.M))


def test_run_file_types_are_words() -> None:
    """Types, ranges and choices are told in words that a newcomer knows."""
    text = run_file.reference()
    assert "| `rounds` | whole number ≥\u00a01 | `30` |" in text
    assert '`"thread"`, `"process"`' in text
    assert "number ≥\u00a00, ≤\u00a01" in text
    assert "anyOf" not in text


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (
            "See :class:`~a.b.C`.",
            'See <autoref identifier="a.b.C" optional><code>C</code></autoref>.',
        ),
        (":func:`a.f`", '<autoref identifier="a.f" optional><code>a.f</code></autoref>'),
        ("``(n,) float64``", "`(n,) float64`"),
        ("plain `code`", "plain `code`"),
        ("A.\n\n>>> f(1)\n[1]\n", "A.\n\n```pycon\n>>> f(1)\n[1]\n```\n"),
    ],
)
def test_roles_become_links(written: str, read: str) -> None:
    """Roles of docstrings become references that may stay unresolved."""
    assert roles.translate(written) == read


def test_blocks_are_found() -> None:
    """The reader of pages finds files, commands with their output, and nothing in plain text."""
    page = (
        'Text.\n\n```toml title="a.toml"\nx = 1\n```\n\n```console\n$ equigrad run a.toml  # go\n'
        "done: 12 rounds\n$ make \\\n    test\n```\n\n    $ equigrad no\n"
    )
    first, second = blocks(page)
    assert (first.title, first.body, first.language) == ("a.toml", "x = 1\n", "toml")
    run, make = commands(second)
    assert (run.words, run.output) == (("equigrad", "run", "a.toml"), ("done: 12 rounds",))
    assert make.words == ("make", "test")
    assert commands(first) == []


def test_shape_forgets_numbers_only() -> None:
    """Two outputs that differ in numbers and frames alone have one shape."""
    assert shape("round 3 │ 0.91") == shape("round  12   0.875")
    assert shape("round 3") != shape("rounds 3")
