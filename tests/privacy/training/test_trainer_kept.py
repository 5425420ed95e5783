"""Training on a secret selection of rows: what a run shows must not tell how many there are."""

import pytest
import torch
from torch import nn
from training_cases import flat, net, rows, trainer

from equigrad.errors import ConfigError, DataError
from equigrad.gradients.oracle import per_sample_oracle
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training import PrivateTrainer, paired_non_private, poisson_rows

N, L, LR, CLIP = 120, 20.0, 0.5, 0.7


def mask(seed=1, share=0.6):
    return torch.rand(N, generator=torch.Generator().manual_seed(seed)) < share


def trained(kept, data=None, **options):
    run = trainer(data=data, kept=kept, **options)
    run.train()
    return run


def test_the_steps_are_those_of_the_kept_rows_by_hand():
    kept = mask()
    run = trained(kept, noise_multiplier=0.0, secure_noise=False)
    model, key = net(), NoiseKey.test(5)
    x, y, _ = rows()
    for step in range(12):
        drawn = poisson_rows(key, step, N, L / N)
        chosen = drawn[kept[drawn]]
        grads = per_sample_oracle(model, nn.CrossEntropyLoss(), x[chosen], y[chosen])
        every = torch.cat([g.reshape(len(chosen), -1) for g in grads.values()], dim=1)
        weights = (CLIP / every.norm(dim=1)).clamp(max=1.0)
        update, start = weights @ every / L, 0
        with torch.no_grad():
            for p in model.parameters():
                p -= LR * update[start : start + p.numel()].view_as(p)
                start += p.numel()
    torch.testing.assert_close(flat(run.model), flat(model), rtol=1e-12, atol=1e-12)


def test_rows_that_take_no_part_do_not_matter():
    kept = mask()
    x, y, groups = rows()
    other = (torch.where(kept[:, None], x, -x), torch.where(kept, y, 2 - y), groups)
    assert torch.equal(flat(trained(kept).model), flat(trained(kept, other).model))
    more = kept.clone()
    more[int((~kept).nonzero()[0])] = True
    assert not torch.equal(flat(trained(kept).model), flat(trained(more).model))


@pytest.mark.parametrize("form", ["read-only array", "array", "tensor", "list"])
def test_any_form_of_mask_is_taken_and_copied(form):
    given = mask().numpy().copy()
    kept = {"tensor": torch.from_numpy(given), "list": given.tolist()}.get(form, given)
    given.setflags(write=form != "read-only array")
    run = trainer(kept=kept)
    if given.flags.writeable and form != "list":
        given[:] = ~given
    assert torch.equal(run.rows.kept, mask())


def test_all_rows_kept_is_no_selection():
    everything = torch.ones(N, dtype=torch.bool)
    assert torch.equal(flat(trained(everything).model), flat(trained(None).model))


@pytest.mark.parametrize("rule", ["flat", "auto-s", "quantile", "group-adaptive"])
def test_nothing_that_is_stated_depends_on_how_many_are_kept(rule):
    shares = [torch.zeros(N, dtype=torch.bool), mask(), torch.ones(N, dtype=torch.bool)]
    runs = [trained(kept, data=rows(), rule=rule) for kept in shares]
    for run in runs[:2]:
        assert run.settings == runs[2].settings
        assert run.events == runs[2].events
        assert run.epsilon == runs[2].epsilon


def test_an_empty_selection_trains_on_noise():
    nobody = torch.zeros(N, dtype=torch.bool)
    one, other = trained(nobody), trained(nobody, rows(seed=9))
    assert torch.equal(flat(one.model), flat(other.model))
    assert not torch.equal(flat(one.model), flat(net()))
    assert [event.steps for event in one.events] == [12]


def test_a_run_on_a_selection_is_resumed_and_knows_its_selection(tmp_path):
    kept = mask()
    first = trainer(kept=kept)
    first.train(5)
    first.save(tmp_path)
    first.pause()
    model = net()
    sgd = torch.optim.SGD(model.parameters(), lr=LR)
    again = PrivateTrainer.resume(
        tmp_path, model, sgd, nn.CrossEntropyLoss(), rows(), n_groups=2, kept=kept
    )
    again.train()
    assert torch.equal(flat(again.model), flat(trained(kept).model))
    second = trainer(kept=kept, model=net())
    second.train(5)
    second.save(tmp_path / "b")
    second.pause()
    model = net()
    sgd = torch.optim.SGD(model.parameters(), lr=LR)
    with pytest.warns(UserWarning, match="other rows"):
        PrivateTrainer.resume(
            tmp_path / "b", model, sgd, nn.CrossEntropyLoss(), rows(), n_groups=2, kept=~kept
        ).close()


def test_the_twin_without_privacy_learns_from_the_same_rows():
    kept = mask()
    x, y, groups = rows()
    other = (torch.where(kept[:, None], x, -x), y, groups)
    twins = [paired_non_private(trainer(data=data, kept=kept)) for data in (rows(), other)]
    for twin in twins:
        twin.train()
    assert torch.equal(flat(twins[0].model), flat(twins[1].model))


@pytest.mark.parametrize("kept", [torch.ones(3, dtype=torch.bool), torch.ones(N), [1] * N])
def test_a_mask_is_one_truth_value_per_row(kept):
    with pytest.raises(DataError, match="one truth value per row"):
        trainer(kept=kept)


def test_batches_of_a_selection_are_not_cut():
    with pytest.raises(ConfigError, match="without max_logical_batch"):
        trainer(kept=mask(), max_logical_batch=10)
