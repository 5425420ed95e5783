import numpy as np
import pytest
import torch

from equigrad.errors import ConfigError
from equigrad.market import Ladder
from equigrad.market.auctions import Clock
from equigrad.market.learned import Validation, select_schedule
from equigrad.market.learned.error import optimal_error
from equigrad.market.learned.network import MenuNet
from equigrad.market.learned.relaxed import relaxed_precision
from equigrad.market.learned.selection import books, cleared_errors
from equigrad.market.learned.training import TrainingPlan, train_menu
from equigrad.market.workload import Profiles, benchmark_profiles, seeded_profiles

LADDER = Ladder(2.0, 8)
PRECISION = LADDER.levels**2 / 8


def train(seed=0, **settings):
    plan = TrainingPlan(batch=8, parties=(10,), checkpoints=2, **settings)
    losses = []
    kept = train_menu(
        plan,
        torch.as_tensor(PRECISION),
        LADDER,
        generator=np.random.default_rng(seed),
        weights=torch.Generator().manual_seed(seed),
        progress=lambda step, loss: losses.append(loss),
    )
    return kept, losses


def test_the_error_has_the_slope_of_its_envelope():
    generator = torch.Generator().manual_seed(0)
    c = torch.rand(4, 5, generator=generator, dtype=torch.float64) + 0.05
    sizes = torch.rand(4, 5, generator=generator, dtype=torch.float64) + 0.1
    c[0, 1] = 1e-3
    c.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: optimal_error(x, sizes), (c,), atol=1e-5)


def test_a_round_without_sellers_is_infinite_and_pulls_nowhere():
    c = torch.zeros(2, 3, dtype=torch.float64)
    c[1] = 0.2
    c.requires_grad_()
    error = optimal_error(c, torch.ones(2, 3, dtype=torch.float64))
    assert error[0] == torch.inf
    error[1].backward()
    assert (c.grad[0] == 0).all()
    assert (c.grad[1] < 0).all()


def test_a_cold_relaxation_is_close_to_exact_clearing():
    profiles = benchmark_profiles(10, 20)
    eps = LADDER.levels
    costs = torch.as_tensor(profiles.unit_costs(eps))
    allowed = torch.arange(9) <= torch.as_tensor(LADDER.top_level(profiles.caps))[..., None]
    sizes = torch.as_tensor(profiles.sizes, dtype=torch.float64)
    budget = profiles.budgets(0.8)
    plain = torch.as_tensor(np.broadcast_to(eps, costs.shape).copy())
    soft = relaxed_precision(
        plain, costs, allowed, sizes, torch.as_tensor(budget), torch.as_tensor(PRECISION), 1e-3, 600
    )
    exact = cleared_errors(Clock(), books(profiles, LADDER), budget, LADDER, PRECISION)
    ratio = np.log(optimal_error(soft, sizes).numpy() / exact)
    assert abs(np.median(ratio)) < 0.03
    assert abs(ratio.mean()) < 0.1


def test_the_relaxation_has_gradients_for_every_weight():
    profiles = benchmark_profiles(10, 4)
    net = MenuNet(torch.Generator().manual_seed(1), width=4)
    kept = TrainingPlan(steps=1, batch=4, parties=(10,))
    from equigrad.market.learned.training import _loss

    loss = _loss(
        net,
        profiles,
        kept,
        torch.as_tensor(PRECISION),
        LADDER,
        np.random.default_rng(0),
        0.1,
        1.0,
    )
    loss.backward()
    for weight in net.parameters():
        assert torch.isfinite(weight.grad).all()
        assert (weight.grad != 0).any()


def test_training_is_seeded_and_lowers_the_error():
    kept, losses = train(steps=40)
    assert len(kept) == 2
    again, same = train(steps=40)
    assert losses == same
    for name, array in kept[-1].items():
        np.testing.assert_array_equal(array, again[-1][name])
    assert np.mean(losses[-10:]) < np.mean(losses[:10])


def test_training_leaves_the_global_generators_alone():
    before, theirs = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    train(steps=2)
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_equal(theirs, np.random.get_state())  # noqa: NPY002


def test_selection_takes_the_best_and_keeps_the_clock_where_it_is_better():
    kept, _ = train(steps=40)
    awful = {name: np.zeros_like(array) for name, array in kept[-1].items()}
    awful["weights.2"] = awful["weights.2"] + 6.0
    awful["biases.0"] = awful["biases.0"] + 6.0
    awful["weights.0"][:, 0] = 6.0  # pays the large parties most
    validation = Validation([seeded_profiles(10, seed=9, runs=1).take(range(30))], (0.3, 1.0))
    market = {"mechanism": "laplace", "dim": 1, "ladder": LADDER, "precision": PRECISION}
    chosen = select_schedule([awful, kept[-1]], validation, **market)
    np.testing.assert_allclose(chosen.weights["weights.0"], kept[-1]["weights.0"], rtol=1e-6)
    assert chosen.notes["checkpoint"] == "2 of 2"
    assert any(map(any, chosen.bands.learned))
    worse = select_schedule([awful], validation, **market)
    served = np.asarray(worse.bands.learned).sum()
    assert served < np.asarray(chosen.bands.learned).sum()


def test_selection_needs_something_to_choose_from():
    with pytest.raises(ConfigError, match="candidate"):
        select_schedule(
            [], Validation([], ()), mechanism="laplace", dim=1, ladder=LADDER, precision=PRECISION
        )


def test_impossible_plans_are_refused():
    for settings in ({"steps": 0}, {"rates": (0.0, 1.0)}, {"clip": -1.0}, {"parties": (0,)}):
        with pytest.raises(ConfigError):
            TrainingPlan(**settings)


def test_a_cell_is_used_only_where_the_menu_is_clearly_better_everywhere():
    from equigrad.market.learned.selection import _better

    here = [(0, 0)] * 6
    plain = np.full(6, 2.0)
    clear, worse = np.asarray([plain, plain - 0.1]), np.asarray([plain, plain + 0.1])
    noisy = worse.copy()
    noisy[1, 0] -= 1.9  # one lucky round: lower on average, within the standard error
    invalid = clear.copy()
    invalid[1, 0] = np.inf
    assert _better([(clear, here)], (0, 0))
    assert not _better([(noisy, here)], (0, 0))
    assert not _better([(clear, here), (worse, here)], (0, 0))
    assert not _better([(invalid, here)], (0, 0))
    assert not _better([(clear, here)], (0, 1))
    few = (worse[:, :3], here[:3])
    assert _better([(clear, here), few], (0, 0))  # three rounds are too few to judge
    assert not _better([few], (0, 0))


def test_other_populations_choose_no_candidate_and_may_take_cells_away():
    kept, _ = train(steps=40)
    market = {"mechanism": "laplace", "dim": 1, "ladder": LADDER, "precision": PRECISION}
    own = [seeded_profiles(10, seed=9, runs=1).take(range(20))]
    alone = select_schedule(kept, Validation(own, (0.3, 1.0)), **market)
    same = select_schedule(kept, Validation(own, (0.3, 1.0), own), **market)
    assert same.to_bytes() == alone.to_bytes()
    cheap = [Profiles(p.sizes, p.kinds * 0, p.factors * 0.1, p.caps) for p in own]
    other = select_schedule(kept, Validation(own, (0.3, 1.0), cheap), **market)
    assert other.notes == alone.notes
    assert not (np.asarray(other.bands.learned) & ~np.asarray(alone.bands.learned)).all()


def test_a_pace_by_time_ends_training_early_with_what_it_has():
    plan = TrainingPlan(steps=1000, batch=8, parties=(10,), checkpoints=4)
    paces = []
    kept = train_menu(
        plan,
        torch.as_tensor(PRECISION),
        LADDER,
        generator=np.random.default_rng(0),
        weights=torch.Generator().manual_seed(0),
        pace=lambda step: paces.append(step) or step / 8,
    )
    assert max(paces) == 8
    assert 1 <= len(kept) <= 4
    assert [plan.kept(done) for done in (0.0, 0.8, 0.8125, 0.9, 1.0)] == [0, 0, 1, 2, 4]
