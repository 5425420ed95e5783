"""Whether Flower is here, and what to do where it is not."""

import importlib.util
import os
from typing import Final

from equigrad.errors import ConfigError

__all__ = ["need"]

_SETTINGS: Final = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Nothing is reported, looked up or installed while a run is under way."""


def need(extra: str, *packages: str) -> None:
    """Set Flower's environment, or say what is missing.

    Raises
    ------
    ConfigError
        If one of the packages is not installed.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"Expected {' and '.join(packages)} for this engine, {missing[0]} is not installed. "
            f"Install them: pip install 'equigrad[{extra}]'."
        )
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
