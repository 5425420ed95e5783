"""Any PyTorch module, made anew for every round."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

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
from equigrad.errors import ModelError

__all__ = ["TorchLearner"]


class TorchLearner(Learner):
    """A network, trained on each round's residual from new parameters.

    Trained in float32, evaluated in float64 (see ``training``).

    Parameters
    ----------
    module
        ``(n_outputs) -> Module`` that maps ``(b, ...)`` to ``(b, n_outputs)``, or a template: its
        layers' parameters are drawn anew each round.
    schedule
        Loss, optimiser, epochs, batches; Adam for ten epochs by default.
    scale_residual
        See :class:`Learner`.
    """

    name = "torch"
    savable = True

    def __init__(
        self,
        module: nn.Module | Callable[[int], nn.Module],
        schedule: Schedule | None = None,
        *,
        scale_residual: bool = True,
    ) -> None:
        super().__init__(scale_residual=scale_residual)
        self.module = module
        self.schedule = schedule or Schedule()
        self._models: dict[int, nn.Module] = {}
        self._rows: Tensor = torch.zeros(0)
        self._weight: Tensor | None = None

    def fresh(self) -> Self:
        """Return another learner of the same module."""
        return type(self)(self.module, self.schedule, scale_residual=self.scale_residual)

    def _prepare(self, X: npt.NDArray[Any], sample_weight: Float64 | None) -> None:
        self._rows, self._models = to_tensor(X), {}
        self._weight = None
        if sample_weight is not None:
            self._weight = torch.from_numpy(sample_weight / sample_weight.mean()).float()

    def _fit(self, t: int, R: Float64, seed: np.random.SeedSequence) -> None:
        target = to_tensor(R)
        with seeded(seed) as generator, torch.enable_grad():
            model = self._made(R.shape[1]).train()
            shape = tuple(model.eval()(self._rows[:1]).shape)
            if shape != (1, R.shape[1]):
                raise ModelError(
                    f"Expected a module that returns {R.shape[1]} outputs a row, got shape {shape} "
                    "for one row. Give a function of the number of outputs."
                )
            model.train()
            train(
                list(model.parameters()),
                lambda rows: model(self._rows[rows]) - target[rows],
                len(self._rows),
                self.schedule,
                generator,
                self._weight,
            )
        self._models[t] = model.eval().requires_grad_(False)

    def _made(self, n_outputs: int) -> nn.Module:
        """Return a new module with parameters drawn anew."""
        return made(self.module, n_outputs)

    def _predict(self, t: int, X: npt.NDArray[Any]) -> Float64:
        return evaluate(self._models[t], to_tensor(X))

    def _keep(self, rounds: int) -> None:
        self._models = {t: model for t, model in self._models.items() if t <= rounds}
        self._rows, self._weight = torch.zeros(0), None

    def _saved(self) -> dict[str, npt.NDArray[Any]]:
        return {
            f"{t}/{name}": np.ascontiguousarray(tensor.numpy())
            for t, model in self._models.items()
            for name, tensor in model.state_dict().items()
        }

    def _restore(self, rounds: list[int], arrays: dict[str, npt.NDArray[Any]]) -> None:
        self._models = {}
        for t in rounds:
            with seeded(np.random.SeedSequence(0)):  # what it draws is overwritten
                model = self._made(self._n_outputs)
            load_state(model, arrays, f"{t}/")
            self._models[t] = model.eval().requires_grad_(False)

    def describe(self) -> dict[str, Any]:
        """Return the name and the schedule."""
        plain = {
            key: value
            for key, value in asdict(self.schedule).items()
            if isinstance(value, str | int | float)
        }
        return {**super().describe(), **plain}
