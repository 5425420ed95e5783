"""The groups that a clipping rule goes by: the label, or a sensitive attribute.

Which groups there are is declared once for all parties, present at a party or not: what a party
lacks must not show in the noise that it draws.
"""

from collections.abc import Mapping

import numpy as np
import torch

from equigrad.data import Dataset
from equigrad.errors import ConfigError
from equigrad.federation.private.plan import Groups

__all__ = ["declared_groups", "group_numbers"]


def declared_groups(attribute: str, parties: Mapping[str, Dataset], test: Dataset) -> Groups:
    """Return the groups of a run: the classes, or the values of a sensitive attribute.

    The values are taken from all parties' records and the test records together; who publishes
    the run file publishes them.

    Raises
    ------
    ConfigError
        If there is no such attribute, or the label is no class.
    """
    if attribute == "label":
        if not test.classes:
            raise ConfigError(
                'Expected classes with privacy.groups = "label", got a regression. Name a '
                "sensitive attribute, or choose another clipping rule."
            )
        return Groups("label", tuple(test.classes))
    known = sorted(set(test.sensitive).intersection(*(d.sensitive for d in parties.values())))
    if attribute not in known:
        raise ConfigError(
            f'Expected privacy.groups to be "label" or a sensitive attribute '
            f"({', '.join(known) or 'none here'}), got {attribute!r}."
        )
    values = {str(v) for d in (*parties.values(), test) for v in np.unique(d.sensitive[attribute])}
    return Groups(attribute, tuple(sorted(values)))


def group_numbers(groups: Groups, records: Dataset) -> torch.Tensor:
    """Return ``(n,) int64``, each record's place in ``groups.names``."""
    if groups.attribute == "label":
        return torch.from_numpy(np.array(records.labels, dtype=np.int64))
    values = records.sensitive[groups.attribute].astype(str)
    return torch.from_numpy(np.searchsorted(np.array(groups.names), values).astype(np.int64))
