"""The built-in factories: sizes, inputs they take and inputs they refuse."""

import pytest
import torch
from torch import nn

from equigrad.errors import ConfigError, ModelError
from equigrad.models import MODELS, ModelInput, build_model, check_model, layer_sizes

TABLE = ModelInput((7,), 3)
DIGITS = ModelInput((1, 8, 8), 10)
MNIST = ModelInput((1, 28, 28), 10)
CIFAR = ModelInput((3, 32, 32), 10)
TEXT = ModelInput((12,), 2, vocabulary=50)


@pytest.mark.parametrize(
    ("factory", "model_input", "options", "parameters"),
    [
        ("logistic", TABLE, {}, 7 * 3 + 3),
        ("logistic", TABLE, {"bias": False}, 7 * 3),
        ("logistic", DIGITS, {}, 64 * 10 + 10),
        ("mlp", MNIST, {"hidden": [48]}, 784 * 48 + 48 + 480 + 10),
        ("mlp", TABLE, {"hidden": [5, 4]}, 7 * 5 + 5 + 5 * 4 + 4 + 4 * 3 + 3),
        ("mlp", TABLE, {"hidden": []}, 7 * 3 + 3),
        ("cnn", DIGITS, {"channels": [2], "hidden": 3}, 20 + (2 * 16 * 3 + 3) + 40),
        ("paper-mnist-cnn", MNIST, {}, 104_242),
        ("paper-mnist-cnn", ModelInput((1, 32, 32), 10), {}, 104_242),
        ("paper-cifar-cnn", CIFAR, {}, 121_182),
        ("text-cnn", TEXT, {"embedding": 4, "kernels": 3, "widths": [2]}, 200 + 27 + 8),
    ],
)
def test_models_have_the_parameters_their_options_say(factory, model_input, options, parameters):
    model = build_model(factory, model_input, options, seed=0)
    assert sum(layer_sizes(model)) == parameters


@pytest.mark.parametrize("factory", MODELS.names())
def test_every_built_in_model_passes_the_check_on_data_it_is_for(factory):
    model_input = {"text-cnn": TEXT, "paper-mnist-cnn": MNIST, "paper-cifar-cnn": CIFAR}.get(
        factory, DIGITS
    )
    model = build_model(factory, model_input, {}, seed=3)
    assert check_model(model, model_input) == ()
    assert model(model_input.example(5)).shape == (5, model_input.outputs)


@pytest.mark.parametrize("size", [(4, 4), (8, 8), (9, 13), (28, 28)])
def test_the_cnn_takes_images_of_any_size_from_four_by_four(size):
    model_input = ModelInput((2, *size), 4)
    assert build_model("cnn", model_input, {}, 0)(model_input.example(3)).shape == (3, 4)


def test_activations_are_those_that_were_asked_for():
    model = build_model("mlp", TABLE, {"hidden": [4, 4], "activation": "tanh"}, 0)
    assert [type(m) for m in model if not isinstance(m, nn.Linear | nn.Flatten)] == [nn.Tanh] * 2


def test_small_mnist_images_are_padded_with_the_value_that_was_given():
    model = build_model("paper-mnist-cnn", MNIST, {"pad_value": -0.5}, 0)
    padded = model[0](torch.ones(1, 1, 28, 28))
    assert padded.shape == (1, 1, 32, 32)
    assert padded[0, 0, 0, 0] == -0.5
    assert padded[0, 0, 2, 2] == 1


def test_padding_tokens_embed_to_zero_and_are_never_trained():
    model = build_model("text-cnn", TEXT, {"dropout": 0.0}, 0)
    model(torch.zeros(2, 12, dtype=torch.int64)).sum().backward()
    assert not model.embedding.weight[0].any()
    assert not model.embedding.weight.grad[0].any()


@pytest.mark.parametrize(
    ("factory", "model_input", "remedy"),
    [
        ("cnn", TABLE, "Use 'mlp' for tables"),
        ("cnn", ModelInput((1, 3, 8), 2), "at least 4 x 4"),
        ("cnn", TEXT, "token ids"),
        ("paper-mnist-cnn", CIFAR, "Use 'cnn'"),
        ("paper-cifar-cnn", MNIST, "Use 'cnn'"),
        ("mlp", TEXT, "Use 'text-cnn'"),
        ("logistic", TEXT, "Use 'text-cnn'"),
        ("text-cnn", TABLE, "Use 'mlp' for tables"),
        ("text-cnn", ModelInput((4,), 2, vocabulary=9), "narrower convolutions"),
    ],
)
def test_data_that_a_model_is_not_for_is_refused_with_the_model_to_use(
    factory, model_input, remedy
):
    with pytest.raises(ModelError, match=remedy):
        build_model(factory, model_input, {}, 0)


@pytest.mark.parametrize(
    ("factory", "model_input", "options", "message"),
    [
        ("mlp", TABLE, {"hiden": [3]}, "Did you mean 'hidden'"),
        ("mlp", TABLE, {"hidden": [0]}, "hidden to be a whole number >= 1"),
        ("mlp", TABLE, {"activation": "swish"}, "relu, sigmoid"),
        ("mlp", TABLE, {"hidden": 5}, "hidden to be a list of whole numbers"),
        ("cnn", DIGITS, {"channels": [-1]}, "channels to be a whole number"),
        ("text-cnn", TEXT, {"dropout": 1.0}, r"dropout in \[0, 1\)"),
        ("text-cnn", TEXT, {"widths": []}, "widths between 1"),
        ("text-cnn", TEXT, {"widths": [0]}, "widths to be a whole number"),
    ],
)
def test_wrong_options_are_named(factory, model_input, options, message):
    with pytest.raises((ConfigError, ModelError), match=message):
        build_model(factory, model_input, options, 0)


@pytest.mark.parametrize("bad", [((), 2, 0), ((0,), 2, 0), ((3,), 0, 0), ((3,), 1, -1)])
def test_an_impossible_description_of_data_is_refused(bad):
    with pytest.raises(ModelError, match="record shape"):
        ModelInput(*bad)


def test_examples_are_of_the_kind_that_is_described():
    assert TABLE.example(4).dtype == torch.float32
    assert torch.equal(TABLE.example(4), TABLE.example(4))
    tokens = TEXT.example(4)
    assert tokens.dtype == torch.int64
    assert tokens.shape == (4, 12)
    assert 0 <= tokens.min() <= tokens.max() < 50
