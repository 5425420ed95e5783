"""An answer says what was predicted for which row, and who took part."""

import csv
import io
import json

import numpy as np

from equigrad.federation.vertical.answer import answer_csv, answer_json, make_answer
from equigrad.federation.vertical.predicting import Prediction

PARTIES = ("bank", "shop", "phone")


def found(columns: int) -> Prediction:
    scores = np.random.default_rng(0).normal(size=(4, columns))
    held = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0], [0, 1, 1]], dtype=bool)
    used = held & np.array([True, True, False])
    return Prediction(scores, held, used, {"phone": "deadline: no reply"}, {"bank": 9}, {"bank": 7})


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_classes_with_probabilities() -> None:
    asked = found(3)
    asked.scores[1] = [2.0, 2.0, -1.0]
    answer = make_answer(["a", 'b, "c"', "d", "e"], asked, PARTIES, ["late"], ["x", "y", "z"])
    rows = table(answer_csv(answer))
    assert list(rows[0]) == [
        "id", "prediction", "probability x", "probability y", "probability z", "parties",
    ]  # fmt: skip
    assert [row["id"] for row in rows] == ["a", 'b, "c"', "d", "e"]
    assert rows[1]["prediction"] == "x"  # the first of equal ones
    assert [row["parties"] for row in rows] == ["2", "1", "0", "1"]
    for i in (0, 1, 3):
        weight = np.exp(asked.scores[i])
        told = [float(rows[i][f"probability {name}"]) for name in "xyz"]
        np.testing.assert_allclose(told, weight / weight.sum(), rtol=1e-14)
        assert rows[i]["prediction"] == "xyz"[asked.scores[i].argmax()]
    assert rows[2] == {"id": "d", "parties": "0"} | dict.fromkeys(list(rows[2])[1:5], "")
    assert answer.participants == ("bank", "shop")
    assert (answer.unknown, answer.alone) == (1, 1)


def test_values_come_back_to_the_last_bit() -> None:
    asked = found(1)
    rows = table(answer_csv(make_answer("abcd", asked, PARTIES, ["income"])))
    assert list(rows[0]) == ["id", "prediction", "parties"]
    assert [float(rows[i]["prediction"]) for i in (0, 1, 3)] == asked.scores[[0, 1, 3], 0].tolist()
    assert rows[2]["prediction"] == ""


def test_several_outputs_have_a_column_each() -> None:
    rows = table(answer_csv(make_answer("abcd", found(2), PARTIES, ["income", "age"])))
    assert list(rows[0]) == ["id", "prediction income", "prediction age", "parties"]


def test_json_has_the_same_and_who_took_part() -> None:
    asked = found(2)
    told = json.loads(
        json.dumps(answer_json(make_answer("abcd", asked, PARTIES, ["k"], ["x", "y"])))
    )
    assert told["participants"] == ["bank", "shop"]
    assert told["absent"] == {"phone": "deadline: no reply"}
    assert (told["rows"], told["held_by_nobody"], told["held_by_sponsor_alone"]) == (4, 1, 1)
    assert told["predictions"][2] == {
        "id": "c", "prediction": None, "probabilities": {"x": None, "y": None}, "parties": 0,
    }  # fmt: skip
    values = answer_json(make_answer("abcd", asked, PARTIES, ["k", "l"]))["predictions"]
    assert values[0]["prediction"] == asked.scores[0].tolist()
    assert values[2]["prediction"] == [None, None]
    single = answer_json(make_answer("abcd", found(1), PARTIES, ["k"]))["predictions"]
    assert single[2]["prediction"] is None
    assert isinstance(single[0]["prediction"], float)


def test_extreme_scores_have_probabilities() -> None:
    asked = found(2)
    asked.scores[0] = [1e5, -1e5]
    answer = make_answer("abcd", asked, PARTIES, ["k"], ["x", "y"])
    assert answer.probabilities is not None
    assert answer.probabilities[0].tolist() == [1.0, 0.0]
