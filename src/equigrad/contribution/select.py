"""The default choice among the rules: exact values where they are cheap, sampled ones above."""

from equigrad._validate import positive_int
from equigrad.contribution.base import ContributionRule
from equigrad.contribution.exact import ExactCGSV
from equigrad.contribution.sampled import SampledCGSV

__all__ = ["AUTO_EXACT_PARTIES", "auto_rule"]

AUTO_EXACT_PARTIES = 20
"""Most parties for which the automatic choice is the exact rule."""


def auto_rule(
    n_parties: int, *, tolerance: float = 0.05, max_permutations: int = 20_000
) -> ContributionRule:
    """Return ``cgsv-exact`` for up to 20 parties and ``cgsv-sampled`` above.

    Parameters
    ----------
    n_parties
        Number of parties valued in this round, >= 1.
    tolerance, max_permutations
        Settings of the sampled rule; see :class:`~equigrad.contribution.SampledCGSV`.

    Raises
    ------
    ConfigError
        If a setting is out of range, whichever rule is chosen.
    """
    sampled = SampledCGSV(tolerance, max_permutations)
    if positive_int("n_parties", n_parties) <= AUTO_EXACT_PARTIES:
        return ExactCGSV()
    return sampled
