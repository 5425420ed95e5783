"""Adam's state at a checkpoint: which step a record's gradient alone would have led to.

Neighbours: :mod:`.projected`, whose method LESS compares such steps with validation gradients.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equigrad._validate import positive_int
from equigrad.errors import ConfigError

__all__ = ["AdamMoments"]


@dataclass(frozen=True, eq=False)
class AdamMoments:
    """The moments of Adam or AdamW at one checkpoint.

    Attributes
    ----------
    step
        Steps made, >= 0.
    first, second
        Running means of gradients and of their squares, by parameter name.
    betas
        Their decay rates.
    eps
        Added to the root.
    """

    step: int
    first: Mapping[str, Tensor]
    second: Mapping[str, Tensor]
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        positive_int("step", self.step, least=0)

    @classmethod
    def of(cls, optimizer: torch.optim.Optimizer, model: nn.Module) -> "AdamMoments":
        """Return copies of an optimiser's moments for the trainable parameters of ``model``.

        Raises
        ------
        ConfigError
            If the optimiser is not of Adam's kind, or has not made a step.
        """
        betas, eps, first, second, step = (0.9, 0.999), 1e-8, {}, {}, 0
        groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            state, group = optimizer.state.get(parameter, {}), groups.get(id(parameter), {})
            if "exp_avg" not in state or "betas" not in group:
                raise ConfigError(
                    f"Expected an optimiser of Adam's kind that has made a step, got "
                    f"{type(optimizer).__name__} without moments of {name!r}. Take them after a "
                    "step, or score without them."
                )
            first[name], second[name] = state["exp_avg"].clone(), state["exp_avg_sq"].clone()
            betas, eps, step = group["betas"], group["eps"], int(state["step"])
        return cls(step, first, second, (float(betas[0]), float(betas[1])), float(eps))

    def changes(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """Return, by parameter, the function from rows of gradients to Adam's steps by each alone.

        With t the step to come, a row g becomes ``m' / (sqrt(v') + eps)`` where
        ``m' = (b1 m + (1 - b1) g) / (1 - b1^t)`` and ``v'`` likewise of ``g^2``.
        """
        return {name: self._change(name) for name in self.first}

    def _change(self, name: str) -> Callable[[Tensor], Tensor]:
        (one, two), step = self.betas, self.step + 1

        def change(rows: Tensor) -> Tensor:
            first = self.first[name].to(rows).lerp(rows, 1 - one) / (1 - one**step)
            second = self.second[name].to(rows).lerp(rows.square(), 1 - two) / (1 - two**step)
            return first / (second.sqrt() + self.eps)

        return change
