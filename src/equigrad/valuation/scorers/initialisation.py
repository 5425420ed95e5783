"""Scores of models before training, which say little; neighbours: the scorers that refuse them.

At initialisation a gradient's norm follows the input's norm and finds wrong labels no better than
chance (Kirsch 2023, arXiv 2303.14753).
"""

from equigrad.errors import CheckpointError
from equigrad.valuation.base import Scorer
from equigrad.valuation.context import ScoringContext

__all__ = ["TrainedOnly"]


class TrainedOnly(Scorer):
    """Refuses checkpoints of step 0, unless ``allow_initialisation`` is set; then it warns.

    Checkpoints whose steps are unknown are taken as trained.
    """

    allow_initialisation: bool = False

    @property
    def refuses_start(self) -> bool:
        """Whether a checkpoint of step 0 is refused."""
        return not self.allow_initialisation

    def check(self, context: ScoringContext) -> None:
        """Refuse a checkpoint of step 0.

        Raises
        ------
        CheckpointError
            Unless it is allowed.
        """
        super().check(context)
        first = self._at_start(context)
        if first and self.refuses_start:
            raise CheckpointError(
                f"Expected trained models for the scorer {self.name!r}, got step 0 in checkpoint "
                f"{first[0]}. Take checkpoints from after some steps, or say "
                "allow_initialisation=True."
            )

    def warnings(self, context: ScoringContext) -> list[str]:
        """Return what scores at initialisation are worth."""
        found = super().warnings(context)
        if self._at_start(context):
            found.append(
                f"{self.name} looked at a model at initialisation, where it follows the input's "
                "norm and finds wrong labels no better than chance (arXiv 2303.14753)"
            )
        return found

    def _at_start(self, context: ScoringContext) -> list[int]:
        """Return the checkpoints of step 0 among those that are looked at."""
        source = self.source(context)
        steps = source.steps or ()
        return [i for i in self.chosen(len(source)) if steps and steps[i] == 0]
