"""The door of valuation: a view is named, bad input gets the answer the specification lists."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from valuation_helpers import RESEARCH, small_records, small_trajectory, values_of

from equigrad.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    ModelError,
    NeedsError,
    NonFiniteScoreError,
    PrivacyViewError,
    RegistryError,
    TaintedScoresError,
)
from equigrad.valuation import (
    DEFAULT_SCORERS,
    Local,
    make_scorer,
    score,
    validation_matrix,
)
from equigrad.valuation.scorers import Loss

RECORDS = small_records(8)


def test_the_default_scorers_are_averages_over_the_trajectory():
    found = score(small_trajectory(), RECORDS, view="local")
    assert list(found) == list(DEFAULT_SCORERS) == ["loss-mean", "aum"]


def test_an_empty_validation_set_is_said_to_be_that():
    empty = (RECORDS[0][:0], RECORDS[1][:0])
    with pytest.raises(DataError, match="In the validation set: "):
        score(small_trajectory(), RECORDS, "grad-dot", view="local", validation=empty)
    with pytest.raises(DataError, match="In the validation set: "):
        validation_matrix(small_trajectory(), RECORDS, empty, "grad-dot", view="local")


def test_a_range_by_an_impossible_number_of_classes_is_refused():
    with pytest.raises(ConfigError, match="n_classes"):
        make_scorer("sum-margin", n_classes=1)


@pytest.mark.parametrize("one", ["loss", Loss()])
def test_one_scorer_needs_no_list(one):
    assert list(score(small_trajectory(), RECORDS, one, view="local")) == ["loss"]


def test_a_model_without_parameters_serves_scorers_of_features_and_is_refused_by_others():
    trajectory = small_trajectory(1, model=nn.Flatten())
    found = score(trajectory, RECORDS, "data-oob", view="local")
    assert found["data-oob"].values.shape == (8,)
    with pytest.raises(ModelError, match="parameters"):
        score(trajectory, RECORDS, "loss", view="local")


@pytest.mark.parametrize("view", [None, "", "public", 3])
def test_no_view_or_an_unknown_one_lists_the_three(view):
    trajectory, words = small_trajectory(), "local, release_scores, release_aggregate"
    with pytest.raises(PrivacyViewError, match=words):
        score(trajectory, RECORDS, view=view)
    with pytest.raises(PrivacyViewError, match=words):
        validation_matrix(trajectory, RECORDS, RECORDS, "grad-dot", view=view)


@pytest.mark.parametrize(
    ("name", "maker"), [("release_scores", "ReleaseScores"), ("release_aggregate", "Aggregate")]
)
def test_a_release_needs_its_terms(name, maker):
    with pytest.raises(PrivacyViewError, match=maker):
        score(small_trajectory(), RECORDS, view=name)


def test_without_a_view_nothing_is_read():
    class Untouchable:
        def __getattr__(self, name):
            raise AssertionError(name)

    with pytest.raises(PrivacyViewError):
        score(Untouchable(), Untouchable())


def test_scores_of_an_unprotected_model_are_for_research():
    trajectory = small_trajectory(origin="unprotected")
    for door in (
        lambda view: score(trajectory, RECORDS, view=view),
        lambda view: validation_matrix(trajectory, RECORDS, RECORDS, "grad-dot", view=view),
    ):
        for view in ("local", Local()):
            with pytest.raises(TaintedScoresError, match=r"PrivateTrainer.*research=True"):
                door(view)
        door(RESEARCH)
    assert score(trajectory, RECORDS, view=RESEARCH)["aum"].tainted
    public = score(small_trajectory(), RECORDS, view=RESEARCH)["aum"]
    assert not public.tainted


def test_an_unprotected_ensemble_taints_what_it_scores():
    options = {"view": "local", "ensemble": small_trajectory(origin="unprotected")}
    with pytest.raises(TaintedScoresError):
        score(small_trajectory(), RECORDS, ["grand"], **options)
    score(small_trajectory(), RECORDS, ["loss"], **options)


@pytest.mark.parametrize(
    ("scorers", "words"),
    [([], "one scorer or more"), (["loss", "loss"], "all different"), ([Loss(), "loss"], "differ")],
)
def test_scorers_are_some_and_different(scorers, words):
    with pytest.raises(ConfigError, match=words):
        score(small_trajectory(), RECORDS, scorers, view="local")


def test_names_treat_dashes_and_underscores_alike():
    for name in ("loss-mean", "loss_mean"):
        assert make_scorer(name).name == "loss-mean"
    with pytest.raises(RegistryError, match=r"Unknown scorer 'los'.*Did you mean 'loss'"):
        make_scorer("los")
    with pytest.raises(ConfigError, match="clip"):
        make_scorer("loss", clip=1.0)
    with pytest.raises(ConfigError, match="instance"):
        make_scorer(Loss(), clip=1.0)


def test_labels_carry_the_settings_that_are_not_usual():
    assert make_scorer("tracin").label == "tracin"
    assert make_scorer("grad-norm", clip=0.5).label == "grad-norm(clip=0.5)"
    both = [make_scorer("grad-norm"), make_scorer("grad-norm", clip=0.5)]
    assert len(score(small_trajectory(), RECORDS, both, view="local")) == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tracin", r"learning rate.*'tracin'"),
        ("tracin-self", r"learning rate.*'tracin-self'"),
        ("grad-dot", r"a validation set \(validation=\).*'grad-dot'"),
        ("grand", r"independently initialised models \(ensemble=\).*'grand'"),
    ],
)
def test_what_is_needed_and_missing_is_named(name, words):
    with pytest.raises(NeedsError, match=words):
        values_of(small_trajectory(), RECORDS, name)


@pytest.mark.parametrize("name", ["loss-mean", "forgetting", "grad-norm-mean", "el2n-mean"])
def test_too_few_checkpoints_say_have_and_need(name):
    with pytest.raises(CheckpointError, match=rf"at least 2 checkpoints.*'{name}', got 1"):
        values_of(small_trajectory(1), RECORDS, name)


@pytest.mark.parametrize("name", ["aum", "el2n", "el1", "forgetting", "max-margin", "sum-margin"])
@pytest.mark.parametrize("labels", [RECORDS[1].double(), RECORDS[1][:, None]])
def test_class_scorers_refuse_regression(name, labels):
    with pytest.raises(NeedsError, match=rf"class labels.*'{name}'.*regression.*loss, grad-norm"):
        values_of(small_trajectory(), (RECORDS[0], labels), name)


@pytest.mark.parametrize("name", ["aum", "el2n", "forgetting"])
@pytest.mark.parametrize(("label", "at"), [(3, 2), (-1, 6)])
def test_a_label_beyond_the_classes_names_the_first_record_and_k(name, label, at):
    y = RECORDS[1].clone()
    y[[at, 7]] = label
    with pytest.raises(DataError, match=rf"0\.\.2.*got {label} in record {at} ") as raised:
        values_of(small_trajectory(), (RECORDS[0], y), name, batch_size=3)
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize("name", ["loss", "aum", "grad-norm", "tracin"])
def test_overflow_names_the_records(name):
    x = RECORDS[0].clone()
    x[[1, 5]] = 1e308
    trajectory = small_trajectory(learning_rates=(0.1,) * 3)
    with pytest.raises(NonFiniteScoreError, match=r"in [12] records of a batch, the first [15]"):
        values_of(trajectory, (x, RECORDS[1]), name, validation=RECORDS)


@pytest.mark.parametrize("bad", [math.nan, 1e308])
def test_a_bad_validation_record_is_not_taken_for_a_scored_one(bad):
    x = RECORDS[0].clone()
    x[5] = bad
    trajectory = small_trajectory(learning_rates=(0.1,) * 3)
    with pytest.raises(NonFiniteScoreError, match=r"In the validation set: .*first 5 \(from 0\)"):
        values_of(trajectory, RECORDS, "tracin", validation=(x, RECORDS[1]))


def test_batch_norm_is_scored_by_its_stored_statistics():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).double()
    trajectory = small_trajectory(1, model=model)
    state = trajectory.states[0]
    state["1.running_var"].abs_()
    (x, y), before = RECORDS, model[1].running_mean.clone()
    got = values_of(trajectory, RECORDS, "loss", batch_size=3)
    assert model[1].training
    assert torch.equal(model[1].running_mean, before)
    model.load_state_dict(state)
    want = nn.functional.cross_entropy(model.eval()(x), y, reduction="none")
    np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-12)


def test_a_parameter_used_outside_of_its_layer_is_refused():
    class Outside(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.table = nn.Linear(4, 4).double(), nn.Linear(4, 3).double()

        def forward(self, x):
            return nn.functional.linear(self.first(x), self.table.weight)

    with pytest.raises(ModelError, match=r"table\.weight"):
        values_of(small_trajectory(model=Outside()), RECORDS, "grad-norm")


def test_one_record_is_fine():
    one = (RECORDS[0][:1], RECORDS[1][:1])
    found = score(small_trajectory(4), one, ["loss-mean", "aum", "forgetting"], view="local")
    for scores in found.values():
        assert len(scores) == 1
        assert scores.reliability.verdict == "not assessed"


def test_a_score_set_says_where_it_comes_from():
    trajectory = small_trajectory(origin="private", seeded=True)
    loss = score(trajectory, RECORDS, ["loss"], view="local")["loss"]
    assert (loss.origin, loss.view, loss.seeded, loss.bounds) == (
        "private",
        "local",
        True,
        (0, math.inf),
    )
    assert loss.checkpoints == (trajectory.identity(2),)
    assert loss.values.dtype == np.float64
