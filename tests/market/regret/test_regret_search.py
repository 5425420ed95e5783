import pytest
import torch
from net_worlds import bidders, loud, net

from equigrad.errors import ConfigError
from equigrad.market.regret import RegretMechanism, Reports, SearchPlan, strong_regret
from equigrad.market.regret.bidders import Bidders
from equigrad.market.regret.search import _log_space, deviations, report_at, utilities_of

SMALL = SearchPlan(steps=8, starts=1, random=6)


class _Fixed(RegretMechanism):
    """Sells the last level of everybody and pays by a rule, for which regret is known."""

    def __init__(self, rule):
        super().__init__("dm-regret", 10, 4)
        self.rule = rule

    def outcome(self, reports, budget, *, smooth=False):
        found = super().outcome(reports, budget, smooth=smooth)
        chance = torch.zeros_like(found.chance)
        chance[..., -1] = 1.0
        return type(found)(chance, found.first, self.rule(reports))


def test_deviations_change_one_party_at_a_time():
    who = bidders(2)
    truth = who.truth(3)
    changed = Reports(truth.values * 2, truth.caps / 2, truth.sizes - 1)
    every = deviations(truth, changed)
    assert every.values.shape == (20, 10, 3)
    for r in range(2):
        for i in range(10):
            row = every.caps[10 * r + i]
            want = truth.caps[r].clone()
            want[i] = changed.caps[r, i]
            torch.testing.assert_close(row, want)
            torch.testing.assert_close(every.values[10 * r + i, i], changed.values[r, i])


def test_true_costs_are_taken_at_the_misreported_ladder_and_size():
    who = bidders(2)
    truth = who.truth(4)
    changed = Reports(truth.values * 3, truth.caps / 2, truth.sizes / 2)
    mechanism = _Fixed(lambda reports: torch.zeros_like(reports.caps))
    got = utilities_of(mechanism, who, truth, changed, smooth=False)
    want = -who.cost((who.caps / 2)[..., None])[..., 0] * who.sizes / 2
    torch.testing.assert_close(got, want)


def test_a_price_that_reports_cannot_move_has_no_regret_and_a_price_they_set_has():
    who = bidders(2)
    flat = _Fixed(lambda reports: torch.ones_like(reports.caps))
    found = strong_regret(
        flat,
        who,
        SearchPlan(steps=0, starts=0, random=0, shifts=False),
        torch.Generator().manual_seed(0),
    )
    # Selling less of one's data for the same money is the only gain, and the truth is not tried.
    cost = who.cost(who.caps[..., None])[..., 0] * who.sizes
    assert (found <= 0.01 * cost + 1e-4).all()
    asking = _Fixed(lambda reports: reports.values[..., -1] * reports.sizes)
    found = strong_regret(asking, who, SMALL, torch.Generator().manual_seed(0))
    assert (found > 0.5 * cost).all()


def test_more_search_never_finds_less():
    who = bidders(2)
    mechanism = loud(net())
    little, much = (
        strong_regret(mechanism, who, plan, torch.Generator().manual_seed(0))
        for plan in (SearchPlan(steps=0, starts=0, random=0, shifts=False), SMALL)
    )
    assert (much >= little - 1e-3).all()
    assert much.sum() > little.sum()


def test_points_in_log_space_are_reports_that_are_allowed():
    who = bidders(3)
    truth = who.truth(5)
    generator = torch.Generator().manual_seed(0)
    point = 3 * torch.randn((*who.caps.shape, 7), generator=generator)
    found = report_at(point, who)
    assert (found.values >= 0).all()
    assert (torch.diff(found.values, dim=-1) >= 0).all()
    assert (found.caps <= who.caps).all()
    assert (found.sizes >= 1).all()
    assert (found.sizes <= who.sizes).all()
    honest = report_at(_log_space(truth), who)
    torch.testing.assert_close(honest.values, truth.values, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(honest.caps, truth.caps, rtol=1e-3, atol=0)


def test_the_search_is_seeded_and_leaves_the_global_generator_alone():
    who: Bidders = bidders(2)
    before = torch.get_rng_state()
    once, again = (
        strong_regret(loud(net()), who, SMALL, torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(once, again)
    assert torch.equal(before, torch.get_rng_state())


def test_impossible_plans_are_refused():
    with pytest.raises(ConfigError, match="steps"):
        SearchPlan(steps=-1)
    with pytest.raises(ConfigError, match="rate"):
        SearchPlan(rate=0.0)
