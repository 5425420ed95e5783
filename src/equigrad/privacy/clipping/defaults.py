"""The options that a clipping rule gets where whoever names it leaves some out.

Neighbours: ``base`` has the registry; doors that take a rule by its name ask here.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from equigrad.privacy.clipping.base import CLIPPING_RULES

__all__ = ["with_default_clip"]

_DEFAULT_CLIP: Final = 1.0


def with_default_clip(name: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a rule's options, with ``clip`` = 1 if the rule needs a bound and none is given.

    1 is a number chosen beforehand, so it tells nothing of the records; what bound suits a model
    depends on the length of its gradients.

    Parameters
    ----------
    name
        A name in :data:`CLIPPING_RULES`.
    options
        What is given; it comes first.

    Raises
    ------
    RegistryError
        If there is no such rule.
    """
    needed: Callable[..., Any] = CLIPPING_RULES[name]
    clip = inspect.signature(needed).parameters.get("clip")
    missing = clip is not None and clip.default is clip.empty
    return {**({"clip": _DEFAULT_CLIP} if missing else {}), **(options or {})}
