"""The report: everything from the record, nothing from the network, marks where they belong."""

import csv
import json
import re
import shutil

import pytest

from equigrad.errors import VerificationError
from equigrad.steward.report import read_story, write_report
from equigrad.steward.report.html import report_html
from equigrad.steward.report.metrics import metrics
from equigrad.steward.report.plots import draw_plots
from equigrad.steward.report.rows import group_rows
from equigrad.steward.report.story import Story


def test_the_page_tells_promise_mark_groups_and_plots(trained):
    page = (trained / "report.html").read_text()
    assert "Not private: seeded noise." in page
    assert "epsilon = " in page
    assert page.count("Not covered: ") >= 6
    assert "computed from data, not covered by epsilon" in page
    for name in ("accuracy", "loss", "state", "misalignment", "R_mag", "R_dir", "R_noise"):
        assert f'id="plot-{name}"' in page
    assert "benign" in page
    assert read_story(trained).head in page


def test_the_page_is_self_contained(trained):
    page = (trained / "report.html").read_text()
    assert "<script" not in page
    loaded = re.findall(r'(?:src|href)="([^"#][^"]*)"', page)
    assert [url for url in loaded if not url.startswith("data:")] == []
    assert "default-src 'none'" in page


def test_metrics_agree_with_the_record(trained):
    story = read_story(trained)
    stored = json.loads((trained / "metrics.json").read_text())
    assert stored == json.loads(json.dumps(metrics(story)))
    rows = list(csv.DictReader((trained / "metrics.csv").read_text().splitlines()))
    assert len(rows) == 6 * 2 * 3
    last = [r for r in rows if (r["step"], r["model"], r["group"]) == ("5", "private", "benign")]
    assert float(last[0]["accuracy"]) == story.latest["test"]["by_group"]["accuracy"]["benign"]


def test_rows_hold_cost_and_risk(trained):
    rows = {row.group: row for row in group_rows(read_story(trained))}
    assert list(rows) == ["all records", "benign", "malignant"]
    row = rows["malignant"]
    assert row.cost == row.twin_accuracy - row.accuracy
    assert row.risk == row.loss - row.twin_loss
    assert rows["all records"].records == 113


def test_the_same_record_gives_the_same_files(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / "plots" / "old.svg").write_text("")
    write_report(copy)
    for path in (p for p in trained.rglob("*") if p.is_file()):
        assert (copy / path.relative_to(trained)).read_bytes() == path.read_bytes()
    assert not (copy / "plots" / "old.svg").exists()


def test_a_stopped_training_has_a_report_too(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    lines = (copy / "record.jsonl").read_text().splitlines(keepends=True)
    (copy / "record.jsonl").write_text("".join(lines[:4]) + '{"cut')
    page = write_report(copy).read_text()
    assert "This training has not finished" in page
    (copy / "record.jsonl").write_text("")
    with pytest.raises(VerificationError, match="expected a start line"):
        write_report(copy)


def test_changed_settings_are_pointed_out(trained):
    page = report_html(read_story(trained), [], {"name": "<b>"}, config_sealed=False)
    assert "The settings do not match the record" in page
    assert "<b>" not in page
    assert "&lt;b&gt;" in page


def test_infinite_losses_and_groups_without_rows_are_shown_as_such():
    tables = {
        "note": "n",
        "rows": {"a": 2, "b": 0},
        "by_group": {"accuracy": {"a": 0.5, "b": None}, "loss": {"a": "inf", "b": None}},
        "overall": {"accuracy": 0.5, "loss": "inf"},
        "difference": {},
        "ratio": {},
    }
    start = {
        "data": {
            "groups": ["a", "b"],
            "attribute": "g",
            "name": "d",
            "records": 2,
            "notes": [],
        },
        "model": {"factory": "m", "parameters": 1},
        "event": {"rule": "flat"},
        "twin": None,
        "steps": 3,
        "equigrad": "0",
        "statement": {"epsilon": 1.0, "delta": 0.1, "mark": None, "lines": []},
    }
    body = {"test": tables, "twin": None, "state": {"clips": [1.0, 2.0], "on": True}}
    story = Story(start, [(0, body), (3, body)], [], None, "h", 3)
    rows = group_rows(story)
    assert rows[2].accuracy is None
    assert rows[1].loss == "inf"
    plots = draw_plots(story)
    assert [plot.name for plot in plots] == ["accuracy", "loss", "state"]
    page = report_html(story, plots, {"name": "x"})
    assert "no rows" in page
    assert ">inf<" in page
