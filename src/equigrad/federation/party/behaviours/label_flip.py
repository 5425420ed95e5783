"""``label-flip``: trains on labels that it changed on purpose."""

from typing import ClassVar

import torch

from equigrad._validate import positive_int
from equigrad.errors import ConfigError
from equigrad.federation.party.behaviours.base import BEHAVIOURS
from equigrad.federation.party.behaviours.honest import Honest

__all__ = ["LabelFlip"]


@BEHAVIOURS.register("label-flip")
class LabelFlip(Honest):
    """Trains on its records with every label of one class changed to another (RFFL's list).

    Parameters
    ----------
    source, target
        Numbers of two different classes: what is changed, and into what.
    """

    name: ClassVar[str] = "label-flip"

    def __init__(self, source: int = 1, target: int = 7) -> None:
        self.source = positive_int("source", source, least=0)
        self.target = positive_int("target", target, least=0)
        if source == target:
            raise ConfigError(f"Expected two different classes, got source=target={source!r}.")

    def labels(self, labels: torch.Tensor, classes: int) -> torch.Tensor:
        """Return changed labels; see :meth:`Behaviour.labels`."""
        if max(self.source, self.target) >= classes:
            raise ConfigError(
                f"Expected source and target below the number of classes ({classes}), got "
                f"source={self.source} and target={self.target}. The behaviour 'label-flip' is "
                "for classification."
            )
        return labels.masked_fill(labels == self.source, self.target)
