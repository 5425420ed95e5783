"""The mechanism around a regret net: from reports to chances of levels and shares of the budget.

Source: Zheng et al., FL-Market, and the code's conventions where ``mode="reference"`` asks for
them. Budget feasibility is by construction; truth and rationality are trained for and measured.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from equigrad._validate import choice, positive_int
from equigrad.errors import ConfigError
from equigrad.market.regret.bidders import Bidders, Reports
from equigrad.market.regret.inputs import Mode, features
from equigrad.market.regret.networks import Architecture, build_net

__all__ = ["SMOOTHING", "VARIANTS", "Outcome", "RegretMechanism", "Variant"]

Variant = Literal["regret", "m-regret", "dm-regret"]
VARIANTS: tuple[Variant, ...] = ("regret", "m-regret", "dm-regret")

Float64 = npt.NDArray[np.float64]

SMOOTHING = 0.125
"""Temperature of ``dm-regret``'s second softmax in training."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the mechanism decides.

    Attributes
    ----------
    chance
        ``(rounds, N, M)``, probabilities of selling each level; one or none of them is 1 where
        ``dm-regret`` is used and not trained.
    first
        ``(rounds, N, M + 1)``, the first softmax, last entry "sells nothing".
    payments
        ``(rounds, N)``, expected payments, currency units; at most the budget together.
    """

    chance: Tensor
    first: Tensor
    payments: Tensor

    def costs(self, bidders: Bidders, reports: Reports) -> Tensor:
        """Return the expected *true* cost of what is sold, ``(rounds, N)``."""
        per_record = (self.chance * bidders.cost(reports.eps)).sum(-1)
        return per_record * reports.sizes

    def utilities(self, bidders: Bidders, reports: Reports) -> Tensor:
        """Return expected utilities, ``(rounds, N)``; reports above a true cap are not for this."""
        return self.payments - self.costs(bidders, reports)


class RegretMechanism:
    """A network and the rules that turn its logits into an auction.

    Parameters
    ----------
    variant
        ``"regret"`` (one level), ``"m-regret"`` (M levels, one drawn) or ``"dm-regret"`` (M
        levels, the likeliest one sold).
    parties
        N, fixed by training.
    levels
        M; 1 for ``"regret"``.
    architecture
        ``"mlp"`` or ``"equivariant"``.
    mode
        ``"right"``: the null level takes part in ``dm-regret``'s second softmax, so that a party
        can be declined, and who sells nothing is paid nothing. ``"reference"``: neither, as the
        reference.
    generator
        Source of the first weights; None: zeros, to be loaded.

    Raises
    ------
    ConfigError
        If a setting is unknown, or ``"regret"`` was given other than one level.
    """

    def __init__(
        self,
        variant: str,
        parties: int,
        levels: int,
        *,
        architecture: Architecture = "mlp",
        mode: Mode = "right",
        generator: torch.Generator | None = None,
    ) -> None:
        choice("variant", variant, VARIANTS)
        choice("mode", mode, ("right", "reference"))
        self.variant: str = variant
        self.parties = positive_int("parties", parties)
        self.levels = positive_int("levels", levels)
        if variant == "regret" and levels != 1:
            raise ConfigError(
                f"Expected levels=1 for 'regret', got {levels}. Use 'm-regret' for more."
            )
        self.architecture: Architecture = architecture
        self.mode: Mode = mode
        self.net: nn.Module = build_net(architecture, parties, levels, generator)

    @property
    def deterministic(self) -> bool:
        """Whether use (not training) draws nothing."""
        return self.variant == "dm-regret"

    def outcome(self, reports: Reports, budget: Tensor, *, smooth: bool = False) -> Outcome:
        """Return chances and expected payments.

        Parameters
        ----------
        reports
            Reports of :attr:`parties` parties at :attr:`levels` levels.
        budget
            ``(rounds,)``, currency units.
        smooth
            True: differentiable in reports and weights, also for ``dm-regret``.

        Raises
        ------
        ConfigError
            If the reports are of another shape than the mechanism was made for.
        """
        if reports.values.shape[1:] != (self.parties, self.levels):
            raise ConfigError(
                f"Expected reports of {self.parties} parties at {self.levels} levels, got "
                f"{tuple(reports.values.shape[1:])}. Train a network for this market."
            )
        levels, shares = self.net(*features(reports, budget, self.mode))
        first = torch.softmax(levels, dim=-1)
        chance = self._second(first, smooth) if self.deterministic else first[..., :-1]
        payments = torch.softmax(shares, dim=-1)[:, :-1] * budget[:, None]
        if self.mode == "right":
            payments = payments * chance.sum(-1)
        return Outcome(chance, first, payments)

    def decide(
        self, values: npt.ArrayLike, caps: npt.ArrayLike, sizes: npt.ArrayLike, budget: float
    ) -> tuple[Float64, Float64]:
        """Return one round's chances and what a sale is paid, in NumPy.

        Parameters
        ----------
        values
            ``(N, M)``, currency per record at ``k cap / M``.
        caps, sizes
            ``(N,)``.
        budget
            Currency units.

        Returns
        -------
        chance
            ``(N, M)``, probabilities of selling each level.
        share
            ``(N,)``, of the budget, paid to a party if it sells; they sum to at most 1.
        """
        arrays = (np.asarray(array, dtype=np.float32)[None] for array in (values, caps, sizes))
        reports = Reports(*(torch.as_tensor(array) for array in arrays))
        money = torch.tensor([budget], dtype=torch.float32)
        with torch.no_grad():
            levels, shares = self.net(*features(reports, money, self.mode))
            first = torch.softmax(levels, dim=-1)
            chance = self._second(first, smooth=False) if self.deterministic else first[..., :-1]
            paid = torch.softmax(shares.double(), dim=-1)[:, :-1]
        return chance[0].double().numpy(), paid[0].numpy()

    def _second(self, first: Tensor, smooth: bool) -> Tensor:
        """Return what ``dm-regret`` sells: softly in training, the likeliest level in use."""
        kept = first[..., :-1] if self.mode == "reference" else first
        if smooth:
            return torch.softmax(kept / SMOOTHING, dim=-1)[..., : self.levels]
        best = kept.argmax(-1)
        return nn.functional.one_hot(best, kept.shape[-1])[..., : self.levels].to(first.dtype)
