"""The moving average of a run's iterates: post-processing, so it costs no privacy.

Neighbour: :mod:`.trainer` feeds it after every step.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from equigrad._validate import in_range

__all__ = ["IterateAverage"]


class IterateAverage:
    """Exponential moving average of parameters, ``a <- d_t a + (1 - d_t) theta``.

    ``d_t = min(decay, (1 + t) / (10 + t))`` at the t-th update, so that a short run is not an
    average with its own beginning.

    Parameters
    ----------
    parameters
        The trained parameters by name; the average starts at their values.
    decay
        In [0, 1); about the last ``1/(1 - decay)`` steps count.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self.decay = float(in_range("average_decay", decay, 0, 1, right_open=True))
        self._parameters = dict(parameters)
        self._values = {name: p.detach().clone() for name, p in parameters.items()}
        self._updates = 0

    def update(self) -> None:
        """Take the parameters' present values in."""
        self._updates += 1
        decay = min(self.decay, (1 + self._updates) / (10 + self._updates))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self._values.values()), list(self._parameters.values()), 1 - decay
            )

    def values(self) -> dict[str, Tensor]:
        """Return the averages by parameter name."""
        return dict(self._values)

    def state(self) -> dict[str, object]:
        """Return the state for a checkpoint."""
        return {"updates": self._updates, "values": self._values}

    def load(self, state: Mapping[str, object]) -> None:
        """Take over what :meth:`state` returned."""
        self._updates = int(str(state["updates"]))
        values = state["values"]
        if isinstance(values, Mapping):
            for name, value in values.items():
                self._values[name].copy_(value)
