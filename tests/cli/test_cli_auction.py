"""``equigrad auction``: what it prints, writes and refuses."""

import json

import pytest

BIDS = """party,size,eps_cap,kind,factor,curve
bank,64,1.453,linear,0.646,
clinic,260,1.313,sqrt,1.078,
registry,40,3,table,,0.5:0.3;1:1.2
"""


@pytest.fixture
def bids(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bids.csv"
    path.write_text(BIDS)
    return path


def test_awards_totals_and_claims(equigrad, bids):
    done = equigrad("auction", bids, "--budget", "480.47", "--json", "out.json")
    assert (done.code, done.err) == (0, "")
    content = json.loads((bids.parent / "out.json").read_text())
    for party in content["parties"]:
        assert party["party"] in done.out
        assert party["payment"] in done.out
    for key in ("spent", "unspent", "digest"):
        assert content[key] in done.out
    assert "truthful: for everybody, exactly" in done.out
    assert "1 cap(s) above eps_max=2 are cut" in done.out
    assert f"{content['err']:.4g}" in done.out
    again = equigrad("auction", bids, "--budget", "480.47")
    assert again.out == done.out


def test_comparison_lies_and_picture(equigrad, bids):
    done = equigrad(
        "auction", bids, "--budget", "480.47", "--compare", "--misreport", "bank",
        "--reports", 5, "--plot", "out.svg", "--json", "out.json",
    )  # fmt: skip
    assert done.code == 0, done.err
    content = json.loads((bids.parent / "out.json").read_text())
    labels = list(content["compare"])
    assert labels.pop(1).startswith("learned-clock schedule=")
    assert labels == [
        "clock", "all-in form=truthful", "all-in form=reference", "fair-query",
    ]  # fmt: skip
    assert set(content["misreport"]["kinds"]) == {"price", "curve", "cap", "size"}
    assert all(kind["gain"] == "0" for kind in content["misreport"]["kinds"].values())
    assert "No lie of bank pays; that is proved" in done.out
    assert "<svg" in (bids.parent / "out.svg").read_text()


def test_a_lie_that_pays_is_told(equigrad, bids):
    bids.write_text("party,size,eps_cap,kind,factor\na,1,1,linear,0.3\nb,1,1,linear,0.35\n")
    done = equigrad(
        "auction", bids, "--budget", "1", "--mechanism", "all-in", "--form", "reference",
        "--misreport", "b", "--eps-max", "1", "--steps", "1",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "A lie of b pays, by up to 0.3." in done.out
    honest = equigrad(
        "auction", bids, "--budget", "1", "--mechanism", "all-in", "--misreport", "b",
        "--eps-max", "1", "--steps", "1", "--size-exponent", "0.5",
    )  # fmt: skip
    assert "that is not proved for all bids" in honest.out


@pytest.mark.parametrize("rows", ["", "a,10,1,linear,1000000\nb,10,1,linear,1000000\n"])
def test_nobody_sells_is_no_mistake(equigrad, bids, rows):
    bids.write_text("party,size,eps_cap,kind,factor\n" + rows)
    done = equigrad(
        "auction", bids, "--budget", "5", "--json", "out.json", "--plot", "out.png", "--compare"
    )
    assert done.code == 0, done.err
    content = json.loads((bids.parent / "out.json").read_text())
    assert (content["err"], content["spent"], content["unspent"]) == (None, "0", "5")
    assert "the budget is returned" in done.out
    assert "Note: Nobody" in done.out


def test_many_parties_are_not_all_printed(equigrad, bids):
    rows = [f"p{i:03d},{10 + i},1,linear,0.5" for i in range(60)]
    bids.write_text("\n".join(["party,size,eps_cap,kind,factor", *rows]))
    done = equigrad("auction", bids, "--budget", "2000", "--json", "out.json", "--plot", "o.pdf")
    assert "The 40 best paid of 60 parties" in done.out
    assert len(json.loads((bids.parent / "out.json").read_text())["parties"]) == 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", "0"], "budget"),
        (["--budget", "1", "--mechanism", "clok"], "Did you mean 'clock'"),
        (["--budget", "1", "--local", "lap"], "local mechanism"),
        (["--budget", "1000", "--plot", "out.txt"], ".svg, .png, .pdf"),
        (["--budget", "1000", "--plot", "no/out.png"], "Check the path"),
        (["--budget", "1000", "--json", "no/out.json"], "Check the path"),
        (["--budget", "1000", "--misreport", "nobody"], "'nobody'"),
        (["--budget", "1000", "--misreport", "bank", "--reports", "0"], "reports=0"),
        (["--budget", "1000", "--misreport", "bank", "--reports", "1" + 11 * "0"], "reports <="),
        (["--budget", "1000", "--misreport", "bank", "--seed", "-1"], "seed=-1"),
        (["--budget", "1000", "--steps", "0"], "steps"),
        (["--budget", "1000", "--eps-max", "1e-300"], "Raise eps_max"),
        (["--budget", "1000", "--eps-max", "1e300"], "bids.csv, row 1, column factor"),
        (["--budget", "1_000"], "decimal string"),
        (["--budget", "1000", "--dim", "0"], "dim"),
        (["--budget", "0.00001"], "Raise scale or budget"),
    ],
)
def test_mistakes_end_with_code_2(equigrad, bids, arguments, message):
    done = equigrad("auction", bids, *arguments)
    assert done.code == 2
    assert message in done.err


def test_a_bad_row_is_named(equigrad, bids):
    bids.write_text(BIDS + "lab,1.5,1,quad,1,\n")
    done = equigrad("auction", bids, "--budget", "5")
    assert (done.code, done.out) == (2, "")
    assert "row 4, column size" in done.err


def test_names_are_drawn_as_they_are(equigrad, bids):
    names = ["$\\frac$", "[/bold]", "名", "n" * 200]
    rows = [f"{name},10,1,linear,0.5" for name in names]
    bids.write_text("\n".join(["party,size,eps_cap,kind,factor", *rows]), encoding="utf-8")
    done = equigrad("auction", bids, "--budget", "200", "--plot", "o.SVG", "--json", "out.json")
    assert (done.code, done.err) == (0, "")
    assert "[/bold]" in done.out
    content = json.loads((bids.parent / "out.json").read_text())
    assert sorted(party["party"] for party in content["parties"]) == sorted(names)


def test_a_file_from_a_spreadsheet_clears_alike(equigrad, bids):
    plain = equigrad("auction", bids, "--budget", "480.47")
    dressed = bids.with_name("BIDS.CSV")
    dressed.write_bytes(b"\xef\xbb\xbf" + BIDS.replace("\n", "\r\n").encode())
    assert equigrad("auction", dressed, "--budget", "480.47").out == plain.out


def test_many_equal_bids_clear_alike(equigrad, bids):
    rows = [f"p{i:05d},100,1.5,linear,0.5" for i in range(20_000)]
    bids.write_text("\n".join(["party,size,eps_cap,kind,factor", *rows]))
    done = equigrad("auction", bids, "--budget", "4000000", "--json", "out.json")
    assert done.code == 0, done.err
    parties = json.loads((bids.parent / "out.json").read_text())["parties"]
    assert len({(party["level"], party["payment_units"]) for party in parties}) == 1
    assert parties[0]["level"] != "0"
