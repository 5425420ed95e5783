"""Names and dotted paths, seeds, and what happens when a factory misbehaves."""

import sys
import types

import pytest
import torch
from torch import nn

from equigrad.errors import ConfigError, ModelError, RegistryError
from equigrad.models import ModelInput, build_model, flatten, resolve_factory
from equigrad.models.mlp import mlp

TABLE = ModelInput((4,), 2)


class Factories:
    @staticmethod
    def linear(model_input, *, bias=True):
        return nn.Linear(model_input.size, model_input.outputs, bias=bias)


@pytest.fixture
def factories(monkeypatch):
    module = types.ModuleType("models_of_ours")
    module.Factories = Factories
    module.linear = Factories.linear
    module.number = 3
    module.nothing = lambda model_input: None
    module.broken = lambda model_input: nn.Linear(model_input.colour, 1)
    module.anything = lambda model_input, **options: nn.Linear(4, options["width"])
    monkeypatch.setitem(sys.modules, "models_of_ours", module)


def test_equal_seeds_give_equal_weights_and_others_do_not():
    first, again, other = (flatten(build_model("mlp", TABLE, {}, seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_global_generator_is_left_as_it_was():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    build_model("mlp", TABLE, {}, 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_global_generator_does_not_change_the_weights():
    torch.manual_seed(5)
    one = flatten(build_model("mlp", TABLE, {}, 1))
    torch.manual_seed(6)
    assert torch.equal(flatten(build_model("mlp", TABLE, {}, 1)), one)


def test_seeds_may_have_all_64_bits():
    assert flatten(build_model("mlp", TABLE, {}, 2**64 - 1)).isfinite().all()


def test_a_built_in_name_is_looked_up():
    assert resolve_factory("mlp") is mlp
    with pytest.raises(RegistryError, match="Did you mean 'mlp'"):
        resolve_factory("mpl")


@pytest.mark.parametrize("path", ["models_of_ours:linear", "models_of_ours:Factories.linear"])
def test_a_dotted_path_is_called_with_the_description_and_the_options(factories, path):
    model = build_model(path, TABLE, {"bias": False}, 0)
    assert [p.shape for p in model.parameters()] == [(2, 4)]


def test_a_factory_with_free_options_takes_them(factories):
    assert build_model("models_of_ours:anything", TABLE, {"width": 2}, 0).out_features == 2


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_module_anywhere:make", "Expected a module 'no_such_module_anywhere'"),
        ("models_of_ours:make", "no 'make' there"),
        ("models_of_ours:", "no '' there"),
        (":make", "Expected a module ''"),
        ("models_of_ours:number", "Expected a callable"),
        ("models_of_ours:nothing", "Expected a torch.nn.Module .* got NoneType"),
        ("models_of_ours:broken", "AttributeError.*colour"),
    ],
)
def test_a_factory_that_cannot_be_used_is_one_clear_error(factories, path, message):
    with pytest.raises(ModelError, match=message):
        build_model(path, TABLE, {}, 0)


def test_an_unknown_option_of_a_users_factory_is_named(factories):
    with pytest.raises(ConfigError, match="Did you mean 'bias'"):
        build_model("models_of_ours:linear", TABLE, {"bais": False}, 0)


def test_a_module_that_fails_on_import_is_reported(tmp_path, monkeypatch):
    (tmp_path / "fails_on_import.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match="ZeroDivisionError"):
        build_model("fails_on_import:make", TABLE, {}, 0)
