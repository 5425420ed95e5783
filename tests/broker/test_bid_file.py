"""Files of bids: what they may hold, and where an error is."""

import json

import pytest

from equigrad.broker import BidFile, read_bids
from equigrad.errors import DataError
from equigrad.market import Curve, Ladder

HEAD = "party,size,eps_cap,kind,factor,curve,size_cap,eps_cap_listed"
GOOD = "a,10,1.5,quad,0.5,,,"


def write(tmp_path, *rows, head=HEAD):
    path = tmp_path / "bids.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_columns_in_any_order_and_optional_ones(tmp_path):
    path = write(
        tmp_path, "0.5,a,quad,1.5,10", "1,b,exp,0.7,20", head="factor, party,kind,eps_cap,size"
    )
    found = read_bids(path)
    assert found.party == ("a", "b")
    assert found.curves == (Curve("quad", 0.5), Curve("exp", 1.0))
    assert (found.sizes, found.size_caps) == ((10, 20), (10, 20))
    assert found.eps_caps_listed == (None, None)


def test_the_book_has_attested_sizes_and_listed_caps(tmp_path):
    path = write(tmp_path, GOOD, "b,5,9,table,,0.5:0.3;1:1.2,7,0.5")
    found = read_bids(path)
    assert found.curves[1] == Curve("table", 1.0, ((0.5, 0.3), (1.0, 1.2)))
    book = found.book(Ladder(2.0, 4), 100)
    assert (book.d.tolist(), book.dcap.tolist()) == ([10, 5], [10, 7])
    assert (book.kcap.tolist(), book.kbar.tolist()) == ([3, 2], [4, 1])
    assert book.u[1].tolist() == [0, 30, 120, 120, 120]
    assert found.above(2.0) == 1


def test_json_is_the_same(tmp_path):
    table = write(tmp_path, GOOD, "b,5,9,table,2,0.5:0.3;1:1.2,7,0.5")
    rows = [
        {"party": "a", "size": 10, "eps_cap": 1.5, "kind": "quad", "factor": 0.5},
        {
            "party": "b",
            "size": 5,
            "eps_cap": 9,
            "kind": "table",
            "factor": 2,
            "curve": [[0.5, 0.3], [1, 1.2]],
            "size_cap": 7,
            "eps_cap_listed": 0.5,
        },
    ]
    path = tmp_path / "bids.json"
    path.write_text(json.dumps(rows))
    assert read_bids(path) == read_bids(table)


@pytest.mark.parametrize("text", [HEAD, HEAD + "\n\n"])
def test_no_bids_are_an_empty_book(tmp_path, text):
    path = tmp_path / "bids.csv"
    path.write_text(text)
    found = read_bids(path)
    assert found == BidFile((), (), (), (), (), ())
    assert found.book(Ladder(), 10).n == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,10,1.5,quad,0.5,,,", "row 2, column party: expected one bid of each party .row 1"),
        (",10,1.5,quad,0.5,,,", "row 2, column party: expected a name"),
        ("b,0,1.5,quad,0.5,,,", "row 2, column size: expected a whole number of records >= 1"),
        ("b,-3,1.5,quad,0.5,,,", "column size"),
        ("b,1.5,1.5,quad,0.5,,,", "column size: .*got '1.5'"),
        ("b,,1.5,quad,0.5,,,", "column size"),
        ("b,10,0,quad,0.5,,,", "column eps_cap: expected the largest epsilon for sale"),
        ("b,10,-1,quad,0.5,,,", "column eps_cap"),
        ("b,10,nan,quad,0.5,,,", "column eps_cap"),
        ("b,10,x,quad,0.5,,,", "column eps_cap: .*got 'x'"),
        ("b,10,1,quda,0.5,,,", "column kind: .*got 'quda'. Did you mean 'quad'"),
        ("b,10,1,quad,0,,,", "column factor: expected a factor, a number > 0, got '0'"),
        ("b,10,1,quad,-1,,,", "column factor"),
        ("b,10,1,quad,nan,,,", "column factor"),
        ("b,10,1,quad,,,,", "column factor"),
        ("b,10,1,quad,1,1:1,,", "column curve: expected nothing"),
        ("b,10,1,table,1,,,", "column curve: expected pairs epsilon:value"),
        ("b,10,1,table,1,1;2,,", "column curve: expected pairs"),
        ("b,10,1,table,1,1:2;2:1,,", "row 2, column curve: .*nondecreasing"),
        ("b,10,1,table,1,1:-2,,", "column curve: .*>= 0"),
        ("b,10,1,table,1,0:1;1:2,,", r"column curve: .*v\(0\) = 0"),
        ("b,10,1,table,1,1:nan,,", "column curve"),
        ("b,10,1,quad,1,,9,", "column size: expected at most the attested size 9"),
        ("b,10,1,quad,1,,0,", "column size_cap"),
        ("b,10,1,quad,1,,,0", "column eps_cap_listed"),
        ("b,10,1,quad,1_0,,,", "column factor: .*got '1_0'"),
        ("b,10,1,quad,٣,,,", "column factor"),
        ("b,10,1,Quad,1,,,", "Did you mean 'quad'"),
        ("b,10,1,quad", "row 2: expected 8 cells, got 4"),
        ('b,10,1,"quad', "got at line 3: .*Check its quotes"),
        ("\n\nb,0,1,quad,1,,,", r"row 2 .line 5., column size"),
        ('"b\nc",1,1,quad,1,,,', r"row 2 .line 4., column party: .*got 'b.nc'"),
        ("b," + 500 * "9" + ",1,quad,1,,,", r"column size: .*got '9{20,80}\.\.\."),
    ],
)
def test_an_error_has_row_and_column(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        read_bids(write(tmp_path, GOOD, row))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("party,size,eps_cap,kind", "none named factor"),
        (HEAD + ",colour", "got 'colour'"),
        (HEAD.replace("eps_cap,", "epscap,"), "Did you mean 'eps_cap'"),
        (HEAD + ",size", "'size' twice"),
        (HEAD.upper(), "got 'PARTY'. Did you mean 'party'"),
        (HEAD + ",", "got ''. Rename or drop it"),
        (HEAD.replace(",", ";"), "commas between the columns .*, got semicolons"),
        (HEAD.replace(",", "\t"), "got tabs"),
    ],
)
def test_columns_are_checked(tmp_path, head, message):
    with pytest.raises(DataError, match=message):
        read_bids(write(tmp_path, head=head))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("bids.csv", "", "empty file"),
        ("bids.txt", "", "ending in .csv or .json"),
        ("bids.json", "{", "Expected JSON"),
        ("bids.json", 100_000 * "[", "lists too deep"),
        ("bids.json", "[" + 5000 * "9" + "]", "Expected JSON"),
        ("bids.json", '[{"party": "a", "party": "b"}]', "the key 'party' twice"),
        ("bids.json", "{}", "JSON list"),
        ("bids.json", "[1]", "row 1: expected an object"),
        ("bids.json", '[{"partie": "a"}]', "Did you mean 'party'"),
        ("bids.json", '[{"party": "a", "size": 1.5}]', "column size"),
        ("bids.json", '[{"party": "a", "size": true}]', "column size"),
    ],
)
def test_other_files_are_refused(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_bids(path)


def test_a_price_above_what_the_ledger_holds_is_named(tmp_path):
    found = read_bids(write(tmp_path, GOOD, "b,10,1,exp,1e300,,,", "c,10,1,table,9e17,1:5,,"))
    with pytest.raises(
        DataError, match=r"bids.csv, row 2, column factor: .*below 2\^62 .*scale 10"
    ):
        found.book(Ladder(2.0, 4), 10)


def test_other_encodings_are_refused(tmp_path):
    path = tmp_path / "bids.csv"
    path.write_bytes((HEAD + "\n").encode("utf-16"))
    with pytest.raises(DataError, match=r"UTF-8 in .*, got byte 0xff at place 0"):
        read_bids(path)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_newlines_of_every_system(tmp_path, newline):
    path = tmp_path / "bids.CSV"
    path.write_bytes(b"\xef\xbb\xbf" + newline.join([HEAD, GOOD, ""]).encode())
    assert read_bids(path) == read_bids(write(tmp_path, GOOD))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="Expected to read bids"):
        read_bids(tmp_path / "none.csv")
