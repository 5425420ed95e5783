"""Slopes with respect to inputs equal those of batches of one, layer by layer."""

import pytest
import torch
from slopes import norm_slopes, numbers, output_slopes
from torch import nn
from torch.func import functional_call, grad, vmap

from equigrad.errors import ModelError, NonFiniteScoreError
from equigrad.gradients import PerSamplePass
from equigrad.valuation import Visit
from equigrad.valuation.input_gradients import input_gradients, norm_gradients


class Attends(nn.Module):
    """One encoder layer over positions, then a linear map of their mean."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            4, 2, 8, dropout=0.0, activation="gelu", batch_first=True
        )
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.layer(x).mean(1))


class Recurs(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.GRU(3, 4, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


def table():
    return nn.Sequential(nn.Linear(4, 3))


def mlp():
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def conv():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.GroupNorm(2, 4),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 3, 2, stride=2, groups=1),
        nn.Flatten(),
        nn.Linear(3, 3),
    )


def normed():
    return nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Sigmoid(), nn.Linear(6, 3))


SHAPES = {
    table: (4,),
    mlp: (4,),
    conv: (2, 4, 4),
    normed: (4,),
    Attends: (5, 4),
    Recurs: (6, 3),
}
models = pytest.mark.parametrize("make", SHAPES, ids=lambda make: make.__name__.lower())


def made(make, n=7, seed=3):
    torch.manual_seed(seed)
    model = make().double().eval()
    return model, numbers(n, *SHAPES[make], seed=seed), torch.arange(n) % 3


def visit(model, x, y, loss=None, **options):
    return Visit(PerSamplePass(model, loss or nn.CrossEntropyLoss()), x, y, **options)


@models
@pytest.mark.parametrize("target", ["logit", "prob"])
def test_slopes_of_outputs_are_those_of_batches_of_one(make, target):
    model, x, y = made(make)
    got = input_gradients(visit(model, x, y), target)
    want = output_slopes(model, x, y, probabilities=target == "prob")
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


@models
def test_slopes_of_norms_are_those_of_batches_of_one(make):
    model, x, y = made(make)
    norms, slopes = norm_gradients(visit(model, x, y))
    its_norms, its_slopes = norm_slopes(model, nn.CrossEntropyLoss(), x, y)
    torch.testing.assert_close(norms, its_norms, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(slopes, its_slopes, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("make", [table, mlp, conv, normed], ids=lambda make: make.__name__)
def test_slopes_of_norms_are_those_of_vmap(make):
    model, x, y = made(make)
    parameters = dict(model.named_parameters())

    def loss(parameters, one, label):
        outputs = functional_call(model, parameters, (one[None],))
        return nn.functional.cross_entropy(outputs, label[None])

    def norm(one, label):
        gradients = grad(loss)(parameters, one, label)
        return sum(g.square().sum() for g in gradients.values()).sqrt()

    _, slopes = norm_gradients(visit(model, x, y))
    want = vmap(grad(norm))(x, y).detach()
    torch.testing.assert_close(slopes, want, rtol=1e-10, atol=1e-10)


def test_regression_has_slopes_of_norms():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    x, y = numbers(6, 4), numbers(6, 1, seed=9)
    _, slopes = norm_gradients(visit(model, x, y, nn.MSELoss()))
    _, want = norm_slopes(model, nn.MSELoss(), x, y)
    torch.testing.assert_close(slopes, want, rtol=1e-10, atol=1e-10)


def test_a_norm_of_zero_has_slope_zero():
    model = nn.Linear(2, 2).float()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[200.0, 0.0], [-200.0, 0.0]]))
        model.bias.zero_()
    x = torch.tensor([[1.0, 1.0], [0.01, 1.0]])
    norms, slopes = norm_gradients(visit(model, x, torch.zeros(2, dtype=torch.long)))
    assert norms[0] == 0
    assert norms[1] > 0
    assert (slopes[0] == 0).all()
    assert (slopes[1] != 0).any()


def test_a_model_blind_to_its_input_has_slope_zero():
    class Blind(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 3)

        def forward(self, x):
            return self.layer(torch.zeros_like(x))

    given = visit(Blind().double(), numbers(4, 2), torch.arange(4) % 3)
    assert (input_gradients(given) == 0).all()
    assert (norm_gradients(given)[1] == 0).all()


def test_an_input_that_the_model_changes_in_place_stays_as_it_was():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 3)).double()
    x, y = numbers(5, 3), torch.arange(5) % 3
    before = x.clone()
    given = visit(model, x, y)
    input_gradients(given)
    norm_gradients(given)
    assert torch.equal(x, before)


def test_parameters_get_no_gradient():
    model, x, y = made(mlp)
    given = visit(model, x, y)
    input_gradients(given)
    norm_gradients(given)
    assert all(p.grad is None for p in model.parameters())


def test_a_visit_computes_each_once_and_leaves_its_own_pass_valid():
    model, x, y = made(mlp)
    given = visit(model, x, y, gradients=True)
    first = given.grads
    assert input_gradients(given) is input_gradients(given)
    assert norm_gradients(given)[1] is norm_gradients(given)[1]
    assert first.dots({name: torch.ones_like(p) for name, p in model.named_parameters()}).shape
    torch.testing.assert_close(given.norms, norm_gradients(given)[0], rtol=1e-12, atol=0)


def test_a_batch_with_large_rows_is_taken_in_parts(monkeypatch):
    model, x, y = made(conv, n=11)
    _, whole = norm_gradients(visit(model, x, y))
    monkeypatch.setattr("equigrad.valuation.input_gradients._ROWS_BYTES", 1500)
    tables = {}
    _, parts = norm_gradients(visit(model, x, y, tables=tables))
    assert tables["pass with a graph"]._records in range(1, 8)
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("ask", [input_gradients, norm_gradients])
def test_token_ids_are_refused(ask):
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(5, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.table(x).mean(1))

    ids = torch.arange(6).reshape(2, 3) % 5
    with pytest.raises(ModelError, match="one floating-point input"):
        ask(visit(Words(), ids, torch.arange(2)))


def test_two_inputs_are_refused():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, a, b):
            return self.layer(a + b)

    both = numbers(2, 3), numbers(2, 3, seed=1)
    with pytest.raises(ModelError, match="2 inputs"):
        input_gradients(visit(Two().double(), both, torch.arange(2)))


@pytest.mark.parametrize("ask", [input_gradients, norm_gradients])
def test_what_is_not_finite_names_the_records(ask):
    model, x, y = made(mlp)
    x[4] = torch.inf
    with pytest.raises(NonFiniteScoreError, match="1 records of a batch, the first 14"):
        ask(visit(model, x, y, start=10))
