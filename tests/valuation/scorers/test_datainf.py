"""DataInf from norms, sums and products against its formula in written-out gradients."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pair_cases import context_of, joined, numbers, written_out
from torch import nn

from equigrad.errors import ConfigError, NeedsError, NonFiniteScoreError
from equigrad.valuation import ScoringContext, Trajectory, score
from equigrad.valuation.context import scored_rows
from equigrad.valuation.scorers import DataInf


def by_formula(context, block, damping, references=None):
    """Return ``(n, m)`` as the mean over k of ``g_j' (lam I + g_k g_k')^-1 g_i``, written out."""
    train, validation = written_out(context), written_out(context, context.validation)
    groups = {}
    for name in train:
        groups.setdefault("all" if block == "single" else name.rpartition(".")[0], []).append(name)
    total = 0.0
    for names in groups.values():
        g = joined({name: train[name] for name in names})
        v = joined({name: validation[name] for name in names})
        k = g if references is None else g[references]
        lam = damping or 0.1 * float(k.square().sum(1).mean()) / g.shape[1]
        eye = lam * torch.eye(g.shape[1], dtype=torch.float64)
        inverse = torch.stack([torch.linalg.inv(eye + torch.outer(one, one)) for one in k]).mean(0)
        total = total + g @ inverse @ v.T
    return total.numpy()


@pytest.mark.parametrize("damping", [None, 0.3])
@pytest.mark.parametrize("block", ["layer", "single"])
@pytest.mark.parametrize("kind", ["mlp", "conv", "regression"])
def test_pairs_and_their_means_are_those_of_the_formula(kind, block, damping):
    context = context_of(kind, batch_size=4)
    scorer = DataInf(block, damping)
    want = by_formula(context, block, damping)
    got = scorer.matrix(context)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * np.abs(want).max())
    np.testing.assert_allclose(
        scorer.score(context), want.mean(1), rtol=1e-9, atol=1e-9 * np.abs(want).max()
    )


def test_the_mean_runs_over_reference_records_drawn_by_the_seed():
    context = context_of(n=12, seed=3)
    drawn = np.sort(np.random.default_rng(3).choice(12, size=5, replace=False))
    want = by_formula(context, "layer", None, torch.from_numpy(drawn))
    scorer = DataInf(reference_records=5)
    np.testing.assert_allclose(scorer.matrix(context), want, rtol=1e-9)
    np.testing.assert_allclose(scorer.score(context), want.mean(1), rtol=1e-9)
    other = DataInf(reference_records=5).score(replace(context, seed=4))
    assert not np.allclose(other, want.mean(1), rtol=1e-6)


def test_the_size_of_batches_does_not_matter():
    scores = [DataInf().score(context_of(batch_size=size)) for size in (1, 4, 512)]
    np.testing.assert_allclose(scores[1:], [scores[0]] * 2, rtol=1e-12)


def test_validation_records_are_taken_a_few_at_a_time(monkeypatch):
    context, scorer = context_of(), DataInf()
    want = scorer.matrix(context)
    module = sys.modules["equigrad.valuation.scorers.datainf"]
    monkeypatch.setattr(module, "_TABLE_BYTES", 2 * 8 * 11 * 2)
    np.testing.assert_allclose(scorer.matrix(context), want, rtol=1e-12)


def test_a_positive_score_says_that_training_on_the_record_helps():
    context = context_of("mlp", n=20, m=6, checkpoints=1)
    source = context.trajectory
    scores = DataInf("single", damping=1e3).score(context)
    gradients, inputs = written_out(context), context.validation.take(torch.arange(6))

    def loss_after(record, rate=1e-3):
        state = {k: v - rate * gradients[k][record] for k, v in source.states[0].items()}
        return float(
            source.loss(
                torch.func.functional_call(source.model, state, inputs[0]), inputs[1]
            ).mean()
        )

    at_first = loss_after(0, rate=0.0)
    best, worst = int(scores.argmax()), int(scores.argmin())
    assert loss_after(best) < at_first < loss_after(worst)


def test_layers_without_gradient_contribute_nothing():
    context = context_of("mlp", checkpoints=1)
    with torch.no_grad():
        for name, tensor in context.trajectory.states[0].items():
            if name == "2.weight":
                tensor.zero_()
    scores = DataInf().score(context)
    last = {n: v for n, v in written_out(context).items() if n.startswith("2.")}
    first = {n: v for n, v in written_out(context).items() if n.startswith("0.")}
    assert not joined(first).any()
    assert joined(last).any()
    assert np.isfinite(scores).all()
    assert scores.any()


def test_what_it_lacks_or_cannot_take_is_said():
    context = context_of()
    inputs, labels = context.rows.take(torch.arange(11))
    with pytest.raises(NeedsError, match=r"a validation set .* 'datainf'"):
        score(context.trajectory, (inputs, labels), ["datainf"], view="local")
    with pytest.raises(NeedsError, match="a validation set"):
        DataInf().matrix(replace(context, validation=None))
    for options in ({"block": "head"}, {"damping": 0}, {"reference_records": 0}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            DataInf(**options)
    huge = inputs.clone()
    huge[3] = 1e308
    bad = replace(context, rows=scored_rows((huge, labels)), validation=context.validation)
    with torch.no_grad():
        for state in bad.trajectory.states:
            state["0.weight"].fill_(1e10)
    with pytest.raises(NonFiniteScoreError, match="1 records of a batch, the first 3"):
        DataInf().score(bad)
    # A choice of reference records keeps the numbers that its records have among all.
    assert 3 in np.random.default_rng(1).choice(11, size=5, replace=False)
    with pytest.raises(NonFiniteScoreError, match="the first 3 "):
        DataInf(reference_records=5).score(replace(bad, seed=1))
    inputs[3] = torch.nan
    holes = replace(bad, rows=scored_rows((inputs, labels)), seed=1)
    with pytest.raises(NonFiniteScoreError, match="the first 3 "):
        DataInf(reference_records=5).score(holes)


_MEMORY = """
import pathlib, torch
from torch import nn
from equigrad.valuation import Trajectory, score
torch.manual_seed(0)
model = nn.Sequential(
    nn.Linear(1000, 3000), nn.Tanh(), nn.Linear(3000, 2300), nn.Tanh(), nn.Linear(2300, 10)
)
assert sum(p.numel() for p in model.parameters()) > 9.9e6
x, y = torch.randn(512, 1000), torch.randint(10, (512,))
trajectory = Trajectory(model, [model.state_dict()], nn.CrossEntropyLoss(), origin="public")
val = x[:64], y[:64]
got = score(trajectory, (x, y), ["datainf"], view="local", validation=val, batch_size=128)
assert len(got["datainf"]) == 512
lines = pathlib.Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))  # KiB
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_ten_million_parameters_and_512_records_stay_under_two_gibibytes():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY], capture_output=True, text=True, env=environment, check=True
    )
    assert int(done.stdout) * 1024 < 2 * 2**30


def test_one_record_and_one_class():
    model = nn.Linear(2, 2).double()
    trajectory = Trajectory(model, [model.state_dict()], nn.CrossEntropyLoss(), origin="public")
    rows = scored_rows((numbers(1, 2), torch.zeros(1, dtype=torch.int64)))
    scores = DataInf().score(ScoringContext(trajectory, rows, validation=rows))
    assert scores.shape == (1,)
    assert scores[0] > 0
