"""Small private runs, quick enough to be played many times."""

from typing import Any

from small_runs import small_config

from equigrad.federation.config.schema import RunConfig

PRIVACY: dict[str, Any] = {
    "unit": "record",
    "epsilon": 8.0,
    "delta": 1e-3,
    "options": {"clip": 1.0},
    "noise_multiplier": 2.0,
    "accountant": "rdp",
}
"""Noise is given and added up the quick way, so that no test waits for a search."""


def private_config(privacy: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
    """Return a private run of five parties on the wine data; ``privacy`` changes single keys."""
    return small_config(privacy=PRIVACY | (privacy or {}), **changes)
