"""What a seller of a market run is: picklable and constant; and the little it remembers.

Neighbours: ``agent`` is the seller at work, ``folder`` what it keeps, ``behaviours`` how it may
stray.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch

import equigrad.federation.trade.messages  # noqa: F401 - a worker knows their kinds by it
from equigrad._validate import positive
from equigrad.errors import DataError
from equigrad.federation.config.schema import ModelConfig
from equigrad.federation.party.spec import Records
from equigrad.federation.trade.config.schema import AccountConfig, LocalConfig
from equigrad.market import Curve
from equigrad.models import ModelInput

if TYPE_CHECKING:
    from equigrad.federation.trade.agent import SellerAgent

__all__ = ["SellerSpec", "SellerState"]


@dataclass(frozen=True)
class SellerState:
    """The last round answered, -1 for none; all else lies in the seller's folder and account."""

    answered: int = -1

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """Return the state as named tensors."""
        return {"answered": torch.tensor(self.answered)}

    def model(self) -> None:
        """Return None: a seller has no model of its own."""

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Self:
        """Return the state that :meth:`to_tensors` wrote."""
        return cls(int(tensors["answered"]))


@dataclass(frozen=True, eq=False)
class SellerSpec:
    """All that a worker needs to be a seller.

    Parameters
    ----------
    name
        The party's name; with the seed and a round it keys rehearsed noise.
    seed
        The run's seed.
    task
        Identifies the run, 64 hexadecimal digits; messages of another are refused.
    listing
        What it sells, by the ledger's id.
    train
        Its records; it sells the first ``size`` of them.
    size
        Records on sale, 1 to ``len(train)``.
    curve
        What privacy costs it, currency per record; never leaves.
    eps_cap
        Largest epsilon it sells in one award, finite, > 0.
    model_input, model
        Description of the data and choice of the model.
    local
        How it protects a gradient.
    limit
        Its privacy account: limit, delta and cost over all sales.
    account
        The account's file, on a local disk; made when first used. Runs may share it.
    folder
        The seller's own folder: its secret, bids and receipts. Every run has another.
    behaviour, options
        A name in :data:`~equigrad.federation.trade.behaviours.SELLER_BEHAVIOURS` and its settings.
    device
        Where model and records live, e.g. ``"cpu"`` or ``"cuda:0"``.
    test
        Records on which it measures the model at the end, or None.

    Raises
    ------
    ConfigError
        If ``eps_cap`` is not finite and positive.
    DataError
        If ``size`` is not from 1 to the records held.
    """

    name: str
    seed: int
    task: str
    listing: str
    train: Records
    size: int
    curve: Curve
    eps_cap: float
    model_input: ModelInput
    model: ModelConfig
    local: LocalConfig
    limit: AccountConfig
    account: Path
    folder: Path
    behaviour: str = "honest"
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    test: Records | None = None

    def __post_init__(self) -> None:
        positive("eps_cap", self.eps_cap)
        if not 1 <= self.size <= len(self.train):
            raise DataError(
                f"Expected {self.name!r} to sell 1 to {len(self.train)} records, those it holds, "
                f"got size = {self.size}. Lower its size."
            )

    def make_agent(self) -> "SellerAgent":
        """Return the seller, ready to be asked."""
        from equigrad.federation.trade.agent import SellerAgent

        return SellerAgent(self)

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> SellerState:
        """Return the state that :meth:`SellerState.to_tensors` wrote."""
        return SellerState.from_tensors(tensors)
