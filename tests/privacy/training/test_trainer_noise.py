"""How much noise a step gets, in which form, and what dropout draws: each by its numbers."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from training_cases import flat, net, rows, trainer

from equigrad.privacy.noise import NoiseKey, batch_cap, normals
from equigrad.privacy.noise.grid import grid_step
from equigrad.privacy.training import poisson_rows
from equigrad.privacy.training.generators import isolated_torch_generator, seed_torch

CPU = torch.device("cpu")


class Chunks:
    """A diagnostic hook that keeps the sizes of the chunks."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def due(self, step: int) -> bool:
        return True

    def observe(self, grads: Any, weights: torch.Tensor, groups: torch.Tensor) -> None:
        self.sizes.append(grads.size)

    def close(self, step: int, model: nn.Module, **facts: Any) -> None:
        pass


@pytest.mark.parametrize("physical", [None, 16])
def test_secure_noise_makes_up_for_sums_in_float32(physical: int | None) -> None:
    run = trainer(
        net(torch.float32),
        rows(dtype=torch.float32),
        sampling_rate=1e-9,  # so the batch is empty, and the sum nothing but noise
        max_physical=physical,
    )
    size = sum(p.numel() for p in run.model.parameters())
    noise = run.releases.make(0).total.double().numpy()
    drawn = normals(NoiseKey.test(5).stream(0, "gradient"), size, double=True)
    cap = math.ceil(20 + 10 * math.sqrt(20))
    kappa = min(cap, physical or cap) * cap * 2.0**-23
    assert kappa > 1e-4  # far above what the comparison allows
    np.testing.assert_allclose(noise, 0.8 * 0.7 * (1 + kappa) * drawn, rtol=1e-6, atol=1e-7)
    plain = trainer(
        net(torch.float32), rows(dtype=torch.float32), sampling_rate=1e-9, secure_noise=False
    )
    noise = plain.releases.make(0).total.double().numpy()
    drawn = normals(NoiseKey.test(5).stream(0, "gradient"), size, double=False)
    np.testing.assert_allclose(noise, 0.8 * 0.7 * drawn, rtol=1e-6, atol=1e-7)


def test_an_outsized_batch_is_summed_in_smaller_parts() -> None:
    chunks = Chunks()
    run = trainer(public_batch_size=5, sampling_rate=1.0, diagnostics=chunks)
    run.step()
    cap = batch_cap(5.0)
    assert sum(chunks.sizes) == 120 > 4 * cap
    assert max(chunks.sizes) * 120 <= cap * cap  # rows of a sum times rows of the batch
    chunks.sizes.clear()
    fast = trainer(public_batch_size=5, sampling_rate=1.0, diagnostics=chunks, secure_noise=False)
    fast.step()
    assert chunks.sizes == [120]


@pytest.mark.parametrize("secure", [True, False])
def test_counts_get_the_form_of_the_gradient(secure: bool) -> None:
    run = trainer(rule="global-adapt", secure_noise=secure)
    report = run.step()
    places = np.asarray(report.noisy_counts) / grid_step(4.0)  # the case's noise on counts
    assert bool((places == np.rint(places)).all()) == secure


@pytest.mark.parametrize(("rule", "counts"), [("flat", 0), ("global-adapt", 1)])
def test_the_event_tells_how_many_numbers_were_rounded(rule: str, counts: int) -> None:
    size = sum(p.numel() for p in net().parameters())
    secure, fast = trainer(rule=rule), trainer(rule=rule, secure_noise=False)
    assert secure.event is not None
    assert fast.event is not None
    assert secure.event.noise_coordinates == size + counts
    assert fast.event.noise_coordinates == 0


def test_a_step_that_fails_after_its_counts_moves_no_state() -> None:
    calm, shaken = (trainer(rule="group-adaptive", max_physical=8) for _ in range(2))
    calm.train(3)
    shaken.train(1)
    before, take, left = shaken.rule.state(), shaken.rows.take, [0]
    chunks = math.ceil(len(poisson_rows(NoiseKey.test(5), 1, 120, 20 / 120)) / 8)
    assert chunks > 1  # else the first pass would be kept

    def failing(indices: torch.Tensor) -> Any:
        left[0] += 1
        if left[0] > chunks:  # in the second pass, after the rule took the counts
            raise MemoryError("once")
        return take(indices)

    object.__setattr__(shaken.rows, "take", failing)
    with pytest.raises(MemoryError):
        shaken.step()
    assert shaken.rule.state() == before
    object.__setattr__(shaken.rows, "take", take)
    shaken.train(2)
    assert torch.equal(flat(shaken.model), flat(calm.model))


def test_a_step_done_again_begins_with_the_state_of_the_first_try(tmp_path: Any) -> None:
    varied = {"clip": 1.5, "count_noise": 6.0}  # some rows above, some below: no constant state
    lost = trainer(rule="group-adaptive", rule_options=varied, checkpoint=tmp_path)
    lost.train(2)
    lost.step()
    lost.pause()
    model = net()
    again = type(lost).resume(
        tmp_path,
        model,
        torch.optim.SGD(model.parameters(), lr=0.5),
        nn.CrossEntropyLoss(),
        rows(),
    )
    with torch.no_grad():
        again.model[0].weight += 1e-4
    make, states, moved = again.releases.make, [], []

    def watched(nonce: int, observer: Any = None) -> Any:
        states.append(again.rule.state())
        made = make(nonce, observer)
        moved.append(again.rule.state())
        return made

    again.releases.make = watched  # type: ignore[method-assign]
    before = again.rule.state()
    assert not again.step().replayed
    assert states == [before, before]
    assert len({str(state) for state in moved}) == 2
    assert str(before) not in map(str, moved)


class Accelerator:
    """Stands in for a device's module: its generator is a number."""

    state = 7

    def manual_seed(self, seed: int) -> None:
        self.state = seed

    def get_rng_state(self, device: torch.device) -> int:
        return self.state

    def set_rng_state(self, state: int, device: torch.device) -> None:
        self.state = state


def test_the_devices_generator_follows_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    there, key, device = Accelerator(), NoiseKey.test(1), torch.device("meta")
    monkeypatch.setattr(torch, "get_device_module", lambda device: there)
    drawn = []
    for _ in range(2):
        with isolated_torch_generator(device):
            seed_torch(key, 3, 0, device)
            drawn.append((there.state, float(torch.rand((), device="cpu"))))
            seed_torch(key, 3, 1, device)
            drawn.append((there.state, float(torch.rand((), device="cpu"))))
    assert there.state == 7
    assert drawn[:2] == drawn[2:]
    assert len(set(drawn)) == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_dropout_on_a_gpu_follows_the_key() -> None:
    x, y, g = (t.cuda() for t in rows(dtype=torch.float32))
    runs = []
    for seed in (1, 2):
        torch.cuda.manual_seed(seed)
        runs.append(trainer(net(torch.float32, dropout=0.5).cuda(), (x, y, g.cpu())))
        before = torch.cuda.get_rng_state()
        runs[-1].train(4)
        assert torch.equal(before, torch.cuda.get_rng_state())
    torch.testing.assert_close(flat(runs[0].model), flat(runs[1].model), rtol=1e-4, atol=1e-4)
