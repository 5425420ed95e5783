"""What a sponsor is warned of after a training.

Neighbour: ``training``.
"""

import warnings
from collections.abc import Collection, Sequence

from equigrad.assistance.track import Round

__all__ = ["AssistanceWarning", "warn_of", "warn_of_memorising"]


class AssistanceWarning(UserWarning):
    """A training went on, but its result deserves a look."""


def warn_of(rounds: Sequence[Round], names: Sequence[str]) -> None:
    """Warn, once each, of steps at their cap and of answers that could not be used."""
    capped = [t for t, r in enumerate(rounds, start=1) if r.capped]
    if capped:
        warnings.warn(
            f"Expected steps below eta_max, got {len(capped)} of {len(rounds)} rounds at it, first "
            f"round {capped[0]}. Classes that the columns separate without error have no best "
            "step; lower eta_max or n_rounds if scores grow too large.",
            AssistanceWarning,
            stacklevel=3,
        )
    for m, name in enumerate(names):
        bad = [(t, r.reasons[m]) for t, r in enumerate(rounds, start=1) if m in r.reasons]
        bad = [(t, why) for t, why in bad if why not in ("no answer", "no rows")]
        if bad:
            warnings.warn(
                f"Expected usable answers of party {name!r}, got {len(bad)} of {len(rounds)} "
                f"rounds without, first round {bad[0][0]}: {bad[0][1]}. It had weight 0 there.",
                AssistanceWarning,
                stacklevel=3,
            )


def warn_of_memorising(parties: Collection[int], names: Sequence[str]) -> None:
    """Warn of parties that fit rows they were sent far better than rows held out."""
    if parties:
        told = ", ".join(repr(names[m]) for m in sorted(parties))
        warnings.warn(
            f"Expected answers that hold beyond the rows sent, got a share explained that is 0.5 "
            f"higher on those than on rows held out, from {told}. A party that memorises or echoes "
            "takes weight it does not deserve: choose weigh_on='holdout'.",
            AssistanceWarning,
            stacklevel=3,
        )
