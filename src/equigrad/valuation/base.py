"""The contract of every scorer, and the registry of the scorers.

A scorer gives each record one number, computed from a training trajectory. How records and
checkpoints are visited is the business of :mod:`.sweep`; what one visit can tell is in
:mod:`.visit`; what becomes of the numbers in :mod:`.scores`. The other rooms import this module
and the registry; the scorers live in :mod:`equigrad.valuation.scorers`, one file each family.
"""

from abc import ABC, abstractmethod
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from equigrad.errors import CheckpointError, NeedsError
from equigrad.registry import Registry

if TYPE_CHECKING:
    from equigrad.gradients import PerSamplePass
    from equigrad.valuation.context import ScoringContext
    from equigrad.valuation.trajectory import Trajectory
    from equigrad.valuation.visit import Visit

__all__ = [
    "LOCALITIES",
    "ORIENTATIONS",
    "SCORERS",
    "Bounds",
    "Float64",
    "Locality",
    "Orientation",
    "Scorer",
    "State",
    "StreamedScorer",
    "WholeScorer",
    "make_scorer",
]

Float64 = npt.NDArray[np.float64]
Bounds = tuple[float, float]
State = MutableMapping[str, Tensor]
Orientation = Literal["harder", "easier", "valuable", "exposed"]
Locality = Literal["record", "validation", "pooled"]

ORIENTATIONS: Final = ("harder", "easier", "valuable", "exposed")
"""What a high score says: hard or suspicious; easy; lowers the validation loss; exposed."""
LOCALITIES: Final = ("record", "validation", "pooled")
"""What record i's score depends on besides checkpoints: i alone; the validation set; others."""


class Scorer(ABC):
    """Gives every record one number, from the checkpoints of a training.

    A scorer has settings and no memory: one instance may score any number of times. Its class is
    one of the two below: :class:`StreamedScorer` looks at a batch of records at one checkpoint
    after another, :class:`WholeScorer` needs all records at once.

    Guarantee, given the checkpoints: permuting the records permutes the scores; no score depends
    on the size of batches (1e-12 relative, float64); a scorer of locality ``record`` gives a
    record the same score whatever the other records are.

    Class attributes
    ----------------
    name
        The scorer's name in :data:`SCORERS`, with ``-`` between words.
    orientation
        What a high score says, one of :data:`ORIENTATIONS`.
    locality
        What a record's score depends on, one of :data:`LOCALITIES`.
    needs
        Names among ``"labels"``, ``"validation"``, ``"ensemble"``, ``"learning_rates"``,
        ``"private_steps"``: what must be given besides a checkpoint.
    least_checkpoints
        The fewest checkpoints it can work with.
    classes_only
        True if it needs logits ``(B, K)`` and class labels, so that regression is refused.
    estimate
        True if its values are no sound bounds of what they claim to bound: they can be neither
        released nor used to choose records.
    uses_checkpoints
        False if it looks at features only: it chooses no checkpoint, and none says anything of its
        reliability.
    """

    name: ClassVar[str]
    orientation: Orientation
    locality: Locality = "record"
    needs: frozenset[str] = frozenset({"labels"})
    least_checkpoints: int = 1
    classes_only: bool = False
    estimate: bool = False
    uses_checkpoints: bool = True

    def bounds(self, trajectory: "Trajectory") -> Bounds | None:
        """Return the public range of the score, or None if it has none.

        It may depend on the trajectory's public facts (number of checkpoints, learning rates, the
        clip bound), never on records.
        """
        del trajectory
        return None

    def settings(self) -> dict[str, Any]:
        """Return the settings, ready for JSON; given to the constructor they make it again."""
        return {}

    @property
    def label(self) -> str:
        """The name, with the settings that are not the default ones: ``vog(stage=late)``."""
        usual = type(self)().settings()
        other = {k: v for k, v in self.settings().items() if usual.get(k) != v}
        inner = ", ".join(f"{key}={value}" for key, value in other.items())
        return f"{self.name}({inner})" if inner else self.name

    def describe(self) -> dict[str, Any]:
        """Return name, orientation, locality and settings, for records and reports."""
        return {
            "scorer": self.name,
            "orientation": self.orientation,
            "locality": self.locality,
            "settings": self.settings(),
        }

    def source(self, context: "ScoringContext") -> "Trajectory":
        """Return the checkpoints that are scored: the training's, or an ensemble's."""
        return context.trajectory

    def chosen(self, count: int) -> Sequence[int]:
        """Return which of ``count`` checkpoints it looks at, ascending indices; all by default."""
        return range(count)

    def warnings(self, context: "ScoringContext") -> list[str]:
        """Return what a reader of the scores must know in this context."""
        del context
        return []

    def check(self, context: "ScoringContext") -> None:
        """Refuse a context in which the scorer cannot work; called before any work.

        Raises
        ------
        NeedsError
            If something that it needs was not given, or the task is not one it can score.
        CheckpointError
            If there are too few checkpoints.
        """
        for need in sorted(self.needs):
            if not context.has(need):
                raise NeedsError(
                    f"Expected {context.words(need)} for the scorer {self.name!r}, got none. "
                    "Give it, or choose another scorer."
                )
        if self.classes_only and not context.classes:
            raise NeedsError(
                f"Expected class labels for the scorer {self.name!r}, got the labels of a "
                "regression. Score with loss, grad-norm, tracin or datainf."
            )
        have = len(self.chosen(len(self.source(context))))
        if self.uses_checkpoints and have < self.least_checkpoints:
            raise CheckpointError(
                f"Expected at least {self.least_checkpoints} checkpoints for the scorer "
                f"{self.name!r}, got {have}. Keep more of them while training."
            )


class StreamedScorer(Scorer):
    """A scorer that sees a batch of records at one checkpoint after another.

    The sweep calls :meth:`begin` for each stretch of n records, then :meth:`visit` once for every
    chosen checkpoint (ascending) and every batch of the stretch, then :meth:`values`. After all
    stretches :meth:`finish` may look at all records' values together.

    Attributes
    ----------
    gradients
        True if it asks a visit for gradient norms or inner products: the visit then makes one
        per-sample pass that serves all scorers.
    """

    gradients: bool = False

    def prepare(
        self,
        tables: dict[str, Any],
        model_pass: "PerSamplePass",
        index: int,
        context: "ScoringContext",
    ) -> None:
        """Compute what the visits of one checkpoint share, once before them, into ``tables``.

        Checkpoint ``index`` is loaded. The pass may be used: the visits have not begun. Names in
        ``tables`` belong to all scorers, so that equal work is done once.
        """

    @abstractmethod
    def begin(self, n: int, context: "ScoringContext") -> dict[str, Tensor]:
        """Return the accumulators of ``n`` records: tensors whose axis 0 is the record."""

    @abstractmethod
    def visit(self, state: State, visit: "Visit") -> None:
        """Take one batch at one checkpoint; its accumulators are ``state[...][visit.rows]``."""

    @abstractmethod
    def values(self, state: State, context: "ScoringContext") -> Tensor:
        """Return the ``(n,)`` float64 scores of the stretch."""

    def finish(self, values: Float64, context: "ScoringContext") -> Float64:
        """Return the final ``(n,)`` scores of all records; by default as they are."""
        del context
        return values

    def bytes_per_record(self, context: "ScoringContext") -> int:
        """Return the size of the accumulators of one record, for the length of a stretch."""
        state = self.begin(1, context)
        return sum(t.element_size() * t.numel() for t in state.values())


class WholeScorer(Scorer):
    """A scorer that needs all records at once; its memory is bounded by its own blocks."""

    @abstractmethod
    def score(self, context: "ScoringContext") -> Float64:
        """Return the ``(n,)`` float64 scores."""


SCORERS: Registry[type[Scorer]] = Registry("scorer")
"""All scorers by name."""


def make_scorer(scorer: Scorer | str, **options: Any) -> Scorer:
    """Return a scorer: an instance as it is, or the registered one with its options.

    Names treat ``-`` and ``_`` alike.

    Raises
    ------
    RegistryError
        If the name is unknown.
    ConfigError
        If an option is unknown or impossible.
    """
    from equigrad._validate import known_options
    from equigrad.errors import ConfigError

    if isinstance(scorer, Scorer):
        if options:
            raise ConfigError(
                f"Expected options only with a scorer's name, got {sorted(options)} with an "
                "instance. Give them to its constructor."
            )
        return scorer
    made = SCORERS[scorer.replace("_", "-")]
    known_options(f"scorer {made.name!r}", made, options)
    return made(**options)
