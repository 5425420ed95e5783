"""Models: built-in factories, any factory by dotted path, and flat vectors of parameters.

Pure library: a description of the data goes in (:class:`ModelInput`), a checked
:class:`torch.nn.Module` comes out. Training it is the business of
:mod:`equigrad.federation.party`.
"""

from equigrad.models import cnn, logistic, mlp, paper_cnn, text_cnn
from equigrad.models.base import MODELS, ModelFactory, ModelInput
from equigrad.models.build import build_model, resolve_factory
from equigrad.models.check import check_model
from equigrad.models.flat import (
    flatten,
    layer_sizes,
    load_flat,
    named_state,
    parameter_names,
    parameter_slices,
    vector_sha256,
)
from equigrad.models.modes import set_training_mode
from equigrad.models.randomness import private_rng, uses_global_rng

__all__ = [
    "MODELS",
    "ModelFactory",
    "ModelInput",
    "build_model",
    "check_model",
    "cnn",
    "flatten",
    "layer_sizes",
    "load_flat",
    "logistic",
    "mlp",
    "named_state",
    "paper_cnn",
    "parameter_names",
    "parameter_slices",
    "private_rng",
    "resolve_factory",
    "set_training_mode",
    "text_cnn",
    "uses_global_rng",
    "vector_sha256",
]
