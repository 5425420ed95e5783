"""Influence by conjugate gradients against an explicit Hessian, and that against autograd's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pair_cases import context_of, joined, numbers, written_out
from torch import nn

from equigrad.errors import ConfigError, ModelError, NeedsError, NonFiniteScoreError
from equigrad.valuation import ScoringContext, Trajectory
from equigrad.valuation.context import scored_rows
from equigrad.valuation.scorers import Influence
from equigrad.valuation.scorers.curvature import conjugate_gradients


def by_formula(context, damping):
    """Return ``(n, m)`` from the whole Hessian of the mean loss and written-out gradients."""
    source = context.trajectory
    inputs, labels = context.rows.take(torch.arange(len(context)))
    state = {k: v.clone() for k, v in source.states[-1].items()}
    names = list(state)
    sizes = [v.numel() for v in state.values()]

    def mean_loss(flat):
        parts = zip(names, flat.split(sizes), strict=True)
        values = {name: part.view_as(state[name]) for name, part in parts}
        return source.loss(torch.func.functional_call(source.model, values, inputs), labels).mean()

    flat = torch.cat([v.flatten() for v in state.values()])
    hessian = (
        torch.autograd.functional.hessian(mean_loss, flat) + damping * torch.eye(len(flat)).double()
    )
    g = joined(written_out(context))
    v = joined(written_out(context, context.validation))
    return (g @ torch.linalg.solve(hessian, v.T)).numpy()


@pytest.mark.parametrize("batch_size", [4, 512])
@pytest.mark.parametrize("kind", ["mlp", "conv", "regression"])
def test_both_solvers_give_the_formula(kind, batch_size):
    context = context_of(kind, batch_size=batch_size)
    want = by_formula(context, 6.0)
    for solver in ("explicit", "conjugate-gradients"):
        scorer = Influence(6.0, solver, tolerance=1e-12)
        scale = np.abs(want).max()
        np.testing.assert_allclose(scorer.matrix(context), want, rtol=1e-8, atol=1e-9 * scale)
        np.testing.assert_allclose(
            scorer.score(context), want.mean(1), rtol=1e-8, atol=1e-9 * scale
        )


def test_a_small_model_is_solved_explicitly_and_a_large_one_by_products(monkeypatch):
    context = context_of("mlp")
    found = {s: Influence(2.0, s).score(context) for s in ("explicit", "conjugate-gradients")}
    assert not np.array_equal(*found.values())
    np.testing.assert_allclose(*found.values(), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(Influence(2.0).score(context), found["explicit"])
    monkeypatch.setattr("equigrad.valuation.scorers.influence._EXPLICIT_PARAMETERS", 42)
    np.testing.assert_array_equal(Influence(2.0).score(context), found["conjugate-gradients"])


def test_directions_are_kept_a_few_at_a_time(monkeypatch):
    context, scorer = context_of(), Influence(2.0)
    want = scorer.matrix(context)
    monkeypatch.setattr("equigrad.valuation.scorers.influence._DIRECTION_BYTES", 500)
    np.testing.assert_allclose(scorer.matrix(context), want, rtol=1e-12)


def test_a_loss_without_curvature_leaves_the_damping_alone():
    model = nn.Linear(3, 1).double()
    trajectory = Trajectory(
        model, [model.state_dict()], lambda out, y: out[:, 0] * y, origin="public"
    )
    rows = scored_rows((numbers(5, 3), numbers(5, seed=1)))
    context = ScoringContext(trajectory, rows, validation=rows)
    g = joined(written_out(context))
    want = (g @ g.T / 0.5).numpy()
    for solver in ("explicit", "conjugate-gradients"):
        np.testing.assert_allclose(Influence(0.5, solver).matrix(context), want, rtol=1e-9)


def test_the_model_is_left_as_it_was():
    context = context_of()
    before = {k: v.clone() for k, v in context.trajectory.model.state_dict().items()}
    Influence(2.0, "conjugate-gradients").score(context)
    after = context.trajectory.model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert all(p.grad is None for p in context.trajectory.model.parameters())


def test_conjugate_gradients_say_why_they_stop():
    matrix = torch.diag(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))
    target = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64)
    with pytest.raises(ModelError, match=r"positive definite, got .* curvature .*larger damping"):
        conjugate_gradients(lambda v: matrix.abs() @ v - 4 * v, target, tolerance=0.1, iterations=9)
    with pytest.raises(ModelError, match=r"residual of at most 1e-09 within 1 iterations"):
        conjugate_gradients(lambda v: matrix.abs() @ v, target, tolerance=1e-9, iterations=1)
    solved = conjugate_gradients(lambda v: matrix.abs() @ v, target, tolerance=1e-9, iterations=3)
    torch.testing.assert_close(solved, torch.tensor([1, 0.5, 1 / 3], dtype=torch.float64))
    zero = conjugate_gradients(lambda v: v, 0 * target, tolerance=1e-9, iterations=1)
    assert not zero.any()


def test_losses_that_are_not_finite_are_named():
    context = context_of("regression")
    inputs, labels = context.rows.take(torch.arange(11))
    labels[4] = torch.inf
    bad = replace(context, rows=scored_rows((inputs, labels)), batch_size=3)
    for solver in ("explicit", "conjugate-gradients"):
        with pytest.raises(NonFiniteScoreError, match=r"finite losses, .* the first 4 "):
            Influence(2.0, solver).score(bad)


def test_impossible_settings_and_missing_validation():
    for options in ({"damping": -1}, {"solver": "lu"}, {"tolerance": 1}, {"iterations": 0}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            Influence(**options)
    with pytest.raises(NeedsError, match=r"a validation set .* 'influence'"):
        Influence().matrix(replace(context_of(), validation=None))
