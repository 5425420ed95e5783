"""Metrics, plots, the page and comparisons as files: complete, exact, escaped, reproducible."""

import csv
import json
import re
import xml.etree.ElementTree as ET  # only our own SVG is parsed
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
import synthetic

from equigrad.errors import RecordError
from equigrad.federation.report import write_report
from equigrad.federation.report.compare import compare, draw_comparison
from equigrad.federation.report.html import report_html
from equigrad.federation.report.metrics import metrics
from equigrad.federation.report.plots import draw_plots
from equigrad.federation.report.reading import read_lines, read_run
from equigrad.federation.report.rows import round_rows

ALL = {"gains", "contributions", "scores", "reputations", "shares", "timeline", "agreement"}
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags are balanced; collects ids, tags and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page_of(run: Any, **more: Any) -> str:
    return report_html(run, draw_plots(run), synthetic.CONFIG, **more)


def test_everything_is_written_and_the_same_again(tmp_path: Path) -> None:
    folder = synthetic.write(tmp_path / "run")
    before = {key: mpl.rcParams[key] for key in ("svg.fonttype", "svg.hashsalt", "font.family")}
    assert write_report(folder) == folder.report
    files = [folder.report, folder.metrics_csv, folder.metrics_json, *folder.plots.iterdir()]
    assert {path.stem for path in folder.plots.iterdir()} == ALL
    first = {path: path.read_bytes() for path in files}
    (folder.plots / "old.svg").touch()
    write_report(folder.path)
    assert {path: path.read_bytes() for path in files} == first
    assert not (folder.plots / "old.svg").exists()
    assert {key: mpl.rcParams[key] for key in before} == before


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="Expected a run folder"):
        write_report(tmp_path)


def test_metrics_come_back_to_the_last_bit(tmp_path: Path) -> None:
    folder = synthetic.write(tmp_path / "run")
    write_report(folder)
    run = read_run(folder)
    found = json.loads(folder.metrics_json.read_text())
    assert found["head"] == run.head
    assert found == json.loads(json.dumps(metrics(run)))
    with folder.metrics_csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found["rounds"])
    for line, row in zip(rows, round_rows(run), strict=True):
        assert line["party"] == row.party
        for name in ("score", "value", "reputation", "share", "cos", "drift", "kappa"):
            number = getattr(row, name)
            assert line[name] == "" if number is None else float(line[name]) == number


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ALL),
        ({"count": 60, "rounds": 4, "sampled": True}, ALL),
        ({"count": 21, "rounds": 3, "trouble": False}, ALL - {"timeline"}),
        ({"count": 1, "rounds": 1}, ALL - {"timeline", "agreement"}),
        ({"count": 1, "rounds": 0, "standalone": False, "finished": False}, set()),
        ({"count": 5, "baseline": True}, {"gains", "scores", "timeline", "shares", "reputations"}),
        ({"count": 4, "regression": True, "trouble": False}, ALL - {"timeline"}),
    ],
)
def test_plots_are_well_formed_and_distinct(options: dict[str, Any], names: set[str]) -> None:
    run = read_lines(synthetic.lines(**options))
    plots = draw_plots(run)
    drawn = {plot.name for plot in plots}
    assert drawn == names if not options.get("baseline") else drawn <= names
    ids: list[str] = []
    for plot in plots:
        root = ET.fromstring(plot.svg)  # noqa: S314 - our own
        assert root.tag.endswith("svg")
        ids += [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
        references = re.findall(r"(?:url\(#|href=\"#)([^\")]+)", plot.svg)
        assert set(references) <= set(ids)
        assert plot.title
        assert plot.text
    assert len(ids) == len(set(ids))


def test_odd_names_are_drawn_as_they_are() -> None:
    odd = ["_hidden", "$x^2$", "a" * 80, "\u75c5\u9662", "tab\tbell\x07", 'id="x"']
    lines = list(synthetic.lines(count=6, rounds=3, trouble=False))
    names = dict(zip(synthetic.names(6), odd, strict=True))
    text = json.dumps(lines)
    for old, new in names.items():
        text = text.replace(json.dumps(old), json.dumps(new))
    run = read_lines(json.loads(text))
    assert run.parties == tuple(odd)
    scores = next(plot for plot in draw_plots(run) if plot.name == "scores")
    shown = "".join(ET.fromstring(scores.svg).itertext())  # noqa: S314 - our own
    assert "_hidden" in shown
    assert "$x^2$" in shown
    assert "a" * 21 + "\u2026" in shown
    assert "\u75c5\u9662" in shown
    assert "tab?bell?" in shown
    Page(page_of(run))


def test_the_page_is_self_contained_and_escaped() -> None:
    page = page_of(read_lines(synthetic.lines()))
    parsed = Page(page)
    tags = [tag for tag, _ in parsed.tags]
    assert "script" not in tags
    assert "link" not in tags
    for tag, attributes in parsed.tags:
        for name in ("src", "href", "xlink:href"):
            target = attributes.get(name) or ""
            assert target == "" or target.startswith(("#", "data:")), (tag, target)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert "<b>hill</b>" not in page
    assert "&lt;b&gt;hill&lt;/b&gt;" in page
    assert "NaN &lt;script&gt;" in page
    assert 'lang="en"' in page


def test_the_page_is_accessible() -> None:
    parsed = Page(page_of(read_lines(synthetic.lines())))
    ids = [a["id"] for _, a in parsed.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for tag, attributes in parsed.tags:
        if tag == "th":
            assert attributes.get("scope") in ("col", "row")
        named = (attributes.get("aria-labelledby") or "").split()
        assert set(named) <= set(ids)
        if tag == "svg":
            assert attributes["role"] == "img"
            assert len(named) == 2
    assert sum(tag == "h1" for tag, _ in parsed.tags) == 1


def rows_of_story(page: str) -> int:
    table = re.search(r'<table id="parties">.*?</table>', page, re.DOTALL)
    assert table is not None
    return table[0].count('<th scope="row">')


@pytest.mark.parametrize(
    ("options", "said", "unsaid"),
    [
        ({}, ["The audits flagged echo-ltd", "This run is a study", "echo (rounds 2\u201311)"], []),
        ({}, ["gone-away left in round 7.", "void, nothing changed", "non-finite"], []),
        ({"trouble": False}, ["No audit flagged anybody", "nothing was refused"], ["a study"]),
        ({"finished": False}, ["has not finished", "Mean latest accuracy"], ["Mean final"]),
        ({"regression": True}, ["test R\u00b2 on average"], ["accuracy"]),
        ({"baseline": True}, ["computes no contributions", "audits nobody"], ["Contribution rule"]),
        ({"sampled": True}, ["Tolerance not met", "20000 in the last", "\u00b1 0.0057"], []),
        (
            {"standalone": False},
            ["never flagged reach"],
            ["Fairness (Pearson)", "training alone from"],
        ),
        ({"count": 1, "rounds": 1}, ["1 party trained", "1 round with"], ["parties trained"]),
        (
            {"count": 1, "rounds": 0, "finished": False},
            ["over 0 rounds", "No round has been valued"],
            [],
        ),
    ],
)
def test_the_page_tells_what_happened(
    options: dict[str, Any], said: list[str], unsaid: list[str]
) -> None:
    run = read_lines(synthetic.lines(**options))
    page = page_of(run)
    plain = " ".join("".join(Page(page).text).split())
    for words in said:
        assert words in plain
    for words in unsaid:
        assert words not in plain
    assert rows_of_story(page) == len(run.parties)
    assert run.head in plain


def test_a_changed_configuration_is_said(tmp_path: Path) -> None:
    folder = synthetic.write(tmp_path / "run", rounds=2)
    assert "does not match the record" not in write_report(folder).read_text()
    folder.config_json.write_text(folder.config_json.read_text().replace("0.1", "0.2"))
    assert "does not match the record" in write_report(folder).read_text()


def test_compare_aligns_parties_by_name(tmp_path: Path) -> None:
    one = synthetic.write(tmp_path / "x" / "run", count=5)
    two = synthetic.write(tmp_path / "y" / "run", count=3, baseline=True, seed=4)
    comparison = compare([one, two.path])
    assert [row.run for row in comparison.rows] == ["run", "run (2)"]
    assert [row.preset for row in comparison.rows] == ["robust", None]
    assert comparison.parties == tuple(synthetic.names(5))
    assert comparison.scores["old-town"][0] is not None
    assert comparison.scores["old-town"][1] is None
    found = json.loads(json.dumps(comparison.to_json()))
    assert found["runs"][1]["summary"]["method"] == "fedavg"
    assert found["parties"][0]["party"] == "st-mary"
    plot = draw_comparison(comparison)
    ET.fromstring(plot.svg)  # noqa: S314 - our own
    assert "run (2)" in plot.svg
    assert draw_comparison(compare([one, two])).svg == plot.svg


def test_compare_refuses_what_cannot_be_compared(tmp_path: Path) -> None:
    one = synthetic.write(tmp_path / "one", rounds=2)
    other = synthetic.write(tmp_path / "other", rounds=2, regression=True)
    with pytest.raises(RecordError, match="scores are of one kind"):
        compare([one, other])
    with pytest.raises(RecordError, match="Expected a run folder"):
        compare([one, tmp_path])
    with pytest.raises(RecordError, match="got none"):
        compare([])


def test_compare_draws_many_parties_and_unmeasured_runs(tmp_path: Path) -> None:
    many = synthetic.write(tmp_path / "many", count=30, rounds=2)
    empty = synthetic.write(
        tmp_path / "empty", count=30, rounds=0, finished=False, standalone=False
    )
    plot = draw_comparison(compare([many, empty]))
    assert "party-001" not in plot.svg
    assert "empty" in plot.svg


@pytest.mark.parametrize(("width", "close"), [(0.001, True), (0.01, False)])
def test_final_scores_that_hardly_differ_are_said_to(width: float, close: bool) -> None:
    told = list(synthetic.lines(trouble=False))
    parties = told[-1][2]["parties"]
    scores = [{"score": 0.8 + width * i, "loss": 0.5} for i in range(len(parties))]
    told[-1] = (*told[-1][:2], {**told[-1][2], "metrics": scores})
    plain = " ".join("".join(Page(page_of(read_lines(told))).text).split())
    assert ("final scores hardly differ" in plain) == close
