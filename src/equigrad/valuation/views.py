"""Who may see scores: every call names a view, there is no default.

Under :class:`Local` nothing leaves the owner and nothing is charged. The views that release noisy
scores or aggregates, and charge them, are in :mod:`equigrad.valuation.release`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from equigrad.errors import PrivacyViewError, TaintedScoresError
from equigrad.valuation.base import Scorer
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.scores import ScoreSet

__all__ = ["VIEW_NAMES", "Local", "View", "as_view"]

VIEW_NAMES: Final = ("local", "release_scores", "release_aggregate")


class View(ABC):
    """What becomes of scores: who sees them, under which conditions, at which price.

    Class attributes
    ----------------
    name
        One of :data:`VIEW_NAMES`.
    """

    name: ClassVar[str]

    @abstractmethod
    def check(self, scorer: Scorer, context: ScoringContext) -> None:
        """Refuse what this view cannot give, before any work and any charge.

        Raises
        ------
        PrivacyError
            Of the kind that says why, with the remedy.
        """

    def check_all(self, scorers: Sequence[Scorer], context: ScoringContext) -> None:
        """Refuse what this view cannot give for all scorers of one call together.

        By default :meth:`check` for each; a view that charges asks its account as well.
        """
        for scorer in scorers:
            self.check(scorer, context)

    @abstractmethod
    def apply(self, scores: ScoreSet) -> Any:
        """Return what leaves the owner in place of the local ``scores``; charge it first."""


@dataclass(frozen=True)
class Local(View):
    """Scores stay with the records' owner: no noise, no charge.

    Attributes
    ----------
    research
        Allow scores of a model that was trained on the records without privacy. They are tainted:
        each depends on every record, so they are never released and never choose records for a
        private training.
    """

    name: ClassVar[str] = "local"
    research: bool = False

    def check(self, scorer: Scorer, context: ScoringContext) -> None:
        """Refuse a model that was trained on the records without privacy, but for research."""
        origin = scorer.source(context).origin
        if origin == "unprotected" and not self.research:
            raise TaintedScoresError(
                "Expected a scorer's model that is public or was trained privately, got one "
                "trained on the records without privacy: each score would depend on every record. "
                "Train it with PrivateTrainer, or say Local(research=True) if nothing made from "
                "the scores will ever leave you."
            )

    def apply(self, scores: ScoreSet) -> ScoreSet:
        """Return the scores as they are."""
        return scores


def as_view(view: View | str | None) -> View:
    """Return a view; ``"local"`` names :class:`Local`.

    Raises
    ------
    PrivacyViewError
        If none is given, the name is unknown, or a release is named without its terms.
    """
    if isinstance(view, View):
        return view
    if view == "local":
        return Local()
    known = ", ".join(VIEW_NAMES)
    if view in VIEW_NAMES:
        maker = "ReleaseScores" if view == "release_scores" else "ReleaseAggregate"
        raise PrivacyViewError(
            f"Expected the terms of {view!r} (its bounds, noise and account), got only its name. "
            f"Give view={maker}(...) of equigrad.valuation.release."
        )
    raise PrivacyViewError(
        f"Expected a privacy view ({known}), got {view!r}. Say view='local' if the scores stay "
        "with the records' owner, or give a release with its account."
    )
