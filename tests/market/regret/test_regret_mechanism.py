import pytest
import torch
from net_worlds import bidders, loud, net

from equigrad.errors import ConfigError
from equigrad.market.regret import VARIANTS, RegretMechanism, Reports
from equigrad.market.regret.inputs import features


@pytest.mark.parametrize(("levels", "count"), [(8, 71_001), (1, 49_931)])
def test_the_plain_network_has_the_size_of_the_reference(levels, count):
    mechanism = net("m-regret", levels=levels)
    assert sum(weight.numel() for weight in mechanism.net.parameters()) == count


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("architecture", ["mlp", "equivariant"])
@pytest.mark.parametrize("mode", ["right", "reference"])
@pytest.mark.parametrize("smooth", [True, False])
def test_chances_are_chances_and_payments_fit_the_budget(variant, architecture, mode, smooth):
    who = bidders(4)
    mechanism = loud(net(variant, architecture=architecture, mode=mode))
    found = mechanism.outcome(who.truth(mechanism.levels), who.budget, smooth=smooth)
    assert (found.chance >= 0).all()
    assert (found.chance.sum(-1) <= 1 + 1e-6).all()
    assert (found.payments >= 0).all()
    assert (found.payments.sum(1) <= who.budget * (1 + 1e-6)).all()
    if variant == "dm-regret" and not smooth:
        assert set(found.chance.unique().tolist()) <= {0.0, 1.0}


def test_the_null_level_can_decline_a_party_and_the_reference_cannot():
    who = bidders(20)
    sold = {}
    for mode in ("right", "reference"):
        mechanism = net(levels=2, mode=mode)
        with torch.no_grad():
            mechanism.net.allocation[-1].bias[2::3] = 5.0  # the null slots
        sold[mode] = mechanism.outcome(who.truth(2), who.budget).chance.sum(-1)
    assert (sold["right"] == 0).all()
    assert (sold["reference"] == 1).all()


def test_who_sells_nothing_is_paid_nothing():
    who = bidders(20)
    found = loud(net(levels=2)).outcome(who.truth(2), who.budget)
    idle = found.chance.sum(-1) == 0
    assert idle.any()
    assert (found.payments[idle] == 0).all()
    assert (found.payments[~idle] > 0).all()


def test_permuting_parties_permutes_the_equivariant_outcome_and_not_the_plain_one():
    who = bidders(3)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    for architecture, equivariant in (("equivariant", True), ("mlp", False)):
        mechanism = loud(net("m-regret", architecture=architecture))
        truth = who.truth(4)
        moved = Reports(truth.values[:, order], truth.caps[:, order], truth.sizes[:, order])
        a, b = (mechanism.outcome(r, who.budget) for r in (truth, moved))
        assert torch.allclose(a.chance[:, order], b.chance, atol=1e-5) == equivariant
        assert torch.allclose(a.payments[:, order], b.payments, rtol=1e-3) == equivariant


def test_features_are_centred_and_scaled_by_group():
    who = bidders(2)
    truth = who.truth(3)
    party, money = features(truth, who.budget)
    for group in (party[..., :3].flatten(1), party[..., 3], party[..., 4]):
        torch.testing.assert_close(group.mean(1), torch.zeros(2), atol=1e-5, rtol=0)
        torch.testing.assert_close(group.amax(1) - group.amin(1), torch.ones(2))
    flat = truth.values.flatten(1)
    per_record = who.budget / who.sizes.sum(1)
    want = (per_record - flat.mean(1)) / (flat.amax(1) - flat.amin(1))
    torch.testing.assert_close(money[:, 0], want)


def test_the_reference_leaves_the_last_party_out():
    who = bidders(2)
    party, _ = features(who.truth(3), who.budget, "reference")
    torch.testing.assert_close(party[:, :-1, 4].mean(1), torch.zeros(2), atol=1e-5, rtol=0)


def test_equal_bids_have_features_of_zero_not_nan():
    reports = Reports(torch.ones(1, 3, 2), torch.ones(1, 3), torch.full((1, 3), 5.0))
    reports.values.requires_grad_()
    party, money = features(reports, torch.tensor([4.0]))
    assert (party == 0).all()
    assert (money == 0).all()
    (slope,) = torch.autograd.grad(party.sum() + money.sum(), [reports.values])
    assert torch.isfinite(slope).all()


def test_wrong_settings_and_rounds_are_refused():
    with pytest.raises(ConfigError, match="levels=1"):
        RegretMechanism("regret", 10, 8)
    with pytest.raises(ConfigError, match="dm-regret"):
        RegretMechanism("dm-regrets", 10, 8)
    with pytest.raises(ConfigError, match="architecture"):
        RegretMechanism("m-regret", 10, 8, architecture="cnn")
    who = bidders(1)
    with pytest.raises(ConfigError, match="10 parties at 4 levels"):
        net().outcome(who.truth(3), who.budget)
