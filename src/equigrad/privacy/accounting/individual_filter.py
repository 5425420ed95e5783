"""A filter that keeps every record within a privacy budget of its own, step by step.

Feldman and Zrnic (NeurIPS 2021): at one fixed order, a record takes part in a step only if what it
has accumulated and what this step would cost it stay within the budget. Because the dropping is
decided by this rule alone, it is covered: the whole training has the Rényi divergence of the budget
for every record, whatever the norms were. Neighbours: ``step_cost`` prices a step, ``individual``
tells the losses after the fact.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from equigrad._validate import in_range, positive, positive_int
from equigrad.errors import ConfigError, DataError
from equigrad.privacy.accounting.conversions import renyi_epsilon
from equigrad.privacy.accounting.delta import checked_delta
from equigrad.privacy.accounting.step_cost import StepCost, checked_norms, individual_level

__all__ = ["IndividualFilter"]

Float64 = npt.NDArray[np.float64]
_SLACK = 1e-12  # relative; sums of many steps round


class IndividualFilter:
    """Says which records may take part in the next step.

    Guarantee: if only the records that :meth:`next_step` allows are summed, the training is
    (``epsilon``, ``delta``)-DP for data sets that differ by one record added or removed, with the
    epsilon of :meth:`epsilon`. The norms must be those of this very step, computed before it.

    Parameters
    ----------
    n_records
        n >= 1.
    budget
        Rényi divergence at ``order`` that no record may pass, > 0; see :meth:`for_epsilon`.
    order
        alpha > 1.01, fixed before the training.
    clip, noise_multiplier, sampling_rate, counts
        See :class:`~equigrad.privacy.accounting.step_cost.StepCost`. Under sampling, norms are
        rounded up to a multiple of C/10.

    Raises
    ------
    ConfigError
        If a number is impossible.
    """

    def __init__(
        self,
        n_records: int,
        *,
        budget: float,
        order: float,
        clip: float,
        noise_multiplier: float,
        sampling_rate: float = 1.0,
        counts: Iterable[Iterable[float]] = (),
    ) -> None:
        self.n_records = positive_int("n_records", n_records)
        self.budget = float(positive("budget", budget))
        self.order = float(
            in_range("order", order, 1.01, math.inf, left_open=True, right_open=True)
        )
        self.cost = StepCost(clip, noise_multiplier, sampling_rate, counts)
        self._spent = np.zeros(self.n_records)
        self._table = self.cost.renyi_table([self.order])[:, 0]

    @classmethod
    def for_epsilon(
        cls, n_records: int, *, epsilon: float, delta: float, order: float, **cost: Any
    ) -> Self:
        """Return a filter whose budget is the largest that costs ``epsilon`` at ``delta``.

        Raises
        ------
        ConfigError
            If no divergence of that order is within it: take a higher order.
        """
        positive("epsilon", epsilon)
        checked_delta(delta)
        in_range("order", order, 1.01, math.inf, left_open=True, right_open=True)
        offset = math.log1p(-1.0 / order) - math.log(delta * order) / (order - 1.0)
        if epsilon <= offset:
            raise ConfigError(
                f"Expected epsilon above {offset:.4g} at order={order:g} and delta={delta:g}, got "
                f"{epsilon:g}. Take a higher order."
            )
        return cls(n_records, budget=epsilon - offset, order=order, **cost)

    @property
    def spent(self) -> Float64:
        """Divergence that each record has accumulated, ``(n,)``; as secret as the records."""
        return self._spent.copy()

    def epsilon(self, delta: float) -> float:
        """Return the epsilon at ``delta`` that the budget promises to every record."""
        return float(renyi_epsilon([self.order], [self.budget], delta))

    def next_step(self, norms: npt.ArrayLike, *, estimate: bool = False) -> npt.NDArray[np.bool_]:
        """Charge the next step to the records that may take part in it, and return which those are.

        A record that is kept out is charged nothing, and may be in again when its norm is smaller.

        Parameters
        ----------
        norms
            ``(n,)``: norms of this step; NaN, not computed, is charged as C.
        estimate
            Whether norms were carried over from earlier steps: refused.

        Returns
        -------
        numpy.ndarray
            ``(n,)`` bool.

        Raises
        ------
        ConfigError
            If the norms are an estimate.
        DataError
            If there is not one norm >= 0 for each record. Nothing is charged then.
        """
        if estimate:
            raise ConfigError(
                "Expected norms of this step for a filter, got an estimate from earlier ones, "
                "which bounds nothing. Give NaN for norms not computed: they are charged as C."
            )
        values = checked_norms(norms)
        if values.shape != (self.n_records,):
            raise DataError(f"Expected norms of shape ({self.n_records},), got {values.shape}.")
        price = self._price(values)
        allowed = self._spent + price <= self.budget * (1.0 - _SLACK)
        self._spent += np.where(allowed, price, 0.0)
        return allowed

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was charged, as arrays by name."""
        return {"spent": self._spent.copy()}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Take over what :meth:`state` returned, and return self.

        Raises
        ------
        DataError
            If the array is missing or of another shape.
        """
        spent = np.array(state.get("spent", ()), dtype=np.float64)
        if spent.shape != (self.n_records,):
            raise DataError(
                f"Expected 'spent' of shape ({self.n_records},), got {spent.shape}. Load what "
                "state() returned."
            )
        self._spent = spent
        return self

    def _price(self, norms: Float64) -> Float64:
        """Return what the step would cost each record."""
        if self.cost.sampling_rate == 1.0:
            return np.asarray(self.order * self.cost.rho(norms))
        return np.asarray(self._table[individual_level(norms, self.cost.clip) - 1])
