"""Deep Model Sharing: one backbone for all rounds, and a head for each.

The heads of earlier rounds move with the backbone, so the sponsor has to hear them again and find
weights and steps anew; otherwise the sum it keeps is of functions that no party holds any more.
"""

import copy
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from equigrad._validate import choice
from equigrad.assistance.arrays import Float64
from equigrad.assistance.learners.base import Learner
from equigrad.assistance.learners.training import (
    Schedule,
    evaluate,
    load_state,
    made,
    seeded,
    to_tensor,
    train,
)

__all__ = ["SharedLearner"]


class SharedLearner(Learner):
    """One backbone and T heads.

    ``"refit"``: round t trains the backbone and heads 1..t together on the residuals of all rounds
    (sum of losses) and states all outputs again. ``"frozen"``: the backbone is trained in the first
    round and stays; later rounds train their head alone, and nothing has to be stated again.

    Parameters
    ----------
    backbone
        ``() -> Module`` that maps ``(b, ...)`` to ``(b, h)``, or a template.
    sharing
        ``"refit"`` or ``"frozen"``.
    schedule
        Loss, optimiser, epochs, batches.
    scale_residual
        See :class:`Learner`.
    """

    name = "shared"
    savable = True

    def __init__(
        self,
        backbone: nn.Module | Callable[[], nn.Module],
        sharing: str = "refit",
        schedule: Schedule | None = None,
        *,
        scale_residual: bool = True,
    ) -> None:
        super().__init__(scale_residual=scale_residual)
        self.backbone = backbone
        self.sharing = choice("sharing", sharing, ("refit", "frozen"))
        self.restates = self.sharing == "refit"
        self.schedule = schedule or Schedule()
        self._body: nn.Module = nn.Identity()
        self._heads: list[nn.Module] = []
        self._targets: list[Tensor] = []
        self._kept: dict[int, tuple[nn.Module, list[nn.Module]]] = {}
        self._rows: Tensor = torch.zeros(0)
        self._weight: Tensor | None = None

    def fresh(self) -> Self:
        """Return another learner of the same backbone."""
        return type(self)(
            self.backbone, self.sharing, self.schedule, scale_residual=self.scale_residual
        )

    def _prepare(self, X: npt.NDArray[Any], sample_weight: Float64 | None) -> None:
        self._rows, self._heads, self._targets, self._kept = to_tensor(X), [], [], {}
        self._weight = None
        if sample_weight is not None:
            self._weight = torch.from_numpy(sample_weight / sample_weight.mean()).float()

    def _fit(self, t: int, R: Float64, seed: np.random.SeedSequence) -> None:
        with seeded(seed) as generator, torch.enable_grad():
            if t == 1:
                self._body = made(self.backbone)
            # A round may be asked twice: its first head is forgotten.
            self._heads, self._targets = self._heads[: t - 1], self._targets[: t - 1]
            with torch.no_grad():
                width = self._body.eval()(self._rows[:1]).shape[-1]
            self._heads.append(nn.Linear(width, R.shape[1]))
            self._targets.append(to_tensor(R))
            body_moves = self.restates or t == 1
            first = 0 if self.restates else t - 1
            heads, targets = self._heads[first:], torch.stack(self._targets[first:], dim=1)
            parameters = [p for head in heads for p in head.parameters()]
            parameters += list(self._body.parameters()) if body_moves else []
            self._body.requires_grad_(body_moves).train(body_moves)
            forked = _Forked(self._body, heads)
            train(
                parameters,
                lambda rows: forked(self._rows[rows]) - targets[rows],
                len(self._rows),
                self.schedule,
                generator,
                self._weight,
            )
        if self.restates:  # training goes on from here, and may turn out to have ended here
            self._kept[t] = (copy.deepcopy(self._body), copy.deepcopy(self._heads))

    def predict_all(self, t: int, X: npt.NDArray[Any]) -> Float64:
        """Return the outputs ``(t, n, K)`` of rounds 1..t by one pass through the backbone."""
        if not all(s in self._scales for s in range(1, t + 1)) or len(X) == 0:
            return super().predict_all(t, X)
        found = evaluate(_Forked(self._body, self._heads[:t]), to_tensor(X))
        scales = np.stack([self._scales[s] for s in range(1, t + 1)])
        return np.ascontiguousarray((found * scales).swapaxes(0, 1))

    def _predict(self, t: int, X: npt.NDArray[Any]) -> Float64:
        return evaluate(nn.Sequential(self._body, self._heads[t - 1]), to_tensor(X))

    def _keep(self, rounds: int) -> None:
        if rounds in self._kept:
            self._body, self._heads = self._kept[rounds]
        self._heads = self._heads[:rounds]
        self._kept, self._targets, self._rows = {}, [], torch.zeros(0)

    def _saved(self) -> dict[str, npt.NDArray[Any]]:
        parts = {"body": self._body, **{f"head/{i}": h for i, h in enumerate(self._heads)}}
        return {
            f"{part}/{name}": np.ascontiguousarray(tensor.numpy())
            for part, module in parts.items()
            for name, tensor in module.state_dict().items()
        }

    def _restore(self, rounds: list[int], arrays: dict[str, npt.NDArray[Any]]) -> None:
        with seeded(np.random.SeedSequence(0)):  # what it draws is overwritten
            self._body = made(self.backbone)
            shapes = [arrays[f"head/{i}/weight"].shape for i in range(len(rounds))]
            self._heads = [nn.Linear(width, outputs) for outputs, width in shapes]
        load_state(self._body, arrays, "body/")
        for i, head in enumerate(self._heads):
            load_state(head, arrays, f"head/{i}/")

    def describe(self) -> dict[str, Any]:
        """Return name and sharing."""
        return {**super().describe(), "sharing": self.sharing}


class _Forked(nn.Module):
    """A backbone and the outputs of several heads, ``(b, t, K)``."""

    def __init__(self, body: nn.Module, heads: list[nn.Module]) -> None:
        super().__init__()
        self.body, self.heads = body, nn.ModuleList(heads)

    def forward(self, rows: Tensor) -> Tensor:
        shared = self.body(rows)
        return torch.stack([head(shared) for head in self.heads], dim=1)
