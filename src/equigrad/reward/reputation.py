"""Reputation: how a round's values are mixed into what the parties earned before.

Two mixings: ``paper`` (raw values, floor, renormalised) and ``robust`` (relative values weighted
by the round's consensus, averaged over attended rounds). Their state is ``standing.Standing``;
``ratio`` turns shares into reward ratios, ``weights`` into aggregation weights.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from equigrad._validate import in_range
from equigrad.errors import ConfigError
from equigrad.registry import Registry
from equigrad.reward.standing import Standing

__all__ = ["MIXINGS", "Mixing", "PaperMixing", "RobustMixing"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


class Mixing(ABC):
    """Makes the standing after a round out of the standing before and the round's values.

    Guarantees of both mixings: the given state is never changed; a party that is neither valued
    nor excluded keeps what it had earned to the last bit (``robust``) or up to renormalisation
    (``paper``); shares are >= 0 and sum to 1 over the members that are not excluded (or are all 0
    where nobody left has earned anything).

    Parameters
    ----------
    alpha
        Memory, in [0, 1): the weight of the past against the newest round.

    Raises
    ------
    ConfigError
        For a parameter out of its range.
    """

    name: ClassVar[str]

    def __init__(self, alpha: float = 0.95) -> None:
        self.alpha = in_range("alpha", alpha, 0, 1, right_open=True)

    def start(self, parties: Sequence[str]) -> Standing:
        """Return the standing before the first round: nothing earned, no shares."""
        return Standing.fresh(parties)

    def join(self, state: Standing, party: str) -> Standing:
        """Return the standing after a party joined, or came back under the same name.

        A newcomer starts from nothing (its first value counts fully under ``robust``); who comes
        back keeps what it had earned. Either way its share is 0 until its next valued round.
        """
        return state.with_member(party)

    def leave(self, state: Standing, party: str) -> Standing:
        """Return the standing after a party left: its share dropped, the others' renormalised."""
        return state.without_member(party)

    def update(
        self,
        state: Standing,
        value: npt.ArrayLike,
        kappa: float,
        present: Sequence[str],
        excluded: Collection[str] = (),
        *,
        frozen: bool = False,
    ) -> Standing:
        """Return the standing after one round.

        Parameters
        ----------
        state
            The standing before the round.
        value
            ``(n,)`` finite, the contributions of the ``present`` parties, in their order.
        kappa
            Consensus of the round, the mean pairwise cosine of the uploads (``robust`` only).
        present
            The n parties valued this round: those that delivered and are not excluded. With none
            the round changes nothing at all.
        excluded
            Parties whose share counts as 0 this round, whether they delivered or not.
        frozen
            Change nothing that was earned (values that cannot be trusted); shares are still
            taken anew, because who is excluded may have changed.

        Raises
        ------
        ConfigError
            Unknown parties, a party both valued and excluded, a value or consensus not finite.
        """
        at = state.positions(present)
        values = _finite_values(value, len(at))
        banned = self._excluded(state, present, excluded)
        if not np.isfinite(kappa):
            raise ConfigError(f"Expected the consensus kappa to be finite, got {kappa!r}.")
        if not at.size:
            return state
        if not frozen:
            state = self._mix(state, values, float(kappa), at)
        return replace(state, share=self._shares(state, at, banned))

    @abstractmethod
    def _mix(self, state: Standing, values: Float64, kappa: float, at: Int64) -> Standing:
        """Return the state with ``earned`` and ``attended`` after valuing the parties ``at``."""

    @abstractmethod
    def _standings(self, state: Standing) -> Float64:
        """Return ``(N,)`` numbers >= 0 to which shares are proportional (0: no evidence)."""

    def _shares(self, state: Standing, at: Int64, banned: npt.NDArray[np.bool_]) -> Float64:
        """Return r: standings of members not excluded over their sum.

        Without any evidence r is uniform on the parties valued. Where there is evidence and it
        speaks for nobody left (all who earned are excluded), r is 0: nobody is rewarded.
        """
        counted = state.active & ~banned
        shares: Float64 = np.where(counted, self._standings(state), 0.0)
        total = shares.sum()
        if total > 0:
            shares = shares / total
        elif not (state.attended[counted] > 0).any():
            shares[at] = 1.0 / at.size
        return shares

    @staticmethod
    def _excluded(
        state: Standing, present: Sequence[str], excluded: Collection[str]
    ) -> npt.NDArray[np.bool_]:
        both = sorted(set(present) & set(excluded))
        if both:
            raise ConfigError(
                f"Expected parties either valued or excluded, got {both} as both. "
                "Leave excluded parties out of the valued ones."
            )
        return np.isin(np.array(state.names, dtype=object), list(excluded))


MIXINGS: Registry[type[Mixing]] = Registry("reputation mixing")


@MIXINGS.register("paper")
class PaperMixing(Mixing):
    """The paper's moving average of raw values, with a floor.

    ``r <- alpha r + (1 - alpha) psi`` for the parties valued (others enter unchanged), then
    ``max(r, floor)`` elementwise, then division by the sum. Documented weakness: raw values make
    the memory depend on the number of parties. Source: Xu et al., NeurIPS 2021; the floor is in
    the authors' published code. With ``floor = 0`` and nothing positive, r is uniform on the
    valued parties.

    Parameters
    ----------
    alpha
        Memory, in [0, 1).
    floor
        Smallest reputation before the division, >= 0.
    """

    name: ClassVar[str] = "paper"

    def __init__(self, alpha: float = 0.95, floor: float = 1e-3) -> None:
        super().__init__(alpha)
        self.floor = in_range("floor", floor, 0, np.inf, right_open=True)

    def start(self, parties: Sequence[str], shares: npt.ArrayLike | None = None) -> Standing:
        """Return the standing before the first round; ``shares`` ``(N,)`` go on from a given r."""
        state = Standing.fresh(parties)
        if shares is None:
            return state
        r = _finite_values(shares, len(state.names))
        return replace(state, earned=r, share=r)

    def leave(self, state: Standing, party: str) -> Standing:
        """Return the standing after a party left; what the others earned is renormalised too."""
        left = super().leave(state, party)
        total = left.earned[left.active].sum()
        if not total > 0:
            return left
        return replace(left, earned=np.where(left.active, left.earned / total, left.earned))

    def _mix(self, state: Standing, values: Float64, kappa: float, at: Int64) -> Standing:
        mixed = state.earned.copy()
        mixed[at] = self.alpha * mixed[at] + (1 - self.alpha) * values
        floored = np.where(state.active, np.maximum(mixed, self.floor), 0.0)
        total = floored.sum()
        shares = floored / total if total > 0 else floored
        return replace(state, earned=np.where(state.active, shares, state.earned))

    def _standings(self, state: Standing) -> Float64:
        return np.maximum(state.earned, 0.0)


@MIXINGS.register("robust")
class RobustMixing(Mixing):
    """A weighted average of relative values over the rounds a party attended.

    With ``chat_i = n max(c_i, 0) / sum_j max(c_j, 0)`` over the n valued parties,
    ``A_i <- alpha A_i + (1 - alpha) kappa chat_i`` and ``B_i <- alpha B_i + (1 - alpha) kappa``;
    the standing is ``A_i / B_i``, the share its part of the sum over members with evidence.
    A round without consensus (``kappa <= 0``) or without positive value changes no A and no B.

    Guarantees: A and B of absent and excluded parties keep every bit; under constant kappa the
    newest of k attended rounds weighs ``(1 - alpha) / (1 - alpha^k)``, whatever the number of
    parties; a party whose values were never positive has share 0 once anybody has evidence.
    Derived here.
    """

    name: ClassVar[str] = "robust"

    def _mix(self, state: Standing, values: Float64, kappa: float, at: Int64) -> Standing:
        positive = np.maximum(values, 0.0)
        total = positive.sum()
        if not (kappa > 0 and total > 0):
            return state
        relative = at.size * positive / total
        earned, attended = state.earned.copy(), state.attended.copy()
        earned[at] = self.alpha * earned[at] + (1 - self.alpha) * kappa * relative
        attended[at] = self.alpha * attended[at] + (1 - self.alpha) * kappa
        return replace(state, earned=earned, attended=attended)

    def _standings(self, state: Standing) -> Float64:
        return standing_ratio(state)


def standing_ratio(state: Standing) -> Float64:
    """Return the robust standing ``m = A / B``, ``(N,) float64``; 0 where there is no evidence."""
    evidence = state.attended > 0
    return np.where(evidence, state.earned / np.where(evidence, state.attended, 1.0), 0.0)


def _finite_values(value: npt.ArrayLike, size: int) -> Float64:
    values = np.asarray(value, dtype=np.float64)
    if values.shape != (size,) or not np.isfinite(values).all():
        raise ConfigError(
            f"Expected {size} finite values, one a party, got {np.array2string(values)}."
        )
    return values
