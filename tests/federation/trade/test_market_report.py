"""The report of a market run: everything from the record, nothing from the network."""

import csv
import json
import re
import shutil
from pathlib import Path

import market_records as records
import pytest

from equigrad.errors import RecordError, VerificationError
from equigrad.federation.trade.report import read_story, write_report
from equigrad.federation.trade.report.compare import draw_runs
from equigrad.federation.trade.report.html import report_html
from equigrad.federation.trade.report.metrics import metrics
from equigrad.federation.trade.report.plots import draw_plots
from equigrad.federation.trade.report.rows import party_rows, round_rows, sale_rows, summarise


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = records.write(tmp_path_factory.mktemp("market") / "run", appraise=True)
    write_report(place)
    return place.path


def test_the_page_tells_what_was_bought_and_for_how_much(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    for name in ("score", "spending", "error", "epsilon", "payments", "supply", "values"):
        assert f'id="plot-{name}"' in page
        assert (folder / "plots" / f"{name}.svg").is_file()
    text, summary = text_of(page), summarise(read_story(folder))
    paid = records.EUR.format(summary.paid)
    assert f"and paid {paid} of 120.00 EUR for {summary.sales} verified deliveries" in text
    assert "because all rounds were played" in text
    assert "Not private: seeded noise." in text
    assert "Most rounds were too noisy for their bound." in text
    assert "no party can gain by any other price or cap" in text
    assert "Everybody’s cap would cost 250.00" in text
    assert "This run has not finished" not in text
    assert "does not match the record" not in text
    assert read_story(folder).head in page


def test_the_page_is_self_contained_and_escapes_what_others_wrote(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert "<script" not in page
    assert "<b>x</b>" not in page
    assert "raised: &lt;b&gt;x&lt;/b&gt;" in page
    loaded = re.findall(r'(?:src|href)="([^"#][^"]*)"', page)
    assert [url for url in loaded if not url.startswith("data:")] == []
    assert "default-src 'none'" in page


def test_rows_add_up_by_hand(folder: Path) -> None:
    story = read_story(folder)
    parties = {row.party: row for row in party_rows(story)}
    rounds, summary = round_rows(story), summarise(story)
    assert list(parties) == records.names(5)
    assert [row.bids for row in rounds] == [5, 3, 4]
    assert (parties["clinic-1"].bids, parties["clinic-4"].bids) == (2, 1)  # silent; declined twice
    # What was rejected in round 2 would have been clinic-2's: it was awarded nothing at all.
    assert parties["clinic-2"].epsilon == 0.0
    assert parties["clinic-2"].weight is None
    first = parties["clinic-0"]
    assert (first.sales, first.epsilon, first.account) == (3, 3.0, 3.0)
    clear = [turn.line("clear") for turn in story.turns]
    assert first.earned == sum(line["payments"][0] for line in clear)
    assert first.cost == sum(line["costs"][0] for line in clear)
    assert summary.paid == sum(row.earned for row in parties.values())
    assert summary.sales == sum(row.delivered for row in rounds) == 8
    for row in rounds:
        assert row.paid + row.fee + row.refunded == row.budget + row.budget * 2 // 100
        assert row.err == pytest.approx((row.variance or 0) + (row.bias or 0))
    assert summary.relative_median == sorted(row.relative or 0 for row in rounds)[1]
    assert (summary.score_first, summary.score_last) == (0.5, 0.7)
    assert (summary.non_private, summary.buy_all) == (pytest.approx(0.85), pytest.approx(0.77))


def test_each_party_has_a_state_in_each_round(folder: Path) -> None:
    states = {
        (row.round, row.party): (row.state, row.reason) for row in sale_rows(read_story(folder))
    }
    assert states[0, "clinic-0"] == ("paid", "")
    assert states[0, "clinic-2"] == ("unsold", "")
    assert states[1, "clinic-1"] == ("dropped", "not opened (raised: <b>x</b>)")
    assert states[1, "clinic-4"] == ("declined", "account")


def test_a_rejected_delivery_costs_privacy_and_earns_nothing(tmp_path: Path) -> None:
    # With a larger budget clinic-2 sells, and its delivery of round 2 is refused.
    story = read_story(records.write(tmp_path / "run", budget="400.00"))
    row = party_rows(story)[2]
    assert (row.awards, row.sales) == (3, 2)
    sold = [sale for sale in sale_rows(story) if sale.party == "clinic-2"]
    assert sold[2].state == "rejected"
    assert sold[2].paid == 0
    assert sold[2].payment > 0
    assert row.epsilon == sum(sale.epsilon for sale in sold)
    assert row.earned == sum(sale.payment for sale in sold[:2])
    assert "awarded, not delivered" in {p.name: p for p in draw_plots(story)}["spending"].svg


def test_metrics_agree_with_the_record(folder: Path) -> None:
    story = read_story(folder)
    stored = json.loads((folder / "metrics.json").read_text())
    assert stored == json.loads(json.dumps(metrics(story)))
    assert stored["head"] == story.head
    assert (stored["currency"], stored["scale"]) == ("EUR", 10**6)
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    assert len(rows) == 3 * 5
    assert [row["state"] for row in rows].count("paid") == 8
    assert sum(int(row["paid"]) for row in rows) == stored["summary"]["paid"]
    assert float(rows[0]["weight"]) == story.turns[0].line("aggregate")["weights"][0]
    assert rows[2]["weight"] == ""


def test_the_same_record_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "plots" / "old.svg").write_text("")
    write_report(copy)
    for path in (p for p in folder.rglob("*") if p.is_file()):
        assert (copy / path.relative_to(folder)).read_bytes() == path.read_bytes()
    assert not (copy / "plots" / "old.svg").exists()


def test_a_round_that_sells_nothing_is_told(tmp_path: Path) -> None:
    story = read_story(records.write(tmp_path / "run", void=1, trouble=False, baselines=False))
    row = round_rows(story)[1]
    assert (row.bids, row.awards, row.err, row.why) == (0, 0, None, "Nobody bids.")
    summary = summarise(story)
    assert (summary.rounds, summary.valid, summary.buy_all) == (3, 2, None)
    page = text_of(write_report(tmp_path / "run").read_text())
    assert "Nobody bids." in page
    assert "without any noise" not in page
    assert "Mean value" not in page


def test_a_stopped_run_has_a_report_too(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    lines = (copy / "record.jsonl").read_text().splitlines(keepends=True)
    for count in (1, 2, 3, 5, 8, 13, len(lines) - 1):
        (copy / "record.jsonl").write_text("".join(lines[:count]) + '{"cut')
        assert "This run has not finished" in write_report(copy).read_text()
    (copy / "record.jsonl").write_text("")
    with pytest.raises(RecordError, match="start of a market run"):
        write_report(copy)
    (copy / "record.jsonl").write_text("".join([*lines[:3], *lines[4:]]))
    with pytest.raises(VerificationError):
        write_report(copy)


def test_many_parties_are_still_legible(tmp_path: Path) -> None:
    story = read_story(records.write(tmp_path / "run", count=40, budget="900.00"))
    plots = {plot.name: plot for plot in draw_plots(story)}
    assert "the 20 with most of 40" in plots["epsilon"].text
    assert plots["payments"].svg.count("clinic-") <= 21


def test_changed_settings_are_pointed_out(folder: Path) -> None:
    page = report_html(read_story(folder), [], {"name": "<i>"}, config_sealed=False)
    assert "The configuration does not match the record" in page
    assert "<i>" not in page


def test_runs_are_drawn_side_by_side(folder: Path) -> None:
    story = read_story(folder)
    plot = draw_runs(["one", "two"], [story, story])
    assert "one 0.700, two 0.700" in plot.text
    other = read_story(folder)
    other.start = {**other.start, "data": {"task": "regression"}}
    with pytest.raises(RecordError, match="scores are of one kind"):
        draw_runs(["one", "two"], [story, other])
