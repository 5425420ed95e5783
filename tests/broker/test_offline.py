"""Clearings of files: equal to those of the market, with the error of the best aggregate."""

import numpy as np
import pytest

from equigrad.broker import Offer, clear_offline, compare, outcome_json, party_rows, read_bids
from equigrad.errors import ConfigError
from equigrad.market import BidBook, Curve, Ladder, Terms
from equigrad.market.aggregation import OptAggr, error_bound
from equigrad.market.auctions import Clock

ROWS = """party,size,eps_cap,kind,factor
lab,133,0.879,sqrt,1.34
bank,64,1.453,linear,0.646
clinic,260,1.313,sqrt,1.078
"""


@pytest.fixture
def bids(tmp_path):
    path = tmp_path / "bids.csv"
    path.write_text(ROWS)
    return read_bids(path)


def test_it_is_the_market_s_clearing(bids):
    found = clear_offline(bids, Offer("480.47"))
    book = BidBook.from_curves(
        ["bank", "clinic", "lab"],
        [Curve("linear", 0.646), Curve("sqrt", 1.078), Curve("sqrt", 1.34)],
        [1.453, 1.313, 0.879],
        [64, 260, 133],
        Ladder(),
    )
    want = Clock().clear(book, Terms(480_470_000, mechanism="clock"))
    assert found.clearing.digest == want.digest
    precision = want.eps**2 / 8
    weights = OptAggr().weights(book.d, precision)
    np.testing.assert_allclose(found.weights, weights)
    assert found.error.total == pytest.approx(error_bound(weights, book.d, precision).total)


def test_rows_and_json_say_the_same(bids):
    found = clear_offline(bids, Offer("5000", ladder=Ladder(1.0, 8)))
    content = outcome_json(found)
    assert "2 cap(s) above eps_max=1 are cut" in content["notes"][-1]
    assert [row.party for row in party_rows(found)] == ["bank", "clinic", "lab"]
    assert sum(entry["payment_units"] for entry in content["parties"]) == found.clearing.spent
    assert float(content["spent"]) + float(content["unspent"]) == pytest.approx(5000)
    assert sum(entry["weight"] for entry in content["parties"]) == pytest.approx(1)


def test_levels_between_levels_are_told(bids):
    found = clear_offline(bids, Offer("5000", mechanism="fair-query"))
    assert found.clearing.parts > 1
    sold = [row for row in party_rows(found) if row.eps > 0]
    assert sold
    for row in sold:
        assert float(row.level) * 2.0 / 32 == pytest.approx(row.eps, rel=1e-3)


def test_quality_and_local_mechanism_are_of_the_offer(bids):
    plain, other = (
        clear_offline(bids, Offer("2000", size_exponent=beta)).clearing for beta in (0.0, 0.5)
    )
    assert plain.terms.digest != other.terms.digest
    laplace, sphere = (
        clear_offline(bids, Offer("2000", local=local, dim=100))
        for local in ("laplace", "l2-sphere")
    )
    assert laplace.error.total != sphere.error.total
    gauss = clear_offline(bids, Offer("2000", local="gaussian", delta=1e-5, dim=100))
    assert gauss.error.total > 0


def test_what_an_offer_may_not_be(bids):
    for offer, message in [
        (Offer("0"), "budget"),
        (Offer("x"), "budget"),
        (Offer("0.0000001"), "more decimals"),
        (Offer("1", mechanism="clok"), "Did you mean 'clock'"),
        (Offer("1", form="reference"), "form for all-in only"),
        (Offer("1", mechanism="all-in", form="paper"), "reference, truthful"),
        (Offer("1", local="laplac"), "Did you mean 'laplace'"),
        (Offer("1000", local="gaussian"), "--delta"),
        (Offer("1000", local="laplace", delta=1e-5), "no delta"),
        (Offer("0.001"), "raise scale or budget|Raise scale or budget"),
    ]:
        with pytest.raises(ConfigError, match=message):
            clear_offline(bids, offer)


def test_all_auctions_clear_the_same_bids(bids):
    found = compare(bids, Offer("480.47"))
    labels = [label for label, _ in found]
    assert labels.pop(1).startswith("learned-clock schedule=")
    assert labels == [
        "clock",
        "all-in form=truthful",
        "all-in form=reference",
        "fair-query",
    ]
    assert len({outcome.clearing.book.digest for _, outcome in found}) == 1
    small = dict(compare(bids, Offer("0.001")))
    assert "Raise scale" in small["clock"]
    assert not isinstance(small["all-in form=truthful"], str)
