import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from equigrad.errors import ConfigError, DataError
from equigrad.fairness import (
    BatchSums,
    Diagnostics,
    DiagnosticSeries,
    group_gradient,
    misalignment,
    split_by_group,
)
from equigrad.gradients import per_sample_gradients
from equigrad.gradients.oracle import per_sample_oracle
from equigrad.privacy.training import PrivateTrainer

NAMES = ("a", "b", "nobody")


def per_record(outputs, targets):
    return cross_entropy(outputs, targets, reduction="none")


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(40, 4, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 3, (40,), generator=generator)
    groups = torch.arange(40) % 2
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) / 2)
    return model, x, y, groups


def flat(rows, weights=None):
    """(B, d) row gradients, or their weighted sum."""
    stacked = torch.cat([v.flatten(1) for v in rows.values()], dim=1)
    return stacked if weights is None else weights @ stacked


def flat_one(vector):
    return torch.cat([v.flatten() for v in vector.values()])


def cosine(a, b):
    return float(a @ b / a.norm() / b.norm())


def recorder(case, **options):
    _, x, y, groups = case
    return Diagnostics(per_record, x, y, groups, names=NAMES, **options)


def observe(recording, case, batch, step=0, chunks=1, L=10.0, **options):
    model, x, y, groups = case
    for at in batch.chunk(chunks):
        grads = per_sample_gradients(model, per_record, x[at], y[at])
        weights = 0.3 / grads.norms.clamp(min=0.8)
        recording.observe(grads, weights, groups[at])
    given = {"learning_rate": 0.1, "sensitivity": 0.3, "noise_multiplier": 1.5}
    given.update(options)
    recording.close(step, model, public_batch_size=L, **given)
    return recording.series


def test_the_table_equals_a_direct_computation(case):
    model, x, y, groups = case
    batch = torch.tensor([0, 1, 2, 3, 5, 7, 9, 11])
    series = observe(recorder(case, decomposition=False), case, batch, chunks=3)
    rows = per_sample_oracle(model, per_record, x[batch], y[batch])
    norms = flat(rows).norm(dim=1)
    w = 0.3 / norms.clamp(min=0.8)
    g, gb = flat(rows).sum(0) / 10, flat(rows, w) / 10
    first = {name: line[0] for name, line in series.overall.items()}
    assert first["cos_g_gb"] == pytest.approx(cosine(g, gb))
    assert first["norm"] == pytest.approx(float(g.norm()))
    assert first["norm_clipped"] == pytest.approx(float(gb.norm()))
    assert first["rho"] == pytest.approx(float(gb.norm() / g.norm()))
    for k, part in enumerate(split_by_group(x, y, groups, 2)):
        loss, gradient = group_gradient(model, per_record, part)
        own, mine = flat_one(gradient), groups[batch] == k
        plain, clipped = flat(rows)[mine].mean(0), flat(rows, w * mine) / mine.sum()
        want = {
            "cos_gk_g": cosine(own, g),
            "cos_gk_gb": cosine(own, gb),
            "cos_gk_gBk": cosine(own, plain),
            "cos_gk_gbBk": cosine(own, clipped),
            "norm": float(own.norm()),
            "norm_batch": float(plain.norm()),
            "norm_batch_clipped": float(clipped.norm()),
            "loss": loss,
            "accuracy": float((model(part.inputs).argmax(1) == part.targets).double().mean()),
        }
        assert {name: series.by_group[name][k][0] for name in want} == pytest.approx(want)
    assert "R_clip" not in series.by_group


def test_risk_terms_are_those_of_the_step(case):
    model, _, _, _ = case
    batch = torch.arange(12)
    before = [p.detach().clone() for p in model.parameters()]
    series = observe(
        recorder(case),
        case,
        batch,
        state={"threshold": 0.8, "clips": [1.0, 2.0, 3.0], "other": "x"},
    )
    found = {name: lines[1][0] for name, lines in series.by_group.items()}
    assert found["R_mag"] + found["R_dir"] == pytest.approx(found["R_clip"], abs=1e-12)
    total = found["loss"] + found["R_step"] + found["R_clip"] + found["R_noise"]
    assert found["predicted_loss"] == pytest.approx(total)
    assert found["R_noise"] == pytest.approx(0.005 * found["trace"] * (1.5 * 0.3 / 10) ** 2)
    assert series.overall["threshold"] == [0.8]
    assert series.by_group["clips"] == [[1.0], [2.0], [3.0]]
    assert "other" not in series.overall
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_prediction_is_close_to_the_loss_after_the_noise_free_step(case):
    model, x, y, groups = case
    batch = torch.arange(12)
    series = observe(recorder(case), case, batch, learning_rate=0.01, noise_multiplier=0.0)
    grads = per_sample_gradients(model, per_record, x[batch], y[batch])
    update = grads.weighted_sum(0.3 / grads.norms.clamp(min=0.8))
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.sub_(0.01 / 10 * update[name])
    for k, part in enumerate(split_by_group(x, y, groups, 2)):
        after = group_gradient(model, per_record, part)[0]
        before, predicted = (series.by_group[n][k][0] for n in ("loss", "predicted_loss"))
        assert abs(predicted - after) < 1e-4 * abs(after - before)


def test_a_group_without_rows_has_gaps_not_zeros(case):
    series = observe(recorder(case), case, torch.arange(6))
    lines = {name: line[2] for name, line in series.by_group.items()}
    assert all(line == [None] for line in lines.values())
    # a group with rows, none of them in the batch
    _, _, _, groups = case
    only_a = torch.nonzero(groups == 0).flatten()[:4]
    series = observe(recorder(case, decomposition=False), case, only_a)
    assert series.by_group["cos_gk_gBk"][1] == [None]
    assert series.by_group["cos_gk_g"][1][0] is not None


def test_other_optimisers_get_the_table_and_a_notice(case):
    series = observe(recorder(case), case, torch.arange(6), plain_sgd=False)
    assert "R_clip" not in series.by_group
    assert series.by_group["cos_gk_g"][0][0] is not None
    assert any("plain SGD" in sentence for sentence in series.notices)


def test_steps_that_are_due_and_empty_batches(case):
    recording = recorder(case, every=5, decomposition=False)
    assert [step for step in range(11) if recording.due(step)] == [0, 5, 10]
    assert recorder(case).every == 200
    observe(recording, case, torch.arange(4), step=0)
    recording.close(
        5, case[0], learning_rate=0.1, sensitivity=1, noise_multiplier=1, public_batch_size=4
    )
    observe(recording, case, torch.arange(4, 9), step=10)
    assert recording.series.steps == [0, 10]
    assert any("empty batch" in sentence for sentence in recording.series.notices)


def test_an_empty_chunk_alone_is_an_empty_batch_with_undefined_cosines(case):
    model, x, y, groups = case
    sums = BatchSums(2)
    none = torch.arange(0)
    grads = per_sample_gradients(model, per_record, x[none], y[none])
    sums.add(grads, grads.norms, groups[none])
    own = group_gradient(model, per_record, split_by_group(x, y, groups, 2)[0])[1]
    table = misalignment(sums, [own, None], 4.0)
    assert (table.rho, table.norm, table.cosine) == (0, 0, None)
    assert table.groups[0].cos_batch is None
    assert table.groups[0].norm > 0
    assert table.to_json()["groups"][1]["norm"] is None


def test_rows_may_be_sampled_and_it_is_said(case):
    recording = recorder(case, rows_per_group=8)
    assert sorted(recording.series.notices) == [
        "Group a: a sample of 8 of 20 rows.",
        "Group b: a sample of 8 of 20 rows.",
    ]
    again = recorder(case, rows_per_group=8)
    batch = torch.arange(10)
    one, two = (observe(r, case, batch).to_json() for r in (recording, again))
    assert one == two


def test_series_survive_json(case):
    recording = recorder(case, decomposition=False)
    observe(recording, case, torch.arange(4), step=0)
    observe(recording, case, torch.arange(8), step=200, state={"bound": np.inf})
    text = json.dumps(recording.series.to_json(), allow_nan=False)
    assert DiagnosticSeries.from_json(text) == recording.series
    assert "not covered by epsilon" in text
    assert recording.series.overall["bound"] == [None, None]


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("note"),
        lambda d: d["steps"].append(7),
        lambda d: d["by_group"]["loss"].pop(),
    ],
)
def test_damaged_series_are_refused(case, change):
    content = observe(recorder(case, decomposition=False), case, torch.arange(4)).to_json()
    change(content)
    with pytest.raises(DataError, match="stored diagnostics"):
        DiagnosticSeries.from_json(content)


def test_refusals(case):
    _, x, y, groups = case
    with pytest.raises(ConfigError, match="different group names"):
        Diagnostics(per_record, x, y, groups, names=("a", "a"))
    with pytest.raises(DataError, match="group numbers"):
        Diagnostics(per_record, x, y, groups, names=("a",))
    with pytest.raises(ConfigError, match="every"):
        recorder(case, every=0)
    recording = recorder(case, decomposition=False)
    observe(recording, case, torch.arange(4), step=3)
    with pytest.raises(DataError, match="after 3"):
        observe(recording, case, torch.arange(4), step=3)


def test_a_private_trainer_records_its_due_steps(case):
    model, x, y, groups = case
    recording = recorder(case, every=3)
    before = [p.detach().clone() for p in model.parameters()]
    trainer = PrivateTrainer(
        model,
        torch.optim.SGD(model.parameters(), lr=0.05),
        per_record,
        (x, y, groups),
        rule="global-adapt",
        rule_options={"clip": 0.5, "threshold": 2.0},
        noise_multiplier=1.0,
        delta=1e-3,
        steps=7,
        sampling_rate=0.5,
        n_groups=3,
        test_seed=1,
        max_physical=8,
        diagnostics=recording,
    )
    with trainer:
        trainer.train()
        assert any("diagnostics" in line for line in trainer.statement.lines())
    series = recording.series
    assert series.steps == [0, 3, 6]
    assert series.overall["threshold"][0] == 2.0
    risk = series.by_group["R_mag"], series.by_group["R_dir"], series.by_group["R_clip"]
    for mag, direction, clip in zip(*(line[1] for line in risk), strict=True):
        assert mag + direction == pytest.approx(clip, abs=1e-12)
    # what is recorded at step 0 is the loss at the first parameters
    moved = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        for p, value in zip(model.parameters(), before, strict=True):
            p.copy_(value)
    part = split_by_group(x, y, groups, 2)[1]
    assert series.by_group["loss"][1][0] == group_gradient(model, per_record, part)[0]
    assert not torch.equal(moved[0], before[0])
