"""Individual privacy loss: what a training has cost each record, by the norms of its gradients.

A record whose clipped norm ``c`` stays below the bound ``C`` moves the noisy sum by ``c`` only, so
its own loss is that of the noise multiplier ``s C / c`` (Feldman and Zrnic, NeurIPS 2021; Yu and
others, TMLR 2023). **The result is ex-post and depends on the data: it is for the owner's eyes, no
guarantee, and not private itself.** Neighbours: ``step_cost`` says what a step costs a record,
``conversions`` turns losses into epsilons, ``individual_filter`` stops records by them.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from equigrad._validate import positive_int
from equigrad.errors import ConfigError, DataError
from equigrad.privacy.accounting.conversions import gaussian_epsilon, renyi_epsilon, zcdp_epsilon
from equigrad.privacy.accounting.step_cost import (
    N_LEVELS,
    ORDERS,
    StepCost,
    checked_norms,
    individual_level,
)

__all__ = ["IndividualAccount"]

Float64 = npt.NDArray[np.float64]


class IndividualAccount:
    """The privacy loss of each record over the steps of one training, after the fact.

    Guarantee: no record's epsilon exceeds the worst case of the same conversion; it equals it if
    every norm is at least C; it never falls when a norm grows; under sampling it is never below
    that of the exact norms.

    ================  ==========================================================================
    norms of a step   charged
    ================  ==========================================================================
    below C           as they are; under sampling, rounded up to a multiple of C/10
    0                 nothing; under sampling, as C/10
    C, above, inf     as C
    NaN (not known)   as C; with ``carry_last`` as the last known one (C before that), and the
                      result is an :attr:`estimate`
    not taking part   nothing
    ================  ==========================================================================

    Every step counts, whether the record was drawn into its batch or not.

    Parameters
    ----------
    n_records
        n >= 1.
    clip, noise_multiplier, sampling_rate, counts
        See :class:`StepCost`. Without sampling (q = 1) losses are zCDP, under it Rényi divergences
        of the sampled Gaussian mechanism, kept as counts of ten levels.
    carry_last
        Take the last known norm where a step has none. What follows can be neither released nor
        used to stop records.
    orders
        Orders of the Rényi divergences, each > 1.01; dp-accounting's default if None.

    Raises
    ------
    ConfigError
        If a number is impossible.
    """

    def __init__(
        self,
        n_records: int,
        *,
        clip: float,
        noise_multiplier: float,
        sampling_rate: float = 1.0,
        counts: Iterable[Iterable[float]] = (),
        carry_last: bool = False,
        orders: Sequence[float] | None = None,
    ) -> None:
        self.n_records = positive_int("n_records", n_records)
        self.cost = StepCost(clip, noise_multiplier, sampling_rate, counts)
        self.carry_last = carry_last
        self.orders = tuple(ORDERS if orders is None else orders)
        self.steps = 0
        self._carried = False
        self._rho = np.zeros(self.n_records)
        self._levels = np.zeros((self.n_records, N_LEVELS), dtype=np.int64)
        self._last = np.full(self.n_records, np.nan)
        self._table: Float64 | None = None

    @property
    def sampled(self) -> bool:
        """Whether batches are drawn (q < 1)."""
        return self.cost.sampling_rate < 1.0

    @property
    def estimate(self) -> bool:
        """True if a norm was carried over: the losses bound nothing then."""
        return self._carried

    def add_step(
        self,
        norms: npt.ArrayLike,
        taking_part: npt.NDArray[np.bool_] | None = None,
        *,
        times: int = 1,
    ) -> None:
        """Count one step, or several alike.

        Parameters
        ----------
        norms
            ``(n,)``: norm of each record's gradient at the iterate that the step starts from (or
            of its actual contribution, under other rules than clipping); NaN where not computed.
        taking_part
            ``(n,)`` bool: False for records that a filter kept out of the step.
        times
            The number of steps that had these norms, >= 1.

        Raises
        ------
        ConfigError
            If ``times`` is not a whole number >= 1. Nothing is counted.
        DataError
            If there is not one norm for each record, or a norm is negative. Nothing is counted.
        """
        positive_int("times", times)
        values = checked_norms(norms)
        part = np.ones(self.n_records, bool) if taking_part is None else np.asarray(taking_part)
        if values.shape != (self.n_records,) or part.shape != values.shape or part.dtype != bool:
            raise DataError(
                f"Expected norms of shape ({self.n_records},) and taking_part as bools alike, got "
                f"{values.shape} and {part.shape} {part.dtype}. Give NaN for norms not computed."
            )
        unknown = np.isnan(values)
        if self.carry_last:
            self._carried |= bool((unknown & part).any())
            values = np.where(unknown, self._last, values)
            self._last = np.where(np.isnan(values), self._last, values)
        self.steps += times
        self._rho += np.where(part, times * self.cost.rho(values), 0.0)
        self._levels[part, individual_level(values, self.cost.clip)[part] - 1] += times

    def rho(self) -> Float64:
        """Return the zCDP parameter of each record, ``(n,)``.

        Raises
        ------
        ConfigError
            Under sampling, where no such number is tight: ask for :meth:`renyi`.
        """
        if self.sampled:
            raise ConfigError(
                f"Expected sampling_rate=1 for zCDP, got {self.cost.sampling_rate:g}. Ask for "
                "renyi() or epsilon(), which know of sampling."
            )
        worst = self.steps * float(self.cost.rho(self.cost.clip))  # sums round, maybe upwards
        return np.asarray(np.minimum(self._rho, worst))

    def mu(self) -> Float64:
        """Return the Gaussian-DP parameter of each record, ``sqrt(2 rho)``, ``(n,)``.

        Raises
        ------
        ConfigError
            Under sampling, as for :meth:`rho`.
        """
        return np.asarray(np.sqrt(2.0 * self.rho()))

    def renyi(self) -> Float64:
        """Return Rényi divergence bounds of each record at :attr:`orders`, ``(n, m)``."""
        if not self.sampled:
            return np.asarray(self.rho()[:, None] * np.asarray(self.orders))
        return np.asarray(self._levels @ self._levels_table(), dtype=np.float64)

    def epsilon(self, delta: float, *, conversion: str = "tight") -> Float64:
        """Return the epsilon of each record at ``delta``, ``(n,)``.

        Parameters
        ----------
        delta
            In (0, 1).
        conversion
            ``"tight"``: Gaussian DP without sampling, Rényi divergences under it. ``"simple"``:
            ``rho + 2 sqrt(rho ln(1/delta))``, without sampling only.

        Raises
        ------
        ConfigError
            If an argument is impossible.
        """
        if conversion not in ("tight", "simple"):
            raise ConfigError(f"Expected conversion to be tight or simple, got {conversion!r}.")
        if conversion == "simple":
            return zcdp_epsilon(self.rho(), delta)
        if self.sampled:
            return renyi_epsilon(self.orders, self.renyi(), delta)
        return gaussian_epsilon(self.mu(), delta)

    def worst_case(self, delta: float, *, conversion: str = "tight") -> float:
        """Return the epsilon, likewise converted, of a record that was clipped in every step."""
        worst = IndividualAccount(
            1,
            clip=self.cost.clip,
            noise_multiplier=self.cost.noise_multiplier,
            sampling_rate=self.cost.sampling_rate,
            counts=self.cost.counts,
            orders=self.orders,
        )
        worst._table = self._table
        worst.steps = self.steps
        worst._rho[:] = np.inf
        worst._levels[0, -1] = self.steps
        return float(worst.epsilon(delta, conversion=conversion)[0])

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return all that was counted, as arrays by name; as secret as the records."""
        return {
            "steps": np.asarray(self.steps),
            "carried": np.asarray(self._carried),
            "rho": self._rho.copy(),
            "levels": self._levels.copy(),
            "last": self._last.copy(),
        }

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Take over what :meth:`state` returned, and return self.

        Raises
        ------
        DataError
            If an array is missing or of another shape. Nothing is taken over.
        """
        now = self.state()
        if {k: np.shape(v) for k, v in state.items()} != {k: v.shape for k, v in now.items()}:
            raise DataError(
                f"Expected the arrays {sorted(now)} of an account of {self.n_records} records, got "
                f"{ {k: np.shape(v) for k, v in state.items()} }. Load what state() returned."
            )
        self.steps, self._carried = int(state["steps"]), bool(state["carried"])
        self._rho = np.array(state["rho"], dtype=np.float64)
        self._levels = np.array(state["levels"], dtype=np.int64)
        self._last = np.array(state["last"], dtype=np.float64)
        return self

    def _levels_table(self) -> Float64:
        """Return the divergences of one step at each level."""
        if self._table is None:
            cost = self.cost
            self._table = _table(
                cost.clip, cost.noise_multiplier, cost.sampling_rate, cost.counts, self.orders
            )
        return self._table


@lru_cache(maxsize=8)
def _table(
    clip: float,
    noise_multiplier: float,
    sampling_rate: float,
    counts: tuple[tuple[float, float], ...],
    orders: tuple[float, ...],
) -> Float64:
    """Return the divergences of one step; they take seconds, and many accounts share them."""
    table = StepCost(clip, noise_multiplier, sampling_rate, counts).renyi_table(orders)
    table.setflags(write=False)
    return table
