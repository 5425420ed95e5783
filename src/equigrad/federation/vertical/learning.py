"""A party's learner, from its name or factory in the run file.

Neighbour: ``party`` fits with it.
"""

import importlib
import inspect
from typing import Any

from equigrad._validate import known_options
from equigrad.assistance import LEARNERS, Learner, make_learner
from equigrad.errors import ConfigError, EquigradError, ModelError
from equigrad.federation.vertical.config.schema import LearnerConfig

__all__ = ["build_learner"]


def build_learner(config: LearnerConfig) -> Learner:
    """Return a new learner.

    Parameters
    ----------
    config
        A name in :data:`~equigrad.assistance.LEARNERS`, or ``package.module:factory`` whose result
        is a learner, a scikit-learn regressor or a PyTorch module; and its arguments.

    Raises
    ------
    RegistryError, ConfigError
        If the name or an option is unknown.
    ModelError
        If the factory cannot be imported, fails, or makes no learner.
    """
    if ":" not in config.name:
        kind = LEARNERS[config.name]
        known_options(f"learner {config.name!r}", kind, config.options)
        return make_learner(_made(config, kind))
    return make_learner(_made(config, _factory(config.name)))


def _made(config: LearnerConfig, factory: Any) -> Any:
    try:
        return factory(**config.options)
    except EquigradError:
        raise
    except Exception as error:
        raise ModelError(
            f"Expected the learner {config.name!r} to be made with the options "
            f"{config.options}, got {type(error).__name__}: {error}."
        ) from error


def _factory(name: str) -> Any:
    module_name, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise ModelError(
            f"Expected the learner {name!r} to be importable, got {type(error).__name__}: {error}. "
            "Install its module, or set PYTHONPATH=. if it lies in this folder."
        ) from error
    if not callable(found) or inspect.ismodule(found):
        raise ConfigError(f"Expected a callable as the learner {name!r}, got {found!r}.")
    return found
