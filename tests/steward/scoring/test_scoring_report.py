"""The owner's page, summary and comparison."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest
from score_settings import Stop, Stopper, everything, quick, whole

from equigrad.errors import DataError
from equigrad.steward.scoring.comparing import compared
from equigrad.steward.scoring.report import read_score_story, write_score_report
from equigrad.steward.scoring.run import start_scoring


class Page(HTMLParser):
    """What stands in a page: tags, their addresses, its words."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.images, self.words = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        given = dict(attributes)
        self.links += [given[k] for k in ("href", "src", "xlink:href") if k in given]
        if tag == "img":
            self.images.append(given)

    def handle_data(self, data):
        self.words += data


def page(folder):
    return Page((folder / "local" / "report.html").read_text())


def test_the_page_tells_everything_and_asks_nobody(trained_on_selection):
    found = page(trained_on_selection)
    words = " ".join(found.words.split())
    for expected in (
        "Not to be published",
        "Not private: seeded noise",
        "Epsilon of all that leaves you",
        "loss-mean",
        "high: hard, or wrongly labelled",
        "Does the selection pay?",
        "baseline, on all records",
        "Kept, by class",
        "Finding wrong labels",
        "Do the scorers agree?",
        "most suspicious",
        "least suspicious",
        "score: scorer's model",
        "Trained and not released: baseline",
        "equigrad verify FOLDER",
        "privacy.epsilon",
    ):
        assert expected.replace("'", "’") in words.replace("'", "’"), expected
    assert "script" not in found.tags
    assert all(link.startswith(("#", "data:")) for link in found.links)


def test_pictures_are_shown_as_pictures(tmp_path):
    settings = quick(**{"data.name": "digits", "training.steps": 2, "privacy.delta": 1e-3})
    start_scoring(settings, tmp_path / "run")
    found = page(tmp_path / "run")
    assert len(found.images) == 2 * 2 * 8
    assert all(one["src"].startswith("data:image/png;base64,") for one in found.images)
    assert all("labelled" in one["alt"] for one in found.images)


def test_rows_are_shown_by_what_stands_out(scored):
    examples = json.loads((scored / "local" / "examples.json").read_text())
    assert set(examples) == {"loss-mean", "aum"}
    most = examples["loss-mean"]["most suspicious"]
    assert len(most) == 8
    assert most[0]["score"] >= most[-1]["score"]
    name, value = most[0]["traits"][0]
    assert isinstance(name, str)
    assert abs(value) >= abs(most[0]["traits"][-1][1])


def test_the_summary_is_the_outcome(trained_on_selection):
    found = json.loads((trained_on_selection / "local" / "summary.json").read_text())
    assert found["finished"] is True
    assert [row["scorer"] for row in found["scorers"]] == ["loss-mean", "aum"]
    assert found["scorers"][0]["least"] <= found["scorers"][0]["median"]
    assert found["selection"]["records"] == 120
    comparison = found["comparison"]
    assert comparison["selected"] == found["accuracy"]["selected 0"]
    assert comparison["difference"] == comparison["selected"] - comparison["baseline"]


def test_the_report_is_renewed_to_the_same_bytes(trained_on_selection):
    before = everything(trained_on_selection)
    write_score_report(trained_on_selection)
    assert everything(trained_on_selection) == before


def test_an_unfinished_scoring_can_be_told(tmp_path):
    with pytest.raises(Stop):
        start_scoring(whole(), tmp_path / "run", listener=Stopper(3, 2))
    write_score_report(tmp_path / "run")
    story = read_score_story(tmp_path / "run")
    assert not story.finished
    assert story.stage == "model, scores, selection"
    assert "This scoring has not finished" in page(tmp_path / "run").words
    with pytest.raises(Stop):
        start_scoring(whole(), tmp_path / "early", listener=Stopper(0, 2))
    write_score_report(tmp_path / "early")
    assert "nobody yet" in page(tmp_path / "early").words


def naive(selected, baseline, generator, draws=3000):
    """Draw records and repeats one by one."""
    repeats, m = selected.shape
    gaps = []
    for _ in range(draws):
        rows, at = generator.integers(repeats, size=repeats), generator.integers(m, size=m)
        gaps.append(selected[rows][:, at].mean() - baseline[rows][:, at].mean())
    return np.quantile(gaps, [0.025, 0.975])


def test_the_bootstrap_is_that_of_a_plain_loop():
    generator = np.random.default_rng(0)
    hard = generator.random(150)
    selected = generator.random((3, 150)) < 0.5 + 0.5 * hard
    baseline = selected & (generator.random((3, 150)) < 0.9)
    found = compared(selected, baseline, np.random.default_rng(1))
    low, high = naive(selected, baseline, np.random.default_rng(2))
    assert found.low == pytest.approx(low, abs=0.006)
    assert found.high == pytest.approx(high, abs=0.006)
    assert found.verdict == "selected better"
    swapped = compared(baseline, selected, np.random.default_rng(1))
    assert swapped.verdict == "baseline better"
    same = compared(selected, selected, np.random.default_rng(1))
    assert (same.difference, same.low, same.high, same.verdict) == (0, 0, 0, "no difference")


def test_pairing_narrows_the_interval():
    generator = np.random.default_rng(0)
    base = generator.random((1, 400)) < 0.7
    better = base.copy()
    better[0, :12] = True
    paired = compared(better, base, np.random.default_rng(1))
    apart = compared(better, base[:, ::-1], np.random.default_rng(1))
    assert paired.high - paired.low < apart.high - apart.low


def test_only_the_same_records_are_compared():
    with pytest.raises(DataError, match="same test records"):
        compared(np.ones((1, 3), bool), np.ones((1, 4), bool), np.random.default_rng(0))


def test_difficulty_is_not_taken_for_a_wrong_label(tmp_path):
    settings = quick(
        **{
            "scoring.scorers": ["loss-mean", "vog", "plis"],
            "scoring.options": {"vog": {"target": "prob"}},
            "truth.flip_labels": 0.1,
            "truth.removal": False,
        }
    )
    start_scoring(settings, tmp_path / "run")
    found = json.loads((tmp_path / "run" / "local" / "summary.json").read_text())
    rows = {row["scorer"].partition("(")[0]: row for row in found["scorers"]}
    assert rows["loss-mean"]["detection"]["auc"] > 0.5
    for name in ("vog", "plis"):
        assert "no evidence of a wrong label" in rows[name]["means"]
        assert "not taken for evidence" in rows[name]["detection"]["note"]
    examples = json.loads((tmp_path / "run" / "local" / "examples.json").read_text())
    assert set(examples["plis"]) == {"highest", "lowest"}


def test_one_record_has_a_score_and_no_flag(tmp_path):
    one = {"data.records": 1, "privacy.expected_batch": 1, "privacy.delta": 0.5}
    start_scoring(quick(**one), tmp_path / "run")
    found = json.loads((tmp_path / "run" / "local" / "summary.json").read_text())
    assert found["scorers"][0]["reliability"]["verdict"] == "not assessed"
    assert found["scorers"][0]["least"] == found["scorers"][0]["most"]
