"""Published bytes become the tables that the loaders read."""

import pytest

from equigrad.data import converters as to
from equigrad.data.manifest import ADULT_COLUMNS, FILES, NSL_KDD_COLUMNS


@pytest.mark.parametrize("raw", [b"a,b\r\n1,2\r\n", b"a,b\n1,2\n", b"a,b\n1,2"])
def test_line_ends(raw: bytes) -> None:
    assert to.unix_lines(raw) == b"a,b\n1,2\n"
    assert to.with_header("x,y")(raw) == b"x,y\na,b\n1,2\n"


def test_semicolons() -> None:
    assert to.semicolons(b"a;b\r\n1;2") == b"a,b\n1,2\n"


def test_as_is() -> None:
    assert to.as_is(b"any\r\nthing") == b"any\r\nthing"


def test_adult_in_its_published_form() -> None:
    raw = b"|1x3 Cross validator\n25, Private, Black, <=50K.\n38, ?, White, >50K\n\n"
    want = b"age,work,race,income\n25,Private,Black,<=50K\n38,?,White,>50K\n"
    assert to.adult("age,work,race,income")(raw) == want


def test_compas_drops_what_identifies_people_and_renames_repetitions() -> None:
    raw = (
        b"id,name,first,last,dob,score,c_case_number,score,r_case_number,vr_case_number,charge\r\n"
        b'1,Jo Do,jo,do,1980-01-01,3,c1,4,r1,v1,"Theft, petty"\r\n'
    )
    assert to.compas(raw) == b'id,score,score_2,charge\n1,3,4,"Theft, petty"\n'


def test_every_home_that_converts_has_a_checksum_of_the_content() -> None:
    for file in FILES.values():
        assert len(file.sha256) == 64
        if file.home is not None and file.home.convert is not None:
            assert len(file.plain_sha256) == 64
            assert file.path.endswith(".csv.gz")
        if file.home is not None:
            assert file.home.url.startswith("https://")


def test_header_rows_are_complete() -> None:
    assert len(ADULT_COLUMNS.split(",")) == 15
    assert len(set(NSL_KDD_COLUMNS.split(","))) == 43
