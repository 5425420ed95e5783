"""Private steps against a slow oracle: rows one by one, formulas written out, float64."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from training_cases import RULES, flat, net, rows, trainer

from equigrad.gradients.oracle import per_sample_oracle
from equigrad.privacy.clipping import CLIPPING_RULES
from equigrad.privacy.noise import NoiseKey, normals
from equigrad.privacy.training import poisson_rows

L, N, SIGMA, LR = 20.0, 120, 0.8, 0.5


class Oracle:
    """One private run by hand, with the key of test seed 5 and fast noise."""

    def __init__(self, name: str, options: dict[str, float]) -> None:
        self.name, self.o = name, options
        self.key = NoiseKey.test(5)
        self.model = net()
        self.x, self.y, self.g = rows()
        self.clip = options["clip"]
        self.threshold = options.get("threshold", 50.0)

    def noise(self, step: int, stream: str, count: int) -> np.ndarray:
        return normals(self.key.stream(step, stream), count, double=True)

    def step(self, step: int) -> None:
        drawn = self.key.uniform(step, "sample", N) < L / N
        chosen = torch.from_numpy(np.flatnonzero(drawn))
        loss = nn.CrossEntropyLoss()
        grads = per_sample_oracle(self.model, loss, self.x[chosen], self.y[chosen])
        rows_ = torch.cat([g.reshape(len(chosen), -1) for g in grads.values()], dim=1).numpy()
        norms = np.linalg.norm(rows_, axis=1)
        weights, bound, after = self.weigh(step, norms, self.g[chosen].numpy())
        noise = self.noise(step, "gradient", rows_.shape[1]) * SIGMA * bound
        update = (weights @ rows_ + noise) / L
        with torch.no_grad():
            start = 0
            for p in self.model.parameters():
                part = update[start : start + p.numel()]
                p -= LR * torch.from_numpy(part).view_as(p)
                start += p.numel()
        after()

    def weigh(self, step, n, groups):
        c, z, o = self.clip, self.threshold, self.o
        nothing = lambda: None  # noqa: E731
        if self.name == "flat":
            return np.minimum(1, c / n), c, nothing
        if self.name == "global":
            return np.where(n <= z, c / z, 0), c, nothing
        if self.name == "auto-s":
            return c / (n + 0.01), c, nothing
        if self.name == "auto-v":
            return c / n, c, nothing
        if self.name == "global-adapt":
            count = float(np.sum((n > 0.7 * z) - 0.5))
            f = (count + o["count_noise"] * self.noise(step, "counts", 1)[0]) / L + 0.5

            def adapt() -> None:
                self.threshold = min(max(z * math.exp(f - 0.1), c), 100 * o["threshold"])

            return c / np.maximum(n, z), c, adapt
        if self.name == "quantile":
            count = float(np.sum((n <= c) - 0.5))
            f = (count + o["count_noise"] * self.noise(step, "counts", 1)[0]) / L + 0.5

            def follow() -> None:
                self.clip = c * math.exp(-0.2 * (f - 0.5))

            return np.minimum(1, c / n), c, follow
        assert self.name == "group-adaptive"
        over = np.array([np.sum((n > c) & (groups == k)) for k in (0, 1)], dtype=float)
        under = np.array([np.sum((n <= c) & (groups == k)) for k in (0, 1)], dtype=float)
        noisy = np.concatenate([over, under]) + o["count_noise"] * self.noise(step, "counts", 4)
        m, q = np.maximum(np.floor(noisy), 0).reshape(2, 2)
        b = m + q
        r_k = np.where(b > 0, m / np.where(b > 0, b, 1), 1.0)
        r = m.sum() / b.sum()
        bounds = np.minimum(c * (1 + r_k / r), 10 * c) if r > 0 else np.where(r_k, 10 * c, c)
        return np.minimum(1, bounds[groups] / n), bounds.max(), nothing


BY_HAND = sorted(set(RULES) - {"group-global-adapt", "group-scaled"})


@pytest.mark.parametrize("name", BY_HAND)
def test_steps_equal_the_oracle(name: str) -> None:
    oracle = Oracle(name, RULES[name])
    run = trainer(rule=name, secure_noise=False)
    for step in range(8):
        oracle.step(step)
        run.step()
    torch.testing.assert_close(flat(run.model), flat(oracle.model), rtol=1e-9, atol=1e-9)


def test_every_registered_rule_has_a_case() -> None:
    assert set(CLIPPING_RULES.names()) <= set(RULES)


@pytest.mark.parametrize("name", sorted(RULES))
@pytest.mark.parametrize("secure", [False, True])
def test_physical_chunks_change_nothing(name: str, secure: bool) -> None:
    whole = trainer(rule=name, secure_noise=secure)
    split = trainer(rule=name, secure_noise=secure, max_physical=4)
    whole.train()
    split.train()
    for key, value in whole.rule.state().items():
        assert split.rule.state()[key] == pytest.approx(value, rel=1e-9)
    # Secure noise is enlarged by a bound on rounding, which depends on the rows in one sum.
    close = 1e-3 if secure else 1e-9
    torch.testing.assert_close(flat(whole.model), flat(split.model), rtol=close, atol=close)


@pytest.mark.parametrize("name", sorted(RULES))
def test_secure_noise_follows_the_fast_run(name: str) -> None:
    fast = trainer(rule=name, secure_noise=False)
    secure = trainer(rule=name)
    fast.train()
    secure.train()
    # float64 models draw 64-bit noise in both forms: the same numbers, but for grid and bound.
    torch.testing.assert_close(flat(fast.model), flat(secure.model), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("secure", [False, True])
def test_noise_drawn_ahead_is_the_noise_of_the_step(
    secure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("equigrad.privacy.training.release._PREFETCH_FROM", 10**9)
    inline = trainer(secure_noise=secure)
    monkeypatch.setattr("equigrad.privacy.training.release._PREFETCH_FROM", 0)
    monkeypatch.setattr("equigrad.privacy.training.release._spare_core", lambda device: True)
    ahead = trainer(secure_noise=secure)
    inline.train()
    ahead.train()
    ahead.close()
    assert torch.equal(flat(inline.model), flat(ahead.model))


def test_the_sum_is_divided_by_the_public_size_not_by_the_batch() -> None:
    run = trainer(noise_multiplier=0.0, rule_options={"clip": 1e9}, optimizer=None)
    before = flat(run.model).clone()
    run.step()
    chosen = poisson_rows(NoiseKey.test(5), 0, N, L / N)
    assert len(chosen) != L  # or the test would show nothing
    x, y, _ = rows()
    model = net()
    (nn.functional.cross_entropy(model(x[chosen]), y[chosen], reduction="sum") / L).backward()
    expected = torch.cat([p.grad.reshape(-1) for p in model.parameters()])
    torch.testing.assert_close(before - flat(run.model), LR * expected)


def test_an_empty_batch_is_a_step_with_noise() -> None:
    x, y, _ = rows(3)
    run = trainer(data=(x, y), public_batch_size=1e-6, n_groups=..., rule="global-adapt")
    before = flat(run.model).clone()
    report = run.step()
    assert poisson_rows(NoiseKey.test(5), 0, 3, run.settings.sampling_rate).numel() == 0
    assert report.charged == 1
    assert not torch.equal(before, flat(run.model))
    assert len(report.noisy_counts) == 1


@pytest.mark.filterwarnings("ignore:Expected to hold the records' gradients:RuntimeWarning")
def test_non_finite_rows_add_nothing() -> None:
    x, y, g = rows()

    class Edgy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net()

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            out = self.inner(inputs)
            return torch.where(inputs[:, :1] > 1.5, out * float("nan"), out)

    with_bad = trainer(Edgy(), (x, y, g), check_data=False, secure_noise=False, test_seed=6)
    with_bad.train(6)
    assert bool((x[:, 0] > 1.5).any())
    assert bool(torch.isfinite(flat(with_bad.model)).all())


@pytest.mark.parametrize("form", ["tuple", "dict", "dataset"])
def test_forms_of_data_give_one_run(form: str) -> None:
    x, y, g = rows()

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net()

        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return self.inner(torch.cat([left, right], 1))

    class Items(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(y)

        def __getitem__(self, i: int):
            return x[i], int(y[i]), int(g[i])

    plain = trainer(rule="group-adaptive")
    if form == "dataset":
        other = trainer(net(), Items(), rule="group-adaptive")
    else:
        parts = (x[:, :2], x[:, 2:])
        inputs = parts if form == "tuple" else dict(zip(("left", "right"), parts, strict=True))
        other = trainer(Wrapped(), (inputs, y, g), rule="group-adaptive")
    plain.train()
    other.train()
    torch.testing.assert_close(flat(plain.model), flat(other.model), rtol=1e-9, atol=1e-9)


def test_frozen_parameters_stay_and_add_no_noise() -> None:
    model = net()
    model[0].weight.requires_grad_(False)
    kept = model[0].weight.clone()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    run = trainer(model, optimizer=optimizer)
    run.train()
    assert torch.equal(kept, model[0].weight)
    assert model[0].weight.grad is None


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "RMSprop", "Adagrad", "NAdam"])
def test_any_first_order_optimizer_gets_the_noisy_gradient(kind: str) -> None:
    model = net()
    run = trainer(model, optimizer=getattr(torch.optim, kind)(model.parameters(), lr=0.01))
    before = flat(model).clone()
    run.train()
    assert not torch.equal(before, flat(model))
    assert all(p.grad is None for p in model.parameters())


def test_global_generators_are_left_alone() -> None:
    run = trainer(net(dropout=0.5))
    torch_state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is the subject
    run.train()
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002


def test_dropout_follows_from_the_key() -> None:
    first, second = trainer(net(dropout=0.5)), trainer(net(dropout=0.5))
    torch.manual_seed(1)
    first.train()
    torch.manual_seed(2)
    second.train()
    assert torch.equal(flat(first.model), flat(second.model))
