"""Norms and products of gradients against slow, obvious ones: batches of one, written out."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from valuation_helpers import gradient_rows, numbers, small_records, small_trajectory, values_of

from equigrad.errors import ConfigError, NeedsError
from equigrad.valuation import PrivateSteps, make_scorer, score, validation_matrix

RATES = (0.5, 0.3, 0.2)


def mlp(last=3):
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, last)).double()


class Words(nn.Module):
    """Embedding, attention, layer norm, linear; tokens in."""

    def __init__(self):
        super().__init__()
        self.table, self.norm = nn.Embedding(9, 4), nn.LayerNorm(4)
        self.attend, self.last = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 3)

    def forward(self, tokens):
        h = self.norm(self.table(tokens))
        return self.last((h + self.attend(h, h, h, need_weights=False)[0]).mean(1))


def tokens(n, seed):
    return torch.randint(9, (n, 5), generator=torch.Generator().manual_seed(seed))


CNN = nn.Sequential(
    nn.Conv2d(2, 3, 3, stride=2, padding=1),
    nn.Tanh(),
    nn.GroupNorm(1, 3),
    nn.Conv2d(3, 4, 2),
    nn.Flatten(),
    nn.Linear(4, 3),
)
KINDS = {
    "linear": (nn.Sequential(nn.Linear(4, 3)), lambda n, s: numbers(n, 4, seed=s)),
    "mlp": (mlp(), lambda n, s: numbers(n, 4, seed=s)),
    "conv": (CNN, lambda n, s: numbers(n, 2, 4, 4, seed=s)),
    "words": (Words(), tokens),
}


@pytest.fixture(params=KINDS)
def scene(request):
    """Return a trajectory, records, validation records, and all their gradients ``(T, ., P)``."""
    model, inputs = KINDS[request.param]
    trajectory = small_trajectory(3, model=model.double(), learning_rates=RATES)
    records = inputs(7, 1), small_records(7, seed=2)[1]
    others = inputs(4, 3), small_records(4, seed=4)[1]
    rows, other_rows = (
        torch.stack([gradient_rows(trajectory, t, part) for t in range(3)])
        for part in (records, others)
    )
    return trajectory, records, others, rows, other_rows


def test_norms_and_products_equal_batches_of_one(scene):
    trajectory, records, others, rows, other_rows = scene
    norms = rows.norm(dim=2)
    rates = torch.tensor(RATES, dtype=torch.float64)
    products = rows @ other_rows.mT
    cosines = products / (norms[:, :, None] * other_rows.norm(dim=2)[:, None])
    clip = float(norms.median())
    left, right = (
        (clip / part.norm(dim=2)).clamp(max=1)[..., None] * part for part in (rows, other_rows)
    )
    want = {
        "grad-norm": norms[-1],
        "grad-norm-mean": norms.mean(0),
        f"grad-norm-mean(clip={clip})": norms.clamp(max=clip).mean(0),
        "tracin-self": rates @ norms.square(),
        f"tracin-self(clip={clip})": rates @ norms.clamp(max=clip).square(),
        "tracin": torch.einsum("t,tij->i", rates, products) / 4,
        f"tracin(clipped=True, clip={clip})": torch.einsum("t,tij->i", rates, left @ right.mT) / 4,
        "grad-dot": products[-1].mean(1),
        "grad-cos": cosines[-1].mean(1),
    }
    scorers = [
        make_scorer(label.partition("(")[0], **({"clip": clip} if "clip" in label else {}))
        for label in want
    ]
    found = score(
        trajectory, records, scorers, view="local", validation=others, batch_size=3, assess=False
    )
    assert list(found) == list(want)
    for label, expected in want.items():
        scale = float(expected.abs().max())
        np.testing.assert_allclose(
            found[label].values, expected.numpy(), rtol=1e-10, atol=1e-10 * scale, err_msg=label
        )


@pytest.mark.parametrize("batch_size", [2, 100])
def test_the_matrix_holds_every_product_apart(scene, batch_size):
    trajectory, records, others, rows, other_rows = scene
    products = rows @ other_rows.mT
    want = torch.einsum("t,tij->ij", torch.tensor(RATES, dtype=torch.float64), products)
    got = validation_matrix(trajectory, records, others, view="local", batch_size=batch_size)
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-10, atol=1e-10 * float(want.abs().max()))


# PyTorch compiles some of its forward-mode formulas with what it itself has deprecated.
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", ["linear", "mlp", "conv"])
def test_products_equal_forward_mode(kind):
    """A second opinion: the derivative of each loss along the mean validation gradient."""
    model, inputs = KINDS[kind]
    trajectory = small_trajectory(1, model=model.double())
    records, others = ((inputs(n, n), small_records(n)[1]) for n in (7, 4))
    got = values_of(trajectory, records, "grad-dot", validation=others)
    model.load_state_dict(trajectory.states[0])
    mean = nn.functional.cross_entropy(model(others[0]), others[1])
    names = dict(model.named_parameters())
    along = dict(zip(names, torch.autograd.grad(mean, list(names.values())), strict=True))

    with torch.no_grad(), forward_ad.dual_level():
        pairs = {name: forward_ad.make_dual(p, along[name]) for name, p in names.items()}
        logits = torch.func.functional_call(model, pairs, (records[0],))
        losses = nn.functional.cross_entropy(logits, records[1], reduction="none")
        want = forward_ad.unpack_dual(losses).tangent
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-9, atol=1e-12)


def test_a_positive_score_lowers_the_validation_loss():
    trajectory = small_trajectory(1, model=mlp(), learning_rates=(1e-6,))
    records, others = small_records(6), small_records(5, seed=9)
    got = values_of(trajectory, records, "tracin", validation=others)
    model, state = trajectory.model, trajectory.states[0]
    for i in range(6):
        model.load_state_dict(state)
        before = nn.functional.cross_entropy(model(others[0]), others[1])
        loss = nn.functional.cross_entropy(model(records[0][i : i + 1]), records[1][i : i + 1])
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter -= 1e-6 * gradient
            after = nn.functional.cross_entropy(model(others[0]), others[1])
        assert float((before - after).detach()) == pytest.approx(got[i], rel=1e-3, abs=1e-12)


def test_equal_work_over_the_validation_set_is_done_once():
    calls = []
    model = mlp()
    trajectory = small_trajectory(3, model=model, learning_rates=RATES)
    others = small_records(5, seed=9)
    model.register_forward_pre_hook(lambda _, args: calls.append(torch.equal(args[0], others[0])))

    def passes(*scorers):
        calls.clear()
        options = {"view": "local", "validation": others, "assess": False}
        score(trajectory, small_records(6), list(scorers), **options)
        return sum(calls)

    alone = passes("tracin")
    assert alone > 0
    assert passes("tracin", "grad-dot") == alone
    assert passes("tracin", make_scorer("tracin", clip=1.0)) > alone


@pytest.mark.parametrize("name", ["tracin", "tracin-self"])
@pytest.mark.parametrize("optimizer", ["Adam", "adamw", "RAdam", "SGD", None])
def test_checkpoints_of_adam_are_warned_of(name, optimizer):
    trajectory = small_trajectory(3, learning_rates=RATES, optimizer=optimizer)
    records = small_records(6)
    found = score(trajectory, records, [name], view="local", validation=records, assess=False)
    warned = bool(optimizer) and "adam" in optimizer.lower()
    assert any(str(optimizer) in text for text in found[name].warnings) == warned
    assert len(found[name].warnings) == warned


def test_clipping_takes_the_bound_of_the_private_training():
    steps = PrivateSteps(clip=0.4, noise_multiplier=1.0, steps=3, delta=1e-5)
    records, others = small_records(6), small_records(4, seed=9)
    bare = small_trajectory(3, learning_rates=RATES)
    private = small_trajectory(3, learning_rates=RATES, private_steps=steps)
    clipped = make_scorer("tracin", clipped=True)
    got = values_of(private, records, clipped, validation=others)
    want = values_of(bare, records, make_scorer("tracin", clip=0.4), validation=others)
    np.testing.assert_array_equal(got, want)
    assert clipped.bounds(private) == pytest.approx((-0.16, 0.16))
    with pytest.raises(NeedsError, match="Give clip="):
        values_of(bare, records, clipped, validation=others)


@pytest.mark.parametrize("name", ["grad-norm", "grad-norm-mean", "grand", "tracin-self", "tracin"])
@pytest.mark.parametrize("clip", [0.0, -1.0, math.inf, math.nan, "1"])
def test_a_clip_bound_is_a_positive_number(name, clip):
    with pytest.raises(ConfigError, match="clip"):
        make_scorer(name, clip=clip)


def test_ranges():
    trajectory = small_trajectory(3, learning_rates=RATES)
    for name, options, want in [
        ("el2n", {}, (0, math.sqrt(2))),
        ("el1", {}, (0, 2)),
        ("grad-norm", {}, (0, math.inf)),
        ("grad-norm", {"clip": 2.0}, (0, 2)),
        ("grand", {"clip": 2.0}, (0, 2)),
        ("forgetting", {}, (0, 1)),
        ("tracin-self", {}, (0, math.inf)),
        ("tracin-self", {"clip": 2.0}, (0, 4)),
        ("tracin", {"clip": 2.0}, (-4, 4)),
        ("grad-cos", {}, (-1, 1)),
    ]:
        assert make_scorer(name, **options).bounds(trajectory) == pytest.approx(want), name
    assert make_scorer("tracin").bounds(trajectory) is None
    assert make_scorer("grad-dot").bounds(trajectory) is None


def test_gradients_of_length_zero_have_no_direction():
    trajectory = small_trajectory(1)
    trajectory.states[0]["0.weight"].mul_(1e5)
    x, _ = small_records(6)
    trajectory.model.load_state_dict(trajectory.states[0])
    sure = trajectory.model(x).argmax(1)
    for records, others in (((x, sure), (x, 2 - sure)), ((x, 2 - sure), (x, sure))):
        got = values_of(trajectory, records, "grad-cos", validation=others)
        assert np.isfinite(got).all()
        zero = values_of(trajectory, records, "grad-norm") == 0
        assert (got[zero] == 0).all()
    assert (values_of(trajectory, (x, sure), "grad-norm") == 0).any()


@pytest.mark.parametrize("targets", [1, 2])
def test_regression_is_scored_by_loss_norm_and_products(targets):
    model = mlp(targets)
    trajectory = small_trajectory(3, model=model, loss=nn.MSELoss(), learning_rates=RATES)
    records, others = ((numbers(n, 4, seed=n), numbers(n, targets, seed=n + 1)) for n in (7, 4))
    names = ["loss", "loss-mean", "grad-norm", "tracin", "tracin-self", "grad-dot", "grad-cos"]
    found = score(trajectory, records, names, view="local", validation=others, batch_size=3)
    rows = gradient_rows(trajectory, 2, records)
    np.testing.assert_allclose(found["grad-norm"].values, rows.norm(dim=1).numpy(), rtol=1e-10)
    other = gradient_rows(trajectory, 2, others).mean(0)
    np.testing.assert_allclose(found["grad-dot"].values, (rows @ other).numpy(), rtol=1e-9)
    losses = (model(records[0]) - records[1]).square().mean(1)
    np.testing.assert_allclose(found["loss"].values, losses.detach().numpy(), rtol=1e-12)


def test_the_matrix_is_for_comparisons_that_stay_at_home():
    records = small_records(6)
    with pytest.raises(ConfigError, match="compares records with a validation set"):
        validation_matrix(small_trajectory(), records, records, "loss", view="local")
    with pytest.raises(NeedsError, match="learning rate"):
        validation_matrix(small_trajectory(), records, records, "tracin", view="local")
