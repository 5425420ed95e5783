"""Golden cases of kind ``valuation``: contribution values against an independent oracle."""

import numpy as np
import pytest
from golden_cases import cases, load

from equigrad.contribution import (
    Cosine,
    ExactCGSV,
    Projection,
    SampledCGSV,
    cosine_game,
    gram,
)

VALUATION = cases("cgsv.json", "valuation")
CONVENTIONS = load("cgsv.json").get("conventions", {})


@pytest.mark.parametrize("case", VALUATION)
def test_exact_values(case):
    got = ExactCGSV().value(gram(case.array("uploads")), case.array("weights")).values
    case.check(got, "exact_cgsv")
    case.check(got.sum(), "sum_exact")


@pytest.mark.parametrize("case", VALUATION)
def test_cosine_scores(case):
    psi = Cosine().value(gram(case.array("uploads")), case.array("weights")).values
    case.check(psi, "approx_cosine")
    if case.expected.get("approx_normalised") is not None:
        case.check(psi / psi.sum(), "approx_normalised")


@pytest.mark.parametrize("case", VALUATION)
def test_aggregate_and_projection_shares(case):
    uploads, weights = case.array("uploads"), case.array("weights")
    C, aggregate = gram(uploads), case.want("aggregate")
    square = aggregate @ aggregate
    np.testing.assert_allclose(weights @ C @ weights, square, rtol=1e-9, atol=case.tolerance)
    if square > case.tolerance:
        want = weights * (uploads @ aggregate) / square
        got = Projection().value(C, weights).values
        np.testing.assert_allclose(got, want, rtol=0, atol=case.tolerance)


@pytest.mark.parametrize("case", VALUATION)
def test_coalition_values(case):
    table = case.expected.get("coalition_values")
    if table is None:
        pytest.skip("the case lists no coalition values")
    uploads, weights = case.array("uploads"), case.array("weights")
    members = np.zeros((len(table), len(uploads)), dtype=bool)
    for row, key in zip(members, table, strict=True):
        row[[int(party) for party in key.split(",") if party]] = True
    got = cosine_game(gram(uploads), weights).coalition_values(members)
    np.testing.assert_allclose(got, list(table.values()), rtol=0, atol=case.tolerance)


@pytest.mark.parametrize("case", VALUATION)
def test_sampled_values_lie_in_their_intervals(case):
    C, weights = gram(case.array("uploads")), case.array("weights")
    got = SampledCGSV(tolerance=0.01).value(C, weights, np.random.default_rng(5))
    allowed = 2.5 * got.half_width + case.tolerance
    assert (np.abs(got.values - case.want("exact_cgsv")) <= allowed).all()
    case.check(got.values.sum(), "sum_exact")


def test_conventions_of_the_file_are_those_of_the_library():
    C = gram(np.array([[0.0, 0.0], [3.0, 4.0]]))
    assert Cosine().value(C, [1, 1]).values[0] == CONVENTIONS.get("cos_of_zero_vector", 0.0)
    empty = cosine_game(C, [1, 1]).coalition_values([[False, False]])
    assert empty[0] == CONVENTIONS.get("empty_coalition_value", 0.0)
