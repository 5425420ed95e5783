"""Identifiers are folded to one spelling, and digests of them say nothing but who is who."""

import hashlib
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equigrad.data.alignment import (
    FOLDS,
    check_key,
    check_unique,
    digest_ids,
    fold_id,
    identifier_texts,
    order_by_digest,
)
from equigrad.errors import AlignmentError, ConfigError, DataError

KEY = bytes(range(32))
folds = st.lists(st.sampled_from(sorted(FOLDS)), unique=True)


def digest(text: str, *fold: str) -> bytes:
    return digest_ids([text], KEY, fold)[0].tobytes()


def test_a_digest_is_hmac_sha_256_of_the_folded_utf_8() -> None:
    # RFC 2104 by hand: the key of 32 bytes is padded to the block of 64.
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in KEY) + b"\x36" * 32 + "é7".encode()).digest()
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in KEY) + b"\x5c" * 32 + inner).digest()
    assert digest(" e\u03017\t") == outer


@pytest.mark.parametrize(
    ("fold", "one", "other"),
    [
        ((), " A-1 ", "A-1"),
        ((), "e\u0301", "\u00e9"),
        (("casefold",), "STRASSE", "straße"),
        (("casefold",), "\u00c9", "e\u0301"),
        (("collapse_spaces",), "a \t b", "a b"),
        (("nfkc",), "ﬁ１", "fi1"),
        (("digits",), "+49 (0)30-٣", "490303"),
        (("alphanumeric",), "AB-12/3", "AB123"),
        (("casefold", "alphanumeric"), "Ab 1", "aB-1"),
    ],
)
def test_what_folds_alike_is_one_identifier(fold: tuple[str, ...], one: str, other: str) -> None:
    assert digest(one, *fold) == digest(other, *fold)


@pytest.mark.parametrize(("one", "other"), [("A", "a"), ("a b", "ab"), ("01", "1"), ("ﬁ", "fi")])
def test_nothing_is_folded_that_was_not_declared(one: str, other: str) -> None:
    assert digest(one) != digest(other)


@given(st.text(), folds)
def test_folding_what_is_folded_changes_nothing(text: str, fold: list[str]) -> None:
    once = fold_id(text, fold)
    assert fold_id(once, fold) == once


@given(st.text(), folds, st.randoms())
def test_spelling_blanks_around_and_the_order_of_foldings_do_not_matter(
    text: str, fold: list[str], random: object
) -> None:
    shuffled = list(fold)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    expected = fold_id(text, fold)
    for form in ("NFC", "NFD"):
        assert fold_id(f" {unicodedata.normalize(form, text)}\n", shuffled) == expected


@given(st.text(), folds)
def test_capitals_do_not_matter_where_that_is_declared(text: str, fold: list[str]) -> None:
    assert fold_id(text.casefold(), ["casefold", *fold]) == fold_id(text, ["casefold", *fold])


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=20))
def test_the_order_is_that_of_bytes(rows: list[bytes]) -> None:
    rows = [*rows, b"\0" * 32, b"a" + b"\0" * 31, b"\xff" * 32]
    digests = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, 32)
    order = order_by_digest(digests)
    assert [rows[i] for i in order] == sorted(rows)
    assert sorted(order.tolist()) == list(range(len(rows)))


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, unique_by=fold_id))
def test_digests_follow_their_rows_and_the_key(ids: list[str]) -> None:
    digests = digest_ids(ids, KEY)
    assert digests.shape == (len(ids), 32)
    np.testing.assert_array_equal(digest_ids(ids[::-1], KEY), digests[::-1])
    assert not (digest_ids(ids, bytes(reversed(KEY))) == digests).all(axis=1).any()


def test_repeated_identifiers_are_told_by_record_only() -> None:
    ids = ["secret-a", "b", "SECRET-A", "c", "B "]
    digest_ids(ids, KEY)
    with pytest.raises(AlignmentError, match=r"2 repetitions in 5 records") as caught:
        digest_ids(ids, KEY, ["casefold"], whose="the column 'id' of shop")
    message = str(caught.value)
    assert "0 and 2; 1 and 4 (from 0)" in message
    assert "the column 'id' of shop" in message
    assert "secret" not in message.lower()


def test_the_same_record_a_third_time_counts_again() -> None:
    with pytest.raises(AlignmentError, match="2 repetitions in 3 records"):
        digest_ids(["a", "a", "a"], KEY)


def test_an_identifier_without_a_sign_is_refused() -> None:
    with pytest.raises(AlignmentError, match=r"1 without a sign after folding.*record 1 "):
        digest_ids(["a", " - "], KEY, ["alphanumeric"])


@pytest.mark.parametrize(
    ("key", "told"),
    [(b"", "got 0"), (bytes(range(31)), "got 31"), (b"a" * 64, "got 64 with 1 different")],
)
def test_weak_keys_are_refused(key: bytes, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check_key(key)
    with pytest.raises(ConfigError, match="equigrad key"):
        digest_ids(["a"], key)


def test_an_unknown_folding_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="alphanumeric, casefold, collapse_spaces, digits, nfkc"):
        fold_id("a", ["lower"])


def test_digests_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match=r"uint8 of shape \(N, 32\)"):
        check_unique(np.zeros((2, 31), dtype=np.uint8), "x")


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([3, 12], ["3", "12"]),
        ([3.0, 12.0], ["3", "12"]),
        (["03", "x"], ["03", "x"]),
        (pd.array([3, 12], dtype="Int64"), ["3", "12"]),
        (np.array([2**63], dtype=np.uint64), [str(2**63)]),
    ],
)
def test_whole_numbers_and_text_are_identifiers(values: object, texts: list[str]) -> None:
    assert identifier_texts(pd.Series(values), "x") == texts


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([1.5, 2.0], "text or whole numbers"),
        ([1e300, 2.0], "text or whole numbers"),
        ([float("inf"), 2.0], "text or whole numbers"),
        ([True, False], "text or whole numbers"),
        (pd.to_datetime(["2020-01-01"]), "text or whole numbers"),
        (["a", None, None], r"2 empty ones, in records 1, 2 \(from 0\)"),
        ([1.0, None], r"1 empty ones, in record 1 \(from 0\)"),
    ],
)
def test_other_identifiers_are_refused(values: object, told: str) -> None:
    with pytest.raises(AlignmentError, match=told):
        identifier_texts(pd.Series(values), "x")
