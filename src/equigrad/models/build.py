"""From a name or a dotted path to a model with seeded initial weights."""

import importlib
from collections.abc import Mapping
from typing import Any, cast

from torch import nn

from equigrad._validate import known_options
from equigrad.errors import EquigradError, ModelError
from equigrad.models.base import MODELS, ModelFactory, ModelInput
from equigrad.models.randomness import private_rng

__all__ = ["build_model", "resolve_factory"]


def resolve_factory(factory: str) -> ModelFactory:
    """Return the factory of a built-in name or of ``package.module:callable``.

    Raises
    ------
    RegistryError
        If the name (without a colon) is no built-in one.
    ModelError
        If the module cannot be imported, or holds no such callable.
    """
    if ":" not in factory:
        return MODELS[factory]
    module_name, _, path = factory.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise ModelError(
            f"Expected a module {module_name!r} for the model {factory!r}, got "
            f"{type(error).__name__}: {error}. Install it, or set PYTHONPATH=. "
            "if it lies in this folder."
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise ModelError(
                f"Expected {path!r} in the module {module_name!r} for the model {factory!r}, got "
                f"no {part!r} there."
            )
        found = getattr(found, part)
    if not callable(found):
        raise ModelError(
            f"Expected a callable as the model {factory!r}, got {type(found).__name__}."
        )
    return cast("ModelFactory", found)


def build_model(
    factory: str, model_input: ModelInput, options: Mapping[str, Any], seed: int
) -> nn.Module:
    """Return a new model; equal arguments give equal initial weights.

    PyTorch's global generator is seeded for the factory and restored afterwards.

    Parameters
    ----------
    factory
        A name in :data:`MODELS`, or ``package.module:callable``.
    model_input
        What the factory is told about the data.
    options
        Keyword arguments of the factory.
    seed
        Seed of the initial weights, in ``[0, 2**64)``.

    Raises
    ------
    RegistryError, ConfigError
        If the factory or one of its options is unknown.
    ModelError
        If the factory cannot be found, fails, or returns something else than a module.
    """
    make = resolve_factory(factory)
    known_options(f"model {factory!r}", make, options)
    try:
        with private_rng(seed & (2**63 - 1)):
            model = make(model_input, **options)
    except EquigradError:
        raise
    except Exception as error:
        raise ModelError(
            f"Expected the factory {factory!r} to build a model, got {type(error).__name__}: "
            f"{error}"
        ) from error
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"Expected a torch.nn.Module from the factory {factory!r}, got {type(model).__name__}."
        )
    return model
