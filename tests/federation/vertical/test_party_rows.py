"""A party's file becomes rows in digest order, or is refused with a sentence that helps."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equigrad.assistance import AssistanceWarning
from equigrad.data.alignment import digest_ids
from equigrad.errors import AlignmentError, DataError
from equigrad.federation.vertical.queries import read_queries
from equigrad.federation.vertical.rows import RowSource, read_rows
from equigrad.federation.vertical.target import read_sponsor

KEY = bytes(range(32))


def bank() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": ["c1", "c2", "c3", "c4", "c5"],
            "income": [10.0, 20.0, 30.0, 40.0, 50.0],
            "kind": ["a", "b", "a", "b", "a"],
            "late": ["no", "yes", "no", "no", "yes"],
        }
    )


def saved(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


def source(path: Path, **more: Any) -> RowSource:
    given = {"party": "bank", "path": path, "identifier": "id", "standardise": False}
    return RowSource(**{**given, **more})


def sponsor(folder: Path, **more: Any) -> RowSource:
    return source(saved(bank(), folder / "bank.csv"), label=("late",), **more)


@pytest.mark.parametrize("name", ["b.csv", "b.csv.gz", "b.parquet"])
def test_rows_come_in_digest_order(tmp_path: Path, name: str) -> None:
    rows = read_rows(source(saved(bank(), tmp_path / name), label=("late",)), KEY)
    expected = sorted((digest_ids([i], KEY)[0].tobytes(), n) for n, i in enumerate(bank()["id"]))
    assert [row.tobytes() for row in rows.digests] == [d for d, _ in expected]
    assert rows.records.tolist() == [n for _, n in expected]
    assert rows.encoder is not None
    assert rows.encoder.names == ("income", "kind=a", "kind=b")
    np.testing.assert_array_equal(rows.X[:, 0], bank()["income"].to_numpy()[rows.records])


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.permutations(range(5)))
def test_the_order_of_the_file_does_not_matter(tmp_path: Path, order: list[int]) -> None:
    first = read_rows(sponsor(tmp_path), KEY)
    shuffled = saved(bank().iloc[order], tmp_path / "other.csv")
    again = read_rows(source(shuffled, label=("late",)), KEY)
    np.testing.assert_array_equal(again.digests, first.digests)
    np.testing.assert_array_equal(again.X, first.X)
    assert again.fingerprint(first.digests) == first.fingerprint(first.digests)


def test_rows_are_found_by_digest(tmp_path: Path) -> None:
    rows = read_rows(sponsor(tmp_path), KEY)
    held, X = rows.lookup(digest_ids(["c4", "zz", "c1"], KEY))
    assert held.tolist() == [True, False, True]
    np.testing.assert_array_equal(X[:, 0], [40.0, 10.0])
    held, X = rows.lookup(digest_ids(["zz"], KEY))
    assert not held.any()
    assert X.shape == (0, 3)


def test_leading_zeros_are_part_of_an_identifier(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    path.write_text("id,x,zip\n007,1,01\n7,2,1\n", encoding="utf-8")
    rows = read_rows(source(path, categorical=("zip",)), KEY)
    held, X = rows.lookup(digest_ids(["7", "007"], KEY))
    np.testing.assert_array_equal(X, [[2, 0, 1], [1, 1, 0]])
    assert held.all()


def test_a_fingerprint_is_of_the_rows_asked_and_their_values(tmp_path: Path) -> None:
    digests = digest_ids(["c1", "c2"], KEY)
    first = read_rows(sponsor(tmp_path), KEY)
    mark = first.fingerprint(digests)
    for record, column, value, same in [(4, "income", 9.0, True), (0, "income", 9.0, False)]:
        changed = bank()
        changed.loc[record, column] = value
        rows = read_rows(source(saved(changed, tmp_path / "b.csv"), label=("late",)), KEY)
        assert (rows.fingerprint(digests) == mark) is same
    assert first.fingerprint(digest_ids(["c1"], KEY)) != mark


def test_an_encoder_of_an_earlier_reading_is_kept(tmp_path: Path) -> None:
    first = read_rows(sponsor(tmp_path, standardise=True), KEY)
    more = pd.concat([bank(), pd.DataFrame({"id": ["c6"], "income": [1e6], "kind": ["z"]})])
    path = saved(more, tmp_path / "more.csv")
    again = read_rows(source(path, label=("late",), standardise=True), KEY, first.encoder)
    np.testing.assert_array_equal(again.lookup(first.digests)[1], first.X)
    assert len(again) == 6


def test_constant_columns_are_left_out_with_a_warning(tmp_path: Path) -> None:
    path = saved(bank().assign(country="de", year=2020), tmp_path / "b.csv")
    with pytest.warns(AssistanceWarning, match="one value only in 'country', 'year'"):
        rows = read_rows(source(path, label=("late",)), KEY)
    assert rows.X.shape == (5, 3)


def test_images_are_rows_too(tmp_path: Path) -> None:
    path = tmp_path / "patches.npz"
    pixels = np.arange(3 * 4 * 2, dtype=np.uint8).reshape(3, 4, 2)
    np.savez(path, features=pixels, id=np.array(["c1", "c2", "c3"]))
    rows = read_rows(source(path), KEY)
    np.testing.assert_array_equal(rows.X[:, 0], pixels[rows.records] / 255)
    assert rows.encoder is None
    rows.check_missing(taken=False)
    with pytest.raises(DataError, match="no columns or categorical for the images"):
        read_rows(source(path, columns=("x0",)), KEY)


class TestRefused:
    def rows(self, tmp_path: Path, frame: pd.DataFrame, **more: Any) -> Any:
        return read_rows(source(saved(frame, tmp_path / "b.csv"), **more), KEY)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"data of party 'bank' at .*got no file"):
            read_rows(source(tmp_path / "none.csv"), KEY)

    @pytest.mark.parametrize(
        ("more", "told"),
        [
            ({"identifier": "ids"}, r"identifier column 'ids'.*Did you mean 'id'"),
            ({"columns": ("incom",)}, r"feature column 'incom'.*Did you mean 'income'"),
            ({"categorical": ("kinds",)}, r"'kinds'.*Did you mean 'kind'"),
            ({"columns": ("income",), "categorical": ("kind",)}, "categorical column 'kind' among"),
            ({"columns": ("income", "income")}, "each of them once"),
            ({"columns": ("id", "income")}, "identifier or label 'id'"),
            ({"columns": ("late",), "label": ("late",)}, "identifier or label 'late'"),
            ({"columns": ()}, "got none"),
            ({"forbidden": ("late",)}, "label of the sponsor 'late'.*rename it"),
        ],
    )
    def test_columns(self, tmp_path: Path, more: dict[str, Any], told: str) -> None:
        with pytest.raises(DataError, match=told):
            self.rows(tmp_path, bank(), **more)

    def test_a_label_that_is_not_used_does_no_harm(self, tmp_path: Path) -> None:
        rows = self.rows(tmp_path, bank(), columns=("income",), forbidden=("late",))
        assert rows.X.shape == (5, 1)

    def test_repeated_and_missing_identifiers_are_never_shown(self, tmp_path: Path) -> None:
        twice = bank().assign(id=["c1", "Jane Doe", "c3", "jane doe", "c5"])
        with pytest.raises(AlignmentError, match=r"'id' of b\.csv of party 'bank'.*1 and 3") as e:
            self.rows(tmp_path, twice, fold=("casefold",))
        assert "jane" not in str(e.value).lower()
        with pytest.raises(AlignmentError, match="2 empty ones, in records 1, 3"):
            self.rows(tmp_path, bank().assign(id=["c1", None, "c3", None, "c5"]))

    def test_empty_cells_are_told_by_column(self, tmp_path: Path) -> None:
        rows = self.rows(tmp_path, bank().assign(income=[1, None, 3, 4, 5]), label=("late",))
        rows.check_missing(taken=True)
        with pytest.raises(
            DataError, match=r"party 'bank', got empty ones in its columns 'income'\."
        ):
            rows.check_missing(taken=False)


class TestTarget:
    def test_classes_in_digest_order(self, tmp_path: Path) -> None:
        rows, target = read_sponsor(sponsor(tmp_path), KEY, "classification")
        assert target.classes == ("no", "yes")
        assert target.n_outputs == 2
        expected = (bank()["late"] == "yes").to_numpy().astype(int)[rows.records]
        np.testing.assert_array_equal(target.codes, expected)
        np.testing.assert_array_equal(target.values, np.eye(2)[expected])
        assert rows.X.shape == (5, 3)

    def test_several_values_of_a_regression(self, tmp_path: Path) -> None:
        path = saved(bank(), tmp_path / "b.csv")
        rows, target = read_sponsor(
            source(path, label=("income", "age"), columns=("kind",)).at(
                saved(bank().assign(age=[5, 4, 3, 2, 1]), path)
            ),
            KEY,
            "regression",
        )
        np.testing.assert_array_equal(target.values[:, 1], 5 - rows.records)
        assert target.classes == ()
        assert target.codes is None

    def test_numbers_as_classes_are_in_order_of_size(self, tmp_path: Path) -> None:
        path = saved(bank().assign(late=[10, 9, 2, 10, 9]), tmp_path / "b.csv")
        _, target = read_sponsor(source(path, label=("late",)), KEY, "classification")
        assert target.classes == ("2", "9", "10")

    def test_a_declared_class_without_rows_is_warned_of(self, tmp_path: Path) -> None:
        names = ["yes", "maybe", "no"]
        with pytest.warns(AssistanceWarning, match="none of maybe"):
            _, target = read_sponsor(sponsor(tmp_path), KEY, "classification", classes=names)
        assert target.values.shape == (5, 3)
        assert target.values.sum(axis=0).tolist() == [2, 0, 3]

    @pytest.mark.parametrize(
        ("change", "task", "classes", "told"),
        [
            ({"late": ["no", None, "no", "no", None]}, "classification", None, "2 empty ones"),
            (
                {"late": [1.0, None, 2.0, 3.0, 4.0]},
                "regression",
                None,
                r"empty.*record 1 \(from 0\)",
            ),
            ({"late": [1.0, np.inf, 2.0, 3.0, 4.0]}, "regression", None, "bank.*record 1 "),
            ({}, "regression", None, "5 other values, the first in record 0"),
            ({}, "classification", ["no"], "among the declared classes no, got yes too"),
            ({}, "classification", ["no", "yes", "no"], "each class once"),
        ],
    )
    def test_labels_that_cannot_be(
        self, tmp_path: Path, change: dict[str, Any], task: Any, classes: Any, told: str
    ) -> None:
        path = saved(bank().assign(**change), tmp_path / "b.csv")
        with pytest.raises(DataError, match=told):
            read_sponsor(source(path, label=("late",)), KEY, task, classes=classes)

    def test_the_label_must_be_named(self, tmp_path: Path) -> None:
        path = saved(bank(), tmp_path / "b.csv")
        with pytest.raises(DataError, match=r"one label column of the sponsor 'bank'.*got none"):
            read_sponsor(source(path), KEY, "classification")
        with pytest.raises(DataError, match=r"label column 'lat'.*Did you mean 'late'"):
            read_sponsor(source(path, label=("lat",)), KEY, "classification")


class TestQueries:
    def test_identifiers_alone(self, tmp_path: Path) -> None:
        rows = read_rows(sponsor(tmp_path), KEY)
        asked = saved(pd.DataFrame({"id": ["c2", "new"]}), tmp_path / "q.csv")
        queries = read_queries(asked, sponsor(tmp_path), KEY, rows.encoder)
        assert queries.ids == ("c2", "new")
        assert queries.X is None
        np.testing.assert_array_equal(queries.digests, digest_ids(["c2", "new"], KEY))

    def test_the_sponsors_columns_are_encoded_as_in_training(self, tmp_path: Path) -> None:
        rows = read_rows(sponsor(tmp_path, standardise=True), KEY)
        asked = saved(bank().drop(columns="late").iloc[::-1], tmp_path / "q.csv")
        queries = read_queries(asked, sponsor(tmp_path), KEY, rows.encoder)
        assert queries.X is not None
        np.testing.assert_array_equal(queries.X, rows.lookup(queries.digests)[1])

    def test_a_label_is_not_looked_at(self, tmp_path: Path) -> None:
        rows = read_rows(sponsor(tmp_path), KEY)
        results = [
            read_queries(
                saved(bank().assign(late=late), tmp_path / "q.csv"),
                sponsor(tmp_path),
                KEY,
                rows.encoder,
            )
            for late in ("yes", "?")
        ]
        assert results[0].X is not None
        assert results[1].X is not None
        np.testing.assert_array_equal(results[0].X, results[1].X)

    def test_some_columns_are_not_enough(self, tmp_path: Path) -> None:
        rows = read_rows(sponsor(tmp_path), KEY)
        asked = saved(bank()[["id", "income"]], tmp_path / "q.csv")
        with pytest.raises(DataError, match=r"sponsor's column 'kind' in .*q\.csv"):
            read_queries(asked, sponsor(tmp_path), KEY, rows.encoder)
