"""The contract of every contribution rule, what it returns, and the registry of the rules.

A contribution rule gives each party of a round one number: what its upload was worth. The other
rooms import this module only; the rules live beside it, one file each. What the numbers are used
for (reputation, rewards) is the business of :mod:`equigrad.reward`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from equigrad.registry import Registry

__all__ = ["RULES", "ContributionRule", "Float64", "Values"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Values:
    """What a contribution rule returns: one value per party and how it was obtained.

    Attributes
    ----------
    values
        ``(n,) float64``, one contribution per party, in the order of the evidence.
    half_width
        ``(n,) float64``, half of each value's 95 % confidence interval, or None for a rule that
        does not sample.
    permutations
        Number of permutations drawn, or None for a rule that does not sample.
    converged
        False if a sampling rule stopped before its intervals were as narrow as asked.
    degenerate_share
        Share, in [0, 1], of the coalitions looked at whose squared norm is at most ``1e-12`` of
        the trace, so that their value was set to zero. Under noise a large share means that the
        values cannot be trusted (see :func:`equigrad.contribution.trust`). It is 1 when the
        parties' sum is itself such a coalition: then every value is zero.
    """

    values: Float64
    half_width: Float64 | None = None
    permutations: int | None = None
    converged: bool = True
    degenerate_share: float = 0.0


class ContributionRule(ABC):
    """A rule that turns the uploads of one round into one value per party.

    A rule is a value object: its settings are given to the constructor and never change, and
    :meth:`value` keeps no state between rounds and changes none of its arguments. It touches no
    global random state. Everything is computed in float64, whatever the dtype of the evidence.

    Class attributes
    ----------------
    name
        The name in :data:`RULES` and in run files.
    needs
        ``"gram"``: the evidence is the Gram matrix of the uploads, ``(n, n) float64``, symmetric,
        ``C[i, j] = <u_i, u_j>``, possibly corrected for known noise (then entries of the diagonal
        may be negative). ``"uploads"``: the evidence is the uploads themselves, ``(n, D)`` of any
        floating dtype, or a list of n flat tensors.
    efficient
        True if the values sum to one whenever the weighted sum of the uploads is not zero.
    stochastic
        True if the rule draws random numbers; then ``generator`` is required, equal generators
        give equal values, and ``Values.half_width`` is given.

    Guarantees, which the contract suite in :mod:`equigrad.testing` checks
    ----------------------------------------------------------------------
    * Shape: ``n`` finite values for ``n >= 1`` parties; the evidence is left as it was.
    * Null party: a zero upload has the value 0 exactly.
    * Nothing at all: if the weighted sum of the uploads is zero, every value is 0 exactly.
    * Symmetry: parties with equal uploads and weights have equal values.
    * Equivariance: permuting the parties permutes the values.
    * Scale: multiplying all uploads, or all weights, by one positive factor changes no value.
    * Efficiency: where claimed, the values sum to one.

    Symmetry and equivariance hold to rounding; for a stochastic rule, within its intervals.
    """

    name: ClassVar[str]
    needs: ClassVar[Literal["gram", "uploads"]] = "gram"
    efficient: ClassVar[bool]
    stochastic: ClassVar[bool] = False

    @abstractmethod
    def value(
        self, evidence: Any, weights: npt.ArrayLike, generator: np.random.Generator | None = None
    ) -> Values:
        """Return one value per party.

        Parameters
        ----------
        evidence
            What :attr:`needs` names: the Gram matrix ``(n, n)`` or the uploads ``(n, D)``.
        weights
            ``(n,)``, the parties' weights in the sum, finite, >= 0, not all zero. Only their
            proportions matter.
        generator
            Source of randomness; required by stochastic rules, ignored by all others.

        Returns
        -------
        Values
            The values and, for a stochastic rule, their intervals.

        Raises
        ------
        ValueError
            If a weight is negative or not finite, all weights are zero, or the evidence is not
            finite or has another shape than declared.
        ConfigError
            If the rule cannot serve this many parties, or a stochastic rule got no generator.
        """


RULES: Registry[type[ContributionRule]] = Registry("contribution rule")
