"""From the words of a run file to a clipping rule, with errors that a run file's author can use."""

import inspect
from collections.abc import Mapping
from typing import Any

from equigrad._validate import known_options
from equigrad.errors import ConfigError
from equigrad.privacy.clipping import CLIPPING_RULES, ClippingRule

__all__ = ["make_rule"]


def make_rule(name: str, options: Mapping[str, Any]) -> ClippingRule:
    """Return a fresh clipping rule, not yet bound to a batch size.

    Raises
    ------
    ConfigError
        If there is no such rule or option (the nearest name is given), a setting without default
        is missing or one is impossible, or a setting breaks the privacy argument.
    """
    kind = CLIPPING_RULES[name]
    known_options(f"clipping rule {name!r}", kind, options)
    parameters = inspect.signature(kind).parameters.values()
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in options]
    if missing:
        raise ConfigError(
            f"Expected the settings {', '.join(missing)} of the clipping rule {name!r}, got none. "
            f"Set for example privacy.options = {{ {missing[0]} = 1.0 }}."
        )
    rule = kind(**options)
    if not rule.private:
        raise ConfigError(
            f"Expected settings of the clipping rule {name!r} under which its bound holds, got "
            f"{dict(options)!r}, which are for comparison with other code only. Remove them."
        )
    return rule
