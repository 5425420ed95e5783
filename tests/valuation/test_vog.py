"""VOG: its stages, its norm by class, and what it refuses."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slopes import jittered, numbers, output_slopes, trajectory
from torch import nn

from equigrad.errors import CheckpointError, ConfigError, DataError, ModelError, NeedsError
from equigrad.valuation import ScoringContext, Trajectory, make_scorer, score
from equigrad.valuation.context import scored_rows
from equigrad.valuation.scorers import Vog
from equigrad.valuation.scorers.vog import PARITIES, STAGES

quick = settings(max_examples=25, deadline=None)


def mlp(d=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(d, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def data(n=9, shape=(4,), seed=1):
    return numbers(n, *shape, seed=seed), torch.arange(n) % 3


def vog(given_trajectory, records, *, batch_size=4, accumulator_bytes=2**28, **options):
    scorer = Vog(**options)
    found = score(
        given_trajectory,
        records,
        [scorer],
        view="local",
        batch_size=batch_size,
        accumulator_bytes=accumulator_bytes,
    )
    return found[scorer.label]


def plain(given_trajectory, records, target="logit"):
    """Return all slopes ``(T, n, ...)`` at once: what a stream must equal."""
    x, y = records
    slopes = []
    with given_trajectory.opened() as model:
        for t in range(len(given_trajectory)):
            given_trajectory.load(t)
            slopes.append(output_slopes(model, x, y, probabilities=target == "prob"))
    return torch.stack(slopes)


@pytest.mark.parametrize("target", ["logit", "prob"])
@pytest.mark.parametrize("shape", [(4,), (2, 3, 2)])
def test_the_stream_equals_all_slopes_at_once(shape, target):
    path, records = trajectory(mlp(int(np.prod(shape))), 5), data(shape=shape)
    slopes = plain(path, records, target)
    deviation = slopes.std(0, correction=0)
    raw = deviation.flatten(1).mean(1).numpy()
    squares = deviation.square().flatten(1).mean(1).numpy()
    np.testing.assert_allclose(vog(path, records, target=target).values, raw, rtol=1e-10)
    got = vog(path, records, target=target, reduction="meanvar").values
    np.testing.assert_allclose(got, squares, rtol=1e-10)
    if len(shape) == 3:
        want = slopes.mean(2).std(0, correction=0).flatten(1).mean(1).numpy()
        got = vog(path, records, target=target, channel_mean=True).values
        np.testing.assert_allclose(got, want, rtol=1e-10)


@given(count=st.integers(2, 40))
def test_stages_part_the_checkpoints(count):
    parts = {stage: list(Vog(stage=stage).chosen(count)) for stage in STAGES}
    third = int(np.ceil(count / 3))
    assert len(parts["early"]) == len(parts["late"]) == third
    assert parts["early"] + parts["middle"] + parts["late"] == parts["all"] == list(range(count))


@quick
@given(count=st.integers(2, 9), stage=st.sampled_from(STAGES), seed=st.integers(0, 99))
def test_a_stage_is_the_sub_list(count, stage, seed):
    path, records = trajectory(mlp(), count, seed=seed), data(seed=seed)
    chosen = list(Vog(stage=stage).chosen(count))
    if len(chosen) < 2:
        with pytest.raises(CheckpointError, match=f"at least 2 .*got {len(chosen)} of {count}"):
            vog(path, records, stage=stage)
        return
    got = vog(path, records, stage=stage)
    np.testing.assert_array_equal(got.values, vog(path.subset(chosen), records).values)
    assert got.checkpoints == tuple(path.identity(i) for i in chosen)


@quick
@given(count=st.integers(2, 6), seed=st.integers(0, 99), normed=st.booleans())
def test_identical_checkpoints_give_zero(count, seed, normed):
    model = mlp()
    path = Trajectory(
        model, jittered(model, 1, seed=seed) * count, nn.CrossEntropyLoss(), origin="public"
    )
    for target in ("logit", "prob"):
        got = vog(path, data(seed=seed), target=target, class_norm=normed).values
        assert (got == 0).all()


labels = st.lists(st.integers(0, 3), min_size=1, max_size=12)


@quick
@given(labels=labels, scale=st.floats(1e-9, 1e9), seed=st.integers(0, 99))
def test_norm_by_class_equals_a_loop_over_classes(labels, scale, seed):
    y = torch.tensor(labels)
    values = scale * np.random.default_rng(seed).random(len(labels))
    got = norm_by_class(values, y)
    want = np.zeros(len(labels))
    for label in set(labels):
        mine = (y == label).numpy()
        own = values[mine]
        if len(own) > 1 and own.std() >= 1e-12:
            want[mine] = (own - own.mean()) / own.std()
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


@given(labels=labels, value=st.floats(-1e12, 1e12))
def test_constant_classes_give_zero(labels, value):
    y = torch.tensor(labels)
    assert (norm_by_class(np.full(len(labels), value) * (1 + y.numpy()), y) == 0).all()


@quick
@given(value=st.floats(-1e6, 1e6))
def test_a_class_of_one_gives_zero(value):
    got = norm_by_class(np.array([1.0, 2.0, value]), torch.tensor([0, 0, 1]))
    np.testing.assert_allclose(got, [-1.0, 1.0, 0.0])


def norm_by_class(values, y):
    rows = scored_rows((torch.zeros(len(y), 4, dtype=torch.float64), y))
    return Vog(class_norm=True).finish(values, ScoringContext(trajectory(mlp(), 2), rows))


def test_abs_takes_the_absolute_value():
    path, records = trajectory(mlp(), 4), data()
    signed = vog(path, records, class_norm=True).values
    assert (signed < 0).any()
    got = vog(path, records, class_norm=True, abs=True)
    np.testing.assert_array_equal(got.values, np.abs(signed))


def test_norm_by_class_pools():
    assert Vog().locality == "record"
    assert Vog(class_norm=True).locality == "pooled"
    path, (x, y) = trajectory(mlp(), 4), data()
    alone, changed = vog(path, (x, y)), x.clone()
    changed[0] += 1
    other = vog(path, (changed, y))
    np.testing.assert_array_equal(alone.values[1:], other.values[1:])
    assert alone.values[0] != other.values[0]


@pytest.mark.parametrize("options", [{}, {"target": "prob", "class_norm": True}])
def test_neither_batches_nor_stretches_matter(options):
    path, records = trajectory(mlp(), 5), data(23)
    whole = vog(path, records, batch_size=23, **options).values
    for batch_size, size in ((1, 1), (4, 600), (7, 2**28)):
        got = vog(path, records, batch_size=batch_size, accumulator_bytes=size, **options).values
        np.testing.assert_allclose(got, whole, rtol=1e-12, atol=1e-14)


def test_accumulators_are_mean_and_deviation():
    context = ScoringContext(trajectory(mlp(12), 2), scored_rows(data(shape=(3, 2, 2))))
    assert Vog().bytes_per_record(context) == 2 * 12 * 8 + 8
    assert Vog(channel_mean=True).bytes_per_record(context) == 2 * 4 * 8 + 8


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_model_is_told_and_not_refused(bias):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=bias)).double()
    found = vog(trajectory(model, 4), data(), class_norm=True)
    assert (found.values == 0).all()
    assert any("linear" in text for text in found.warnings)
    assert not vog(trajectory(model, 4), data(), target="prob").warnings


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
@pytest.mark.parametrize("bias", [True, False])
def test_a_network_is_not_called_linear(activation, bias):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8, bias=bias), activation(), nn.Linear(8, 3, bias=bias))
    assert not vog(trajectory(model.double(), 4), data()).warnings


@pytest.mark.parametrize("parity", PARITIES)
def test_a_parity_is_a_preset(parity):
    made = make_scorer("vog", parity=parity)
    assert {k: made.settings()[k] for k in PARITIES[parity]} == dict(PARITIES[parity])
    assert Vog(**made.settings()).settings() == made.settings()
    path, records = trajectory(mlp(8), 6), data(shape=(2, 2, 2))
    got = vog(path, records, parity=parity, stage="late").values
    want = vog(path, records, stage="late", **PARITIES[parity]).values
    np.testing.assert_array_equal(got, want)


def test_what_contradicts_a_parity_is_refused():
    with pytest.raises(ConfigError, match="Expected target='prob'"):
        Vog(parity="vog-toy", target="logit")
    with pytest.raises(ConfigError, match="Expected channel_mean=True"):
        Vog(parity="vog-imagenet", channel_mean=False)
    with pytest.raises(ConfigError, match="Expected parity"):
        Vog(parity="toy")


@pytest.mark.parametrize("option", ["target", "reduction", "stage"])
def test_unknown_values_are_refused(option):
    with pytest.raises(ConfigError, match=f"Expected {option}"):
        Vog(**{option: "other"})


def test_refusals():
    path, (x, y) = trajectory(mlp(), 4), data()
    with pytest.raises(CheckpointError, match=r"at least 2 .*got 1"):
        vog(path.subset([0]), (x, y))
    with pytest.raises(DataError, match="Leave channel_mean out"):
        vog(path, (x, y), channel_mean=True)
    with pytest.raises(NeedsError, match="class labels"):
        vog(path, (x, y.double()))
    with pytest.raises(ModelError, match="one floating-point input"):
        vog(path, (x.long(), y))
    with pytest.raises(DataError, match=r"Expected labels in 0\.\.2"):
        vog(path, (x, y + 1))


def test_a_stopped_scoring_goes_on_to_the_same_bits():
    path, records = trajectory(mlp(), 4), data()
    kept = []
    call = {"view": "local", "batch_size": 4, "accumulator_bytes": 700}
    whole = score(path, records, ["vog"], keep=lambda s: kept.append(deepcopy(s)), **call)
    whole = whole["vog"].values
    assert len(kept) > 4
    for state in kept:
        np.testing.assert_array_equal(
            score(path, records, ["vog"], state=state, **call)["vog"].values, whole
        )
