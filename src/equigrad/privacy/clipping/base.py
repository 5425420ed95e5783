"""The contract of every clipping rule, and the registry of the rules.

A clipping rule turns the gradient norms of a batch into one weight per row, so that no row moves
the weighted sum by more than the rule's ``sensitivity``. What noise that sum then gets is in
:mod:`equigrad.privacy.noise`, what the release costs in :mod:`equigrad.privacy.accounting`. The
other rooms import this module and the registry; the rules live beside it, one file each.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from equigrad._validate import positive, positive_int
from equigrad.errors import ConfigError
from equigrad.registry import Registry

__all__ = ["CLIPPING_RULES", "ClippingRule", "given_groups"]


class ClippingRule(ABC):
    """A rule that bounds what one row can add to the weighted sum of row gradients.

    One instance serves one run. Its settings are public and given to the constructor. Its state,
    if it has any, changes in :meth:`update` only, from noisy counts, so the state is released
    information. Row i's weight depends on row i's norm and group, on the settings and on the
    state, and on nothing else: when a row is added or removed, no other weight moves.

    Guarantee: ``weight * |g| <= sensitivity * (1 + 1e-6)`` for every gradient g whose norm was
    given right, in float32 and float64, whatever its size.

    ============================  ==========================================================
    norm of the row               weight
    ============================  ==========================================================
    NaN, inf, negative            exactly 0: such a row adds nothing, and counts as +inf
    0                             finite; the row adds 0
    so large that the weight      0
    is subnormal in its dtype
    ============================  ==========================================================

    One step of training calls :meth:`counts` (once for each physical chunk; the results add up),
    then, on the noisy counts, :meth:`update`; and :meth:`weights` with :attr:`sensitivity`:
    before ``update`` for most rules, after it for a rule whose ``counts_first`` is true.

    Class attributes
    ----------------
    name
        The rule's name in :data:`CLIPPING_RULES`.
    adaptive
        True if the rule has a state that changes from step to step.
    counts_first
        True if the weights of a step need this step's noisy counts.
    needs_groups
        True if ``weights`` and ``counts`` need the rows' groups.
    """

    name: ClassVar[str]
    adaptive: ClassVar[bool] = False
    counts_first: ClassVar[bool] = False
    needs_groups: ClassVar[bool] = False

    _public_batch_size: float | None = None
    _n_groups: int | None = None

    def bind(self, public_batch_size: float, n_groups: int | None = None) -> None:
        """Tell the rule the run's public constants; called once, before the first step.

        Parameters
        ----------
        public_batch_size
            Public expected number of rows in a batch, > 0; never the size of a drawn batch.
        n_groups
            Declared number of groups, or None if the run has none.

        Raises
        ------
        ConfigError
            If a value is impossible, or the rule needs groups and there are none.
        """
        self._public_batch_size = float(positive("public_batch_size", public_batch_size))
        self._n_groups = None if n_groups is None else positive_int("n_groups", n_groups)
        if self.needs_groups and self._n_groups is None:
            raise ConfigError(
                f"Expected groups for the clipping rule {self.name!r}, got none. "
                "Give every row's group and n_groups, or choose another rule."
            )

    @property
    @abstractmethod
    def sensitivity(self) -> float:
        """Bound on the L2 norm of one row's weighted gradient in the coming release."""

    @property
    def private(self) -> bool:
        """False if a setting breaks the privacy argument (kept for comparison with others)."""
        return True

    @property
    def n_counts(self) -> int:
        """How many counts the rule asks for at each step."""
        return 0

    @property
    def count_sensitivity(self) -> float:
        """L2 distance by which one added or removed row moves the counts; 0 without counts."""
        return 0.0

    @property
    def count_noise(self) -> float | None:
        """Standard deviation of the noise on each count; 0 without counts.

        None until :meth:`bind` if it follows from the public batch size.
        """
        return 0.0

    def weights(self, norms: Tensor, groups: Tensor | None = None) -> Tensor:
        """Return each row's weight.

        Parameters
        ----------
        norms
            ``(B,)`` float32 or float64, L2 norm of each row's gradient; B may be 0.
        groups
            ``(B,)`` int64, each row's group in 0..K-1; None for a rule that needs none.

        Returns
        -------
        Tensor
            ``(B,)``, the dtype and device of ``norms``; finite, >= 0.

        Raises
        ------
        ConfigError
            If the shapes, the dtype or a group are not as above.
        """
        self._check(norms, groups)
        norms64 = norms.detach().double()
        raw = self._factors(norms64, groups)
        limits = torch.finfo(norms.dtype)
        # A weight below the normal range has lost the digits the bound rests on; NaN fails too.
        sound = (norms64 >= 0) & (norms64 < math.inf) & (raw >= limits.tiny)
        return torch.where(sound, raw.clamp(max=limits.max), 0.0).to(norms.dtype)

    def counts(self, norms: Tensor, groups: Tensor | None = None) -> Tensor:
        """Return this chunk's counts, before noise; the counts of chunks add up.

        Arguments and errors as for :meth:`weights`. A NaN norm counts as +inf.

        Returns
        -------
        Tensor
            ``(n_counts,)`` float64 on the device of ``norms``; sensitive until noise is added.
        """
        self._check(norms, groups)
        norms64 = norms.detach().double()
        return self._counts(norms64.nan_to_num(nan=math.inf, posinf=math.inf), groups)

    def update(self, noisy_counts: Tensor | Sequence[float]) -> None:
        """Move the state by this step's noisy counts ``(n_counts,)``.

        Raises
        ------
        ConfigError
            If the counts are not ``n_counts`` finite numbers, or the rule was not bound.
        """
        counts = torch.as_tensor(noisy_counts, dtype=torch.float64).cpu()
        if counts.shape != (self.n_counts,) or not all(map(math.isfinite, counts.tolist())):
            raise ConfigError(
                f"Expected {self.n_counts} finite noisy counts, got {counts.tolist()}."
            )
        if self.n_counts:
            self._update(counts)

    def state(self) -> dict[str, Any]:
        """Return the released state, ready for JSON; empty for a rule without state."""
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over a state that :meth:`state` returned; a wrong one raises ``ConfigError``."""
        expected = self.state()
        if set(state) != set(expected):
            raise ConfigError(
                f"Expected the state of clipping rule {self.name!r} with "
                f"{', '.join(sorted(expected)) or 'no entries'}; got "
                f"{', '.join(sorted(state)) or 'no entries'}."
            )
        if expected:
            self._load(state)

    def describe(self) -> dict[str, Any]:
        """Return the rule's name and public settings, ready for JSON."""
        return {"rule": self.name, **self._settings()}

    @property
    def public_batch_size(self) -> float:
        """The public expected batch size; ``ConfigError`` before :meth:`bind`."""
        if self._public_batch_size is None:
            raise ConfigError(
                f"Expected the clipping rule {self.name!r} to know the public batch size, got an "
                "unbound rule. Call bind(public_batch_size, n_groups) first."
            )
        return self._public_batch_size

    @property
    def n_groups(self) -> int:
        """The declared number of groups; ``ConfigError`` before :meth:`bind` or without groups."""
        if self._n_groups is None:
            raise ConfigError(
                f"Expected the clipping rule {self.name!r} to know the number of groups, got none. "
                "Call bind(public_batch_size, n_groups) first."
            )
        return self._n_groups

    @abstractmethod
    def _factors(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        """Return ``(B,)`` float64 weights; what it gives for unsound norms is replaced by 0."""

    def _counts(self, norms: Tensor, groups: Tensor | None) -> Tensor:
        """Return ``(n_counts,)`` float64 for ``(B,)`` float64 norms without NaN."""
        del groups
        return norms.new_zeros(0)

    def _update(self, noisy_counts: Tensor) -> None:
        """Move the state; the counts are checked already."""
        raise NotImplementedError

    def _load(self, state: Mapping[str, Any]) -> None:
        """Take the state over; its keys are checked already."""
        raise NotImplementedError

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """Return the constructor's arguments by name."""

    def _check(self, norms: Tensor, groups: Tensor | None) -> None:
        if norms.ndim != 1 or norms.dtype not in (torch.float32, torch.float64):
            raise ConfigError(
                "Expected norms of shape (B,) in float32 or float64, got shape "
                f"{tuple(norms.shape)} in {norms.dtype}."
            )
        if not self.needs_groups:
            return
        if groups is None or groups.shape != norms.shape or groups.dtype != torch.int64:
            got = "none" if groups is None else f"shape {tuple(groups.shape)} in {groups.dtype}"
            raise ConfigError(
                f"Expected groups of shape {tuple(norms.shape)} in int64, got {got}. The clipping "
                f"rule {self.name!r} needs every row's group."
            )
        if groups.numel() and not bool(((groups >= 0) & (groups < self.n_groups)).all()):
            raise ConfigError(
                f"Expected groups in 0..{self.n_groups - 1}, got "
                f"{int(groups.min())}..{int(groups.max())}."
            )


CLIPPING_RULES: Registry[type[ClippingRule]] = Registry("clipping rule")
"""The clipping rules by name."""


def given_groups(groups: Tensor | None) -> Tensor:
    """Return the groups of the rows, or raise ``ConfigError`` if there are none."""
    if groups is None:
        raise ConfigError("Expected every row's group, got none. Give groups with the batch.")
    return groups
