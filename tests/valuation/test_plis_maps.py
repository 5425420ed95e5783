"""PLIS: maps, their shares, and scores made of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slopes import jittered, norm_slopes, numbers, trajectory
from torch import nn

from equigrad.errors import (
    CheckpointError,
    ConfigError,
    ModelError,
    NeedsError,
    PrivacyViewError,
    TaintedScoresError,
)
from equigrad.valuation import Local, PrivateSteps, Trajectory, plis_map, plis_maps, score
from equigrad.valuation.scorers import Plis
from equigrad.valuation.views import View

quick = settings(max_examples=20, deadline=None)
CLIP = 2.0
STEPS = PrivateSteps(clip=CLIP, noise_multiplier=1.4, steps=3, delta=1e-5)


def network(d=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(d, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def data(n=9, shape=(4,), seed=1):
    return numbers(n, *shape, seed=seed), torch.arange(n) % 3


def path(count=3, d=4, **about):
    return trajectory(network(d), count, private_steps=STEPS, **about)


def wanted(given_path, records, index=-1):
    """Return norms and slopes at a checkpoint, record by record."""
    with given_path.opened() as model:
        given_path.load(index % len(given_path))
        norms, slopes = norm_slopes(model, nn.CrossEntropyLoss(), *records)
    return norms.numpy(), slopes.numpy()


@pytest.mark.parametrize("checkpoint", [-1, 0, 1, -3])
@pytest.mark.parametrize("shape", [(4,), (2, 2, 3)])
def test_maps_have_the_inputs_shape_and_belong_to_one_checkpoint(shape, checkpoint):
    given_path, records = path(d=int(np.prod(shape))), data(shape=shape)
    made = plis_map(given_path, records, checkpoint=checkpoint, view="local", batch_size=4)
    norms, slopes = wanted(given_path, records, checkpoint)
    assert made.maps.shape == (9, *shape)
    np.testing.assert_allclose(made.maps, slopes, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(made.norms, norms, rtol=1e-10)
    assert made.terms.checkpoint == given_path.identity(checkpoint % 3)


def test_rho_maps_are_slopes_of_rho():
    given_path, records = path(), data()
    norms, slopes = wanted(given_path, records)
    want = norms[:, None] * slopes / (1.4 * CLIP) ** 2
    free = plis_map(given_path, records, kind="rho", view="local")
    np.testing.assert_allclose(free.maps, want, rtol=1e-10, atol=1e-12)
    over = norms > CLIP
    assert 0 < over.sum() < len(over)
    np.testing.assert_array_equal(free.clipped, over)
    assert not free.degenerate.any()
    cut = plis_map(given_path, records, kind="rho", clipped_zero=True, view="local")
    np.testing.assert_array_equal(cut.maps, np.where(over[:, None], 0.0, free.maps))
    np.testing.assert_array_equal(cut.degenerate, over)


def test_constants_that_are_given_go_before_those_of_the_training():
    given_path, records = path(), data()
    usual = plis_map(given_path, records, kind="rho", view="local")
    other = plis_map(
        given_path, records, kind="rho", clip=2 * CLIP, noise_multiplier=0.7, view="local"
    )
    np.testing.assert_allclose(other.maps, usual.maps, rtol=1e-12)  # s C is the same
    np.testing.assert_array_equal(other.clipped, other.norms > 2 * CLIP)


@quick
@given(
    seed=st.integers(0, 999),
    n=st.integers(1, 9),
    kind=st.sampled_from(["norm", "rho"]),
    clipped_zero=st.booleans(),
)
def test_shares_add_up_to_one_or_to_zero(seed, n, kind, clipped_zero):
    made = plis_map(
        path(seed=seed),
        data(n, seed=seed),
        kind=kind,
        clipped_zero=clipped_zero,
        share=True,
        view="local",
    )
    assert (made.maps >= 0).all()
    np.testing.assert_allclose(made.maps.sum(1), np.where(made.degenerate, 0.0, 1.0), atol=1e-12)


def certain(scale):
    """Return a trajectory of one float32 model that is sure of records far from the origin."""
    model = nn.Linear(2, 2)
    state = {"weight": torch.tensor([[scale, 0.0], [-scale, 0.0]]), "bias": torch.zeros(2)}
    return Trajectory(model, [state], nn.CrossEntropyLoss(), origin="public")


@pytest.mark.parametrize("share", [True, False])
def test_a_record_without_gradient_is_degenerate(share):
    x = torch.tensor([[1.0, 1.0], [0.01, 1.0], [1.0, -1.0]])
    made = plis_map(certain(100.0), (x, torch.zeros(3).long()), share=share, view="local")
    np.testing.assert_array_equal(made.degenerate, [True, False, True])
    assert (made.maps[[0, 2]] == 0).all()
    assert np.isfinite(made.maps).all()
    assert made.norms[0] == 0


@quick
@given(seed=st.integers(0, 99), size=st.integers(1, 12))
def test_batches_do_not_matter(seed, size):
    given_path, records = path(seed=seed), data(11, seed=seed)
    whole = plis_map(given_path, records, view="local")
    parts = list(plis_maps(given_path, records, view="local", batch_size=size))
    assert [part.start for part in parts] == list(range(0, 11, size))
    joined = np.concatenate([part.maps for part in parts])
    np.testing.assert_allclose(joined, whole.maps, rtol=1e-12, atol=1e-13)


def test_a_record_alone_has_the_same_map():
    given_path, (x, y) = path(), data()
    whole = plis_map(given_path, (x, y), view="local")
    alone = plis_map(given_path, (x[3:4], y[3:4]), view="local")
    np.testing.assert_allclose(alone.maps[0], whole.maps[3], rtol=1e-12, atol=1e-13)


def test_the_model_is_put_back_also_from_a_walk_that_stopped():
    given_path = path()
    before = {k: v.clone() for k, v in given_path.model.state_dict().items()}
    given_path.model.train()
    walk = plis_maps(given_path, data(), view="local", batch_size=2)
    next(walk)
    assert not given_path.model.training
    walk.close()
    assert given_path.model.training
    assert all(torch.equal(v, before[k]) for k, v in given_path.model.state_dict().items())


def test_progress_counts_records():
    seen = []
    plis_map(path(), data(), view="local", batch_size=4, progress=lambda *at: seen.append(at))
    assert seen == [(4, 9), (8, 9), (9, 9)]


def test_maps_cannot_be_written_to():
    made = plis_map(path(), data(), view="local")
    with pytest.raises(ValueError, match="read-only"):
        made.maps[0] = 0


class Other(View):
    """A view that would show anything."""

    name = "release_scores"

    def check(self, scorer, context):
        pass

    def apply(self, scores):
        return scores


@pytest.mark.parametrize("view", [None, "release_scores", "release_aggregate", "public", Other()])
@pytest.mark.parametrize("door", [plis_map, plis_maps])
def test_without_the_local_view_there_is_no_map(door, view):
    with pytest.raises(PrivacyViewError):
        door(path(), data(), view=view)


def test_an_unprotected_models_maps_are_for_research_only():
    tainted = replace(path(), origin="unprotected")
    with pytest.raises(TaintedScoresError):
        plis_maps(tainted, data(), view="local")
    made = plis_map(tainted, data(), view=Local(research=True))
    assert made.terms.origin == "unprotected"


@pytest.mark.parametrize("options", [{"kind": "rho"}, {"clipped_zero": True}])
def test_constants_that_are_unknown_are_needed(options):
    with pytest.raises(NeedsError, match="Expected clip"):
        plis_maps(replace(path(), private_steps=None), data(), view="local", **options)


def test_refusals_come_before_any_work():
    with pytest.raises(CheckpointError, match=r"-3\.\.2, got 3"):
        plis_maps(path(), data(), checkpoint=3, view="local")
    with pytest.raises(ConfigError, match="Expected kind"):
        plis_maps(path(), data(), kind="mu", view="local")
    with pytest.raises(ConfigError, match="Expected clip"):
        plis_maps(path(), data(), clip=0.0, view="local")
    with pytest.raises(ModelError, match="one floating-point input"):
        plis_maps(path(), (torch.zeros(2, 4).long(), torch.arange(2)), view="local")


@pytest.mark.parametrize(
    ("reduction", "size"),
    [
        ("l2", lambda flat: np.sqrt((flat**2).sum(1))),
        ("l1", lambda flat: np.abs(flat).sum(1)),
        ("meanabs", lambda flat: np.abs(flat).mean(1)),
    ],
)
def test_scores_are_sizes_of_maps(reduction, size):
    given_path, records = path(), data(shape=(2, 2))
    made = plis_map(given_path, records, view="local")
    scorer = Plis(reduction)
    found = score(given_path, records, [scorer, "loss"], view="local")[scorer.label]
    np.testing.assert_allclose(found.values, size(made.maps.reshape(9, -1)), rtol=1e-12)
    assert found.orientation == "exposed"
    assert found.locality == "record"
    assert found.settings["reduction"] == reduction
    assert found.checkpoints == (given_path.identity(2),)


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ConfigError, match="Expected reduction to be one of l1, l2, meanabs"):
        Plis("max")


def test_scores_beside_other_scorers_are_those_alone():
    model = network()
    given_path = Trajectory(model, jittered(model, 5), nn.CrossEntropyLoss(), origin="public")
    names = ["plis", "vog", "loss-mean", "aum"]
    together = score(given_path, data(), names, view="local", batch_size=4)
    for name in names:
        alone = score(given_path, data(), [name], view="local", batch_size=4)[name]
        np.testing.assert_array_equal(together[name].values, alone.values)
        assert together[name].reliability == alone.reliability


def test_regression_has_plis_scores():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    given_path = trajectory(model, 2, nn.MSELoss())
    x, y = numbers(6, 4), numbers(6, 1, seed=9)
    found = score(given_path, (x, y), ["plis"], view="local", batch_size=4)["plis"]
    with given_path.opened():
        given_path.load(1)
        _, slopes = norm_slopes(model, nn.MSELoss(), x, y)
    np.testing.assert_allclose(found.values, slopes.norm(dim=1).numpy(), rtol=1e-10)
