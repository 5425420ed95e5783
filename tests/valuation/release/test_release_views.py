"""Releases as views of ``score``: what is refused before any work, what is charged after it."""

import math

import numpy as np
import pytest
import torch
from release_helpers import account
from torch import nn

from equigrad import errors
from equigrad.privacy.noise import NoiseKey
from equigrad.valuation import SCORERS, ScoreSet, StreamedScorer, Trajectory, WholeScorer, score
from equigrad.valuation.release import Mean, ReleaseAggregate, ReleaseScores, release_scores

BOUNDS = (0.0, 3.0)


def trajectory(origin="private", count=5):
    states = []
    for seed in range(count):
        generator = torch.Generator().manual_seed(seed)
        weights = torch.randn(3, 4, generator=generator)
        states.append({"weight": weights, "bias": torch.zeros(3)})
    return Trajectory(nn.Linear(4, 3), states, nn.functional.cross_entropy, origin=origin)


def data(size=12):
    generator = torch.Generator().manual_seed(9)
    return torch.randn(size, 4, generator=generator), torch.arange(size) % 3


class Pooled(WholeScorer):
    """Ranks by the first feature."""

    name = "pooled-test"
    orientation = "harder"
    locality = "pooled"

    def score(self, context):
        return np.arange(len(context), dtype=np.float64)


class Estimated(Pooled):
    """No sound bound."""

    name = "estimated-test"
    locality = "record"
    estimate = True


class Unreadable(Pooled):
    """Fails while it scores."""

    name = "unreadable-test"
    locality = "record"

    def score(self, context):
        raise errors.NonFiniteScoreError("Expected numbers, got none.")


def test_scores_leave_with_noise_and_are_charged_one_by_one(tmp_path):
    book, key = account(tmp_path / "a.db"), NoiseKey.test(4)
    view = ReleaseScores(0.5, account=book, bounds={"loss-mean": BOUNDS, "aum": (-5, 5)}, key=key)
    found = score(trajectory(), data(), ["loss-mean", "aum"], view=view)
    assert book.events() == [found["loss-mean"].event, found["aum"].event]
    assert [event.sensitivity for event in book.events()] == [3.0, 10.0]
    local = score(trajectory(), data(), ["loss-mean", "aum"], view="local")
    alone = release_scores(
        local["loss-mean"], mu=0.5, account="none", bounds=BOUNDS, key=NoiseKey.test(4)
    )
    assert np.array_equal(found["loss-mean"].values, alone.values)
    noise = found["aum"].values - np.clip(local["aum"].values, -5, 5)
    first = found["loss-mean"].values - np.clip(local["loss-mean"].values, *BOUNDS)
    assert not np.allclose(noise / 10, first / 3)  # one key, two addresses


def test_an_aggregate_leaves_in_place_of_scores(tmp_path):
    book = account(tmp_path / "a.db")
    view = ReleaseAggregate(
        "mean", account=book, key=NoiseKey.test(4), bounds=BOUNDS, mu=1.0, n_public=12
    )
    found = score(trajectory(), data(), ["loss-mean", "loss"], view=view)
    local = score(trajectory(), data(), ["loss-mean", "loss"], view="local")
    for turn, name in enumerate(("loss-mean", "loss")):
        want = Mean(BOUNDS, 1.0, 12).release(local[name].values, NoiseKey.test(4), turn)
        assert np.array_equal(found[name].values, want)
    assert book.events() == [found["loss-mean"].event, found["loss"].event]


def fails(scorers, view, error, source=None, records=None, **options):
    """Check that nothing is scored or charged."""
    seen = []
    with pytest.raises(error):
        score(
            trajectory() if source is None else source,
            data() if records is None else records,
            scorers,
            view=view,
            progress=lambda *step: seen.append(step),
            **options,
        )
    assert not seen


def test_what_a_view_cannot_give_is_refused_before_any_work(tmp_path):
    book = account(tmp_path / "a.db")
    view = ReleaseScores(0.5, account=book, bounds=BOUNDS)
    average = ReleaseAggregate(Mean(BOUNDS, 1.0, 12), account=book)
    for one in (view, average):
        fails(["loss"], one, errors.TaintedScoresError, trajectory("unprotected"))
        fails([Pooled()], one, errors.StabilityError)
        fails([Estimated()], one, errors.PrivacyError)
    fails(["loss"], ReleaseScores(0.5, account=book), errors.ConfigError)
    fails(
        ["loss", "aum"],
        ReleaseScores(0.5, account=book, bounds={"loss": BOUNDS}),
        errors.ConfigError,
    )
    assert book.events() == []


def test_the_account_is_asked_for_all_scorers_together(tmp_path):
    book = account(tmp_path / "a.db", epsilon=1.2)
    view = ReleaseScores(0.3, account=book, bounds=BOUNDS)
    fails(["loss", "loss-mean"], view, errors.BudgetExceededError)
    assert book.events() == []
    assert len(score(trajectory(), data(), ["loss"], view=view)) == 1
    assert len(book.events()) == 1


def test_nothing_is_charged_if_one_scorer_fails(tmp_path):
    book, key = account(tmp_path / "a.db"), NoiseKey.secret()
    view = ReleaseScores(0.5, account=book, bounds=BOUNDS, key=key)
    with pytest.raises(errors.NonFiniteScoreError):
        score(trajectory(), data(), ["loss", Unreadable()], view=view)
    assert book.events() == []
    assert not key.claimed


def test_a_private_key_serves_one_view(tmp_path):
    book, key = account(tmp_path / "a.db"), NoiseKey.secret()
    view = ReleaseScores(0.5, account=book, bounds=BOUNDS, key=key)
    score(trajectory(), data(), ["loss", "aum"], view=view)
    score(trajectory(), data(), ["loss"], view=view)
    assert len(book.events()) == 3
    other = ReleaseScores(0.5, account=book, bounds=BOUNDS, key=key)
    fails(["loss"], other, errors.PrivacyError)


def test_pooled_scores_leave_with_a_stability():
    view = ReleaseScores(0.5, account="none", bounds=BOUNDS, stability=4)
    found = score(trajectory(), data(), [Pooled()], view=view)["pooled-test"]
    assert found.event.sensitivity == 6.0


@pytest.mark.parametrize("view", [ReleaseScores, ReleaseAggregate])
def test_a_view_needs_an_account_or_the_word_that_there_is_none(view):
    terms = {"statistic": Mean(BOUNDS, 1.0, 5)} if view is ReleaseAggregate else {"mu": 1.0}
    with pytest.raises(TypeError, match="account"):
        view(**terms)
    with pytest.raises(errors.PrivacyError, match="account"):
        view(account=None, **terms)


@pytest.mark.parametrize("view", [None, "", "public", "release_scores", "release_aggregate"])
def test_no_view_is_no_view(view):
    fails(["loss"], view, errors.PrivacyViewError)


def test_every_scorer_that_is_no_function_of_its_record_is_refused():
    """Whatever is registered: the release asks for its locality, not for its name."""
    view = ReleaseScores(0.5, account="none", bounds=BOUNDS)
    for name in SCORERS:
        scorer = SCORERS[name]()
        assert isinstance(scorer, StreamedScorer | WholeScorer)
        if scorer.locality == "pooled":
            with pytest.raises(errors.StabilityError):
                view._sound(scorer, score_context(), own_only=True)


def score_context():
    from equigrad.valuation import ScoringContext
    from equigrad.valuation.context import scored_rows

    return ScoringContext(trajectory(), scored_rows(data()))


def test_local_scores_are_what_they_were():
    found = score(trajectory(), data(), ["loss"], view="local")["loss"]
    assert type(found) is ScoreSet
    assert found.view == "local"
    assert math.isinf(found.bounds[1])
