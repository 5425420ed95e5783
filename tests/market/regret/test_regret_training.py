import numpy as np
import pytest
import torch
from net_worlds import bidders, net

from equigrad.errors import ConfigError
from equigrad.market.regret import RegretPlan, SearchPlan, measure, train_regret_net
from equigrad.market.regret.training import _indeterminacy

SEARCH = SearchPlan(steps=1, starts=0, random=0, shifts=False)


def train(mechanism, steps=6, **settings):
    seen = []
    train_regret_net(
        mechanism,
        RegretPlan(steps=steps, batch=4, memory=16, search=SEARCH, **settings),
        generator=np.random.default_rng(1),
        starts=torch.Generator().manual_seed(1),
        progress=lambda step, found, loss: seen.append((found, loss)),
    )
    return seen


@pytest.mark.parametrize("variant", ["regret", "m-regret", "dm-regret"])
@pytest.mark.parametrize(
    ("architecture", "mode"), [("mlp", "right"), ("mlp", "reference"), ("equivariant", "right")]
)
def test_training_moves_every_weight(variant, architecture, mode):
    mechanism = net(variant, architecture=architecture, mode=mode)
    before = {k: v.clone() for k, v in mechanism.net.state_dict().items()}
    seen = train(mechanism, steps=2, multiplier_every=1, epoch=1)
    assert len(seen) == 2
    for found, loss in seen:
        assert np.isfinite(loss)
        assert (found.regret >= 0).all()
        assert (found.shortfall >= 0).all()
    after = mechanism.net.state_dict()
    assert all(torch.isfinite(tensor).all() for tensor in after.values())
    still = [k for k in before if torch.equal(before[k], after[k])]
    # Attention keys carry no gradient in their bias; all else moves.
    assert not [k for k in still if "mix.bias" not in k]


def test_training_is_seeded_and_lowers_the_shortfall():
    one, other = net(levels=2), net(levels=2)
    first, second = (
        train(one, steps=24, learning_rate=3e-3),
        train(other, steps=24, learning_rate=3e-3),
    )
    assert [loss for _, loss in first] == [loss for _, loss in second]
    total = [float(found.shortfall.mean() + found.regret.mean()) for found, _ in first]
    assert np.mean(total[-8:]) < np.mean(total[:8])


def test_training_ends_when_it_is_told_to():
    steps = []
    train_regret_net(
        net(levels=2),
        RegretPlan(steps=50, batch=2, memory=4, search=SEARCH),
        generator=np.random.default_rng(1),
        starts=torch.Generator().manual_seed(1),
        progress=lambda step, found, loss: steps.append(step) or step == 2,
    )
    assert steps == [0, 1, 2]


def test_indeterminacy_is_zero_for_a_choice_and_largest_for_none():
    for slots in (2, 9):
        chosen = torch.eye(slots)
        torch.testing.assert_close(_indeterminacy(chosen), torch.zeros(slots), atol=1e-6, rtol=0)
        even = torch.full((1, slots), 1 / slots)
        assert _indeterminacy(even) == pytest.approx((1 - 1 / slots) ** 2 + (slots - 1) / slots**2)


def test_statistics_are_those_of_the_rounds():
    who, mechanism = bidders(12), net(levels=3, seed=4)
    generator = torch.Generator().manual_seed(0)
    found, errors = measure(mechanism, who, generator)
    truth = who.truth(3)
    with torch.no_grad():
        outcome = mechanism.outcome(truth, who.budget)
    sells = (outcome.chance.sum(-1) > 0).any(1).numpy()
    assert found.invalid == pytest.approx(1 - sells.mean())
    assert np.isfinite(errors).tolist() == sells.tolist()
    assert found.mean_error == pytest.approx(errors[sells].mean())
    assert found.spent == pytest.approx(float((outcome.payments.sum(1) / who.budget).mean()))
    cost = outcome.costs(who, truth)
    short = (cost - outcome.payments).clamp_min(0)
    assert found.shortfall == pytest.approx(float(short.sum() / cost.sum()))
    assert np.isnan(found.regret)
    search = SearchPlan(steps=1, starts=0, random=2)
    assert measure(mechanism, who, generator, search=search)[0].regret >= 0


def test_impossible_plans_are_refused():
    for settings in ({"steps": 0}, {"rates": (2.0, 1.0)}, {"learning_rate": 0.0}):
        with pytest.raises(ConfigError):
            RegretPlan(**settings)
