"""LESS and TRAK against their formulas in written-out gradients."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pair_cases import classes, context_of, joined, numbers, written_out
from torch import nn

from equigrad.errors import CheckpointError, ConfigError, ModelError, NeedsError
from equigrad.valuation import ScoringContext, Trajectory, score
from equigrad.valuation.context import scored_rows
from equigrad.valuation.scorers import AdamMoments, Projected

WHOLE = 10**4  # so many dimensions that every parameter is kept as it is


def cosines(train, validation):
    return nn.functional.normalize(train, dim=1) @ nn.functional.normalize(validation, dim=1).T


def less(context, steps=None):
    """Return ``(n, m)`` sums of learning rates times cosines of unprojected gradients."""
    total = 0.0
    for t, rate in enumerate(context.trajectory.learning_rates):
        train, validation = (
            written_out(context, index=t),
            written_out(context, context.validation, t),
        )
        train = train if steps is None else steps(t, train)
        total = total + rate * cosines(joined(train), joined(validation))
    return total.numpy()


def scores_by(context, scorer):
    """Return the scores through the door."""
    records, validation = (
        rows.take(torch.arange(len(rows))) for rows in (context.rows, context.validation)
    )
    found = score(
        context.trajectory,
        records,
        [scorer],
        view="local",
        validation=validation,
        batch_size=context.batch_size,
        seed=context.seed,
    )
    return found[scorer.label]


@pytest.mark.parametrize("batch_size", [4, 512])
@pytest.mark.parametrize("kind", ["mlp", "conv", "regression"])
def test_less_of_all_dimensions_is_the_sum_of_cosines(kind, batch_size):
    context = context_of(kind, checkpoints=3, batch_size=batch_size)
    scorer, want = Projected(dimension=WHOLE), less(context)
    np.testing.assert_allclose(scorer.matrix(context), want, rtol=1e-9, atol=1e-10)
    found = scores_by(context, scorer)
    np.testing.assert_allclose(found.values, want.mean(1), rtol=1e-9, atol=1e-10)
    total = sum(context.trajectory.learning_rates)
    assert found.bounds == pytest.approx((-total, total))
    assert found.locality == "validation"
    assert "plain gradients" in found.warnings[0]


@pytest.mark.parametrize("projection", ["kron", "dense"])
def test_less_of_few_dimensions_is_near(projection):
    context = context_of("conv", n=20, m=8)
    want = less(context)
    errors = [
        np.abs(Projected(projection=projection, dimension=k).matrix(context) - want).mean()
        for k in (8, 120)
    ]
    assert errors[1] < errors[0]
    assert 1e-6 < errors[1] < 0.2 * sum(context.trajectory.learning_rates)


def test_less_of_the_training_records_themselves_is_the_sum_of_rates_at_most():
    context = context_of("mlp")
    same = replace(context, validation=context.rows)
    for name in ("kron", "dense"):
        found = Projected(projection=name, dimension=16).matrix(same)
        total = sum(context.trajectory.learning_rates)
        np.testing.assert_allclose(np.diag(found), total, rtol=1e-12)
        assert np.abs(found).max() <= total * (1 + 1e-12)


def test_records_without_gradient_score_nothing():
    model = nn.Linear(2, 1).double()
    trajectory = Trajectory(
        model,
        [model.state_dict()],
        lambda out, y: out[:, 0] * y,
        origin="public",
        learning_rates=(0.5,),
    )
    rows = scored_rows((numbers(3, 2), torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)))
    context = ScoringContext(trajectory, rows, validation=rows)
    assert Projected().matrix(context)[0].tolist() == [0.0, 0.0, 0.0]


def test_less_with_adam_compares_the_steps_that_records_would_lead_to():
    context = context_of("mlp", n=7)
    model, source = context.trajectory.model, context.trajectory
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, betas=(0.8, 0.95), eps=1e-6)
    inputs, labels = context.rows.take(torch.arange(7))
    moments = []
    for _ in range(2):
        optimizer.zero_grad()
        source.loss(model(inputs), labels).mean().backward()
        optimizer.step()
        moments.append(AdamMoments.of(optimizer, model))
    assert [one.step for one in moments] == [1, 2]

    def steps(t, rows):
        """Return the change of the parameters by one real step of Adam on each record alone."""
        found = {name: [] for name in rows}
        for i in range(7):
            alone = {n: nn.Parameter(torch.zeros_like(r[i])) for n, r in rows.items()}
            one = torch.optim.Adam(alone.values(), lr=1.0, betas=(0.8, 0.95), eps=1e-6)
            for name, parameter in alone.items():
                parameter.grad = rows[name][i].clone()
                one.state[parameter] = {
                    "step": torch.tensor(float(moments[t].step)),
                    "exp_avg": moments[t].first[name].clone(),
                    "exp_avg_sq": moments[t].second[name].clone(),
                }
            one.step()
            for name, parameter in alone.items():
                found[name].append(-parameter.detach())
        return {name: torch.stack(parts) for name, parts in found.items()}

    scorer, want = Projected(dimension=WHOLE, moments=moments), less(context, steps)
    np.testing.assert_allclose(scorer.matrix(context), want, rtol=1e-9, atol=1e-10)
    found = scores_by(context, scorer)
    np.testing.assert_allclose(found.values, want.mean(1), rtol=1e-9, atol=1e-10)
    assert found.warnings == ()
    assert not np.allclose(want, less(context), atol=1e-3)


def test_moments_must_fit():
    context = context_of("mlp")
    model = context.trajectory.model
    with pytest.raises(ConfigError, match="Adam's kind that has made a step, got SGD"):
        AdamMoments.of(torch.optim.SGD(model.parameters(), lr=0.1), model)
    state = {n: p.detach() for n, p in model.named_parameters()}
    one = AdamMoments(3, state, state)
    with pytest.raises(CheckpointError, match="each of 2 checkpoints, got 1"):
        Projected(moments=[one]).check(context)
    with pytest.raises(CheckpointError, match=r"checkpoint 1 .* for '0.weight' \(4 differ\)"):
        Projected(moments=[one, AdamMoments(3, {}, {})]).check(context)
    with pytest.raises(ConfigError, match="moments only with method='less'"):
        Projected("trak", moments=[one])


def trak(context, ridge):
    """Return ``(n, m)`` from unprojected gradients of ``log(p / (1 - p))`` by autograd."""
    source = context.trajectory
    influences, doubts = [], []
    for state in source.states:
        rows = []
        for part in (context.rows, context.validation):
            inputs, labels = part.take(torch.arange(len(part)))
            of_part = []
            for x, y in zip(inputs, labels, strict=True):
                values = {k: v.clone().requires_grad_() for k, v in state.items()}
                out = torch.func.functional_call(source.model, values, x[None])
                p = out.softmax(1)[0, y]
                grads = torch.autograd.grad(torch.log(p / (1 - p)), list(values.values()))
                of_part.append((torch.cat([g.flatten() for g in grads]), 1 - p.detach()))
            rows.append(of_part)
        phi, phi_val = (torch.stack([g for g, _ in part]) for part in rows)
        square = phi.T @ phi
        square += ridge * square.diagonal().mean() * torch.eye(len(square)).double()
        influences.append(phi @ torch.linalg.solve(square, phi_val.T))
        doubts.append(torch.stack([q for _, q in rows[0]]))
    return (torch.stack(influences).mean(0) * torch.stack(doubts).mean(0)[:, None]).numpy()


@pytest.mark.parametrize(("n", "ridge"), [(11, 0.1), (80, 0.0)])
@pytest.mark.parametrize("batch_size", [4, 512])
def test_trak_of_all_dimensions_is_its_formula(n, ridge, batch_size):
    context = _binary(n, batch_size)
    scorer, want = Projected("trak", dimension=WHOLE, damping=ridge), trak(context, ridge)
    scale = np.abs(want).max()
    np.testing.assert_allclose(scorer.matrix(context), want, rtol=1e-7, atol=1e-8 * scale)
    found = scores_by(context, scorer)
    np.testing.assert_allclose(found.values, want.mean(1), rtol=1e-7, atol=1e-8 * scale)
    assert (found.locality, found.bounds) == ("pooled", None)


def _binary(n, batch_size=512):
    """Return a context whose gradients of log odds span all parameters."""
    states = [{"weight": numbers(2, 3, seed=s), "bias": numbers(2, seed=s + 9)} for s in (0, 1)]
    trajectory = Trajectory(_OneSided(), states, nn.CrossEntropyLoss(), origin="public")
    rows = scored_rows((numbers(n, 3, seed=1), classes(n, 2, seed=2)))
    validation = scored_rows((numbers(5, 3, seed=3), classes(5, 2, seed=4)))
    return ScoringContext(trajectory, rows, validation=validation, batch_size=batch_size)


class _OneSided(nn.Linear):
    """Logits whose two columns do not mirror one another in the log odds' gradient."""

    def __init__(self):
        super().__init__(3, 2, dtype=torch.float64)

    def forward(self, x):
        out = super().forward(x)
        return torch.stack([out[:, 0].tanh() * 3, out[:, 1] + 0.2 * out[:, 1] ** 2], dim=1)


def test_trak_without_damping_needs_records():
    with pytest.raises(ModelError, match=r"inverse, got a singular matrix.*damping above 0"):
        Projected("trak", damping=0.0).matrix(_binary(4))


def test_what_a_method_needs_is_said():
    context = context_of("mlp")
    unknown = replace(context, trajectory=replace(context.trajectory, learning_rates=None))
    with pytest.raises(NeedsError, match="the learning rate at each checkpoint"):
        Projected().check(unknown)
    Projected("trak").check(unknown)
    with pytest.raises(NeedsError, match=r"a validation set .* 'projected'"):
        Projected().check(replace(context, validation=None))
    with pytest.raises(NeedsError, match="labels of a regression"):
        Projected("trak").check(context_of("regression"))
    for options in ({"method": "rapid"}, {"projection": "none"}, {"dimension": 0}, {"damping": -1}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            Projected(**options)


def test_the_size_of_batches_does_not_matter():
    for method in ("less", "trak"):
        found = [
            scores_by(context_of("conv", batch_size=size), Projected(method, dimension=30)).values
            for size in (1, 4, 512)
        ]
        for other in found[1:]:
            np.testing.assert_allclose(
                other, found[0], rtol=1e-10, atol=1e-12 * np.abs(found[0]).max()
            )
