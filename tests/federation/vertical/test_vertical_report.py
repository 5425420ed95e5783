"""The report of a vertical run: everything from the record, nothing from the network."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import vertical_records as records

from equigrad.errors import RecordError, VerificationError
from equigrad.federation.vertical.report import read_story, write_report
from equigrad.federation.vertical.report.html import report_html
from equigrad.federation.vertical.report.learned import learned
from equigrad.federation.vertical.report.metrics import metrics
from equigrad.federation.vertical.report.plots import draw_plots
from equigrad.federation.vertical.report.rows import party_rows, round_rows, summarise
from equigrad.federation.vertical.report.traffic import traffic_rows


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = records.write(tmp_path_factory.mktemp("vertical") / "run")
    write_report(place)
    return place.path


def test_the_page_tells_loss_weights_bytes_and_who_saw_what(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    for name in ("loss", "weights", "steps", "contributions", "traffic", "attendance"):
        assert f'id="plot-{name}"' in page
        assert (folder / "plots" / f"{name}.svg").is_file()
    text = text_of(page)
    assert "The residual is the label." in text
    assert "fell from 0.7 to 0.1835" in text
    assert "because the loss on rows held out stopped falling" in text
    assert "123 kB" in text
    assert "split learning: 9.88 MB" in text
    assert "This run has not finished" not in text
    assert "does not match the record" not in text
    assert read_story(folder).head in page


def test_the_page_is_self_contained_and_escapes_what_others_wrote(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert "<script" not in page
    assert "<b>phone" not in page
    assert "&lt;b&gt;phone" in page
    loaded = re.findall(r'(?:src|href)="([^"#][^"]*)"', page)
    assert [url for url in loaded if not url.startswith("data:")] == []
    assert "default-src 'none'" in page


def test_rows_add_up_by_hand(folder: Path) -> None:
    story = read_story(folder)
    rows = {row.party: row for row in party_rows(story)}
    assert list(rows) == records.names(4)
    bank, shop, phone, _ = rows.values()
    assert (shop.asked, shop.answered, shop.absent, shop.refused) == (6, 5, 1, 0)
    assert (phone.asked, phone.answered, phone.absent, phone.refused) == (6, 5, 0, 1)
    assert (shop.rows, shop.share) == (370, 370 / 400)
    # The offer, six residuals, and the one of round 4 again.
    assert shop.sent == 32 * 400 + 7 * (16 * 185 + 200)
    assert shop.received == 400 + 5 * (16 * 370 + 150)
    assert phone.received == 400 + 6 * (16 * 340 + 150)  # what was refused came all the same
    assert bank.cosine == pytest.approx(0.5)
    assert bank.shapley == pytest.approx(0.27)
    weights = [turn.weighed["w"][0] for turn in story.kept if turn.weighed]
    assert bank.weight == pytest.approx(sum(weights) / 6)
    assert sum(row.weight or 0.0 for row in rows.values()) == pytest.approx(1.0)
    short = summarise(story)
    assert short.bytes == sum(row.sent + row.received for row in (shop, phone, rows["registry"]))
    assert (short.rounds, short.absences, short.refusals, short.capped) == (6, 1, 1, 1)
    assert short.everywhere == 310 / 400


def test_who_is_asked_again_and_answers_was_there(folder: Path) -> None:
    rows = [row for row in round_rows(read_story(folder)) if row.round == 3]
    assert [row.state for row in rows] == ["answered"] * 4
    assert rows[1].sent == 2 * (16 * 185 + 200)
    assert rows[0].sent == 16 * 200 + 200


def test_sizes_of_every_round_stand_beside_split_learning(folder: Path) -> None:
    story = read_story(folder)
    rows = traffic_rows(story)
    assert [row.round for row in rows] == [None, 0, 1, 2, 3, 4, 5]
    assert (rows[0].sent, rows[0].received) == (3 * 32 * 400, 3 * 400)
    others = [370, 340, 310]
    assert rows[1].sent == sum(16 * (n // 2) + 200 for n in others)
    assert rows[1].received == sum(16 * n + 150 for n in others)
    assert rows[2].received == rows[1].received - (16 * 370 + 150)  # the shop was silent
    assert rows[4].sent == rows[1].sent + 16 * 185 + 200  # and asked again in round 3
    # Forward and back, 32 numbers of 4 bytes for each row that an assistor holds.
    assert {row.split_learning for row in rows[1:]} == {2 * 32 * 4 * sum(others)}
    assert rows[-1].so_far == summarise(story).bytes
    text = text_of((folder / "report.html").read_text())
    assert "Message sizes of every round" in text
    assert "Split learning, one epoch" in text
    assert "261 kB" in text


def test_metrics_agree_with_the_record(folder: Path) -> None:
    story = read_story(folder)
    stored = json.loads((folder / "metrics.json").read_text())
    assert stored == json.loads(json.dumps(metrics(story)))
    assert stored["head"] == story.head
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    assert len(rows) == 6 * 4
    absent = [row for row in rows if row["state"] == "absent"]
    assert [(row["round"], row["pass"], row["party"]) for row in absent] == [("1", "0", "shop")]
    assert absent[0]["reason"] == "deadline"
    assert float(rows[0]["weight"]) == story.turns[0].weighed["w"][0]
    assert float(rows[0]["loss"]) == story.turns[0].stepped["loss"]
    assert rows[-1]["capped"] == "true"


def test_the_same_record_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "plots" / "old.svg").write_text("")
    write_report(copy)
    for path in (p for p in folder.rglob("*") if p.is_file()):
        assert (copy / path.relative_to(folder)).read_bytes() == path.read_bytes()
    assert not (copy / "plots" / "old.svg").exists()


def test_what_each_party_learned(folder: Path) -> None:
    story = read_story(folder)
    bank, shop, *_ = learned(story, party_rows(story))
    assert "shop 370" in bank.facts[0]
    assert "keyed digests, and which 370 of them" in shop.facts[0]
    assert "2 classes" in shop.facts[1]
    assert shop.facts[2].startswith("Residuals of 6 rounds")
    assert "They are the labels" in shop.facts[2]


def test_private_set_intersection_tells_less(tmp_path: Path) -> None:
    story = read_story(records.write(tmp_path / "run", method="psi"))
    shop = learned(story, party_rows(story))[1]
    assert shop.facts[0] == "Which of its own rows are among the sponsor\u2019s: 370."


@pytest.mark.parametrize("mechanism", ["randomised_response", "interval"])
def test_under_a_mechanism_the_page_has_the_public_track_alone(
    tmp_path: Path, mechanism: str
) -> None:
    place = records.write(tmp_path / "run", mechanism=mechanism, trouble=False)
    page = text_of(write_report(place).read_text())
    assert "The residual is the label." not in page
    assert "This page shows the public track" in page
    assert "epsilon 2.000 by the sum" in page
    assert "Loss share" not in page
    story = read_story(place)
    names = [plot.name for plot in draw_plots(story)]
    assert names == ["loss", "weights", "steps", "traffic"]
    assert "made private" in learned(story, party_rows(story))[1].facts[2]


def test_a_second_pass_is_the_model(tmp_path: Path) -> None:
    story = read_story(records.write(tmp_path / "run", refit=True, trouble=False))
    assert [turn.index for turn in story.kept] == [6, 7, 8, 9, 10, 11]
    page = text_of(write_report(tmp_path / "run").read_text())
    assert "done again on all rows for that many rounds" in page
    assert "rows held out to stop (first pass)" in draw_plots(story)[0].text
    assert "Every party that was asked answered in every round." in page


def test_a_stopped_run_has_a_report_too(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    lines = (copy / "record.jsonl").read_text().splitlines(keepends=True)
    for count, names in ((2, []), (3, []), (5, 4), (9, 4)):
        (copy / "record.jsonl").write_text("".join(lines[:count]) + '{"cut')
        page = write_report(copy).read_text()
        assert "This run has not finished" in page
        assert len(list((copy / "plots").glob("*.svg"))) >= bool(names)
    (copy / "record.jsonl").write_text(lines[0])
    with pytest.raises(RecordError, match="alignment of a vertical run"):
        write_report(copy)
    (copy / "record.jsonl").write_text("".join([*lines[:3], *lines[4:]]))
    with pytest.raises(VerificationError):
        write_report(copy)


def test_many_parties_are_still_legible(tmp_path: Path) -> None:
    story = read_story(records.write(tmp_path / "run", count=40, rounds=2))
    plots = {plot.name: plot for plot in draw_plots(story)}
    assert "The 20 with the largest weights of 40" in plots["weights"].text
    assert plots["weights"].svg.count("party-") <= 20


def test_changed_settings_are_pointed_out(folder: Path) -> None:
    page = report_html(read_story(folder), [], {"name": "<i>"}, config_sealed=False)
    assert "The configuration does not match the record" in page
    assert "<i>" not in page
