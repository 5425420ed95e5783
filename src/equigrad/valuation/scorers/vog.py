"""Variance of gradients (VOG): how much the slope of a record's own output moves in training.

Source: section 3.2 of the specification, after Agarwal, D'souza, Hooker 2022 (arXiv 2008.11600)
and its public code, whose mistakes are not repeated: means run over exactly the stage's
checkpoints, and a class without spread gives 0 and never NaN.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from equigrad._validate import choice
from equigrad.errors import CheckpointError, ConfigError, DataError
from equigrad.gradients.calling import call_model
from equigrad.privacy.training.rows import map_inputs
from equigrad.valuation.base import SCORERS, Float64, State, StreamedScorer
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.input_gradients import TARGETS, Target, input_gradients
from equigrad.valuation.visit import Visit, only_input

__all__ = ["PARITIES", "REDUCTIONS", "STAGES", "Vog"]

REDUCTIONS: Final = ("raw", "meanvar")
"""Mean over pixels of the standard deviation; of the variance."""
STAGES: Final = ("all", "early", "middle", "late")
"""All checkpoints; the first ceil(T/3); those in between; the last ceil(T/3)."""
PARITIES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "vog-toy": {"target": "prob", "channel_mean": False},
        "vog-imagenet": {"target": "logit", "channel_mean": True},
    }
)
"""What the scripts of the public code compute, by name, without their mistakes."""
_LEAST_SPREAD: Final = 1e-12


@SCORERS.register("vog")
class Vog(StreamedScorer):
    """The spread over checkpoints of ``S_t = d z_y / dx`` (or ``d p_y / dx``), averaged over x.

    With ``m = mean_t S_t`` and ``v = mean_t (S_t - m)^2`` for each pixel, ``raw`` is the mean over
    pixels of ``sqrt(v)`` (despite the name a standard deviation), ``meanvar`` that of ``v``.
    Identical checkpoints give 0. In the unit of the slope, or of its square.

    Parameters
    ----------
    target
        ``"logit"`` (default): the given label's logit before the softmax; ``"prob"``: its
        probability.
    reduction
        One of :data:`REDUCTIONS`.
    channel_mean
        Average S over axis 1 of images ``(B, C, ...)`` before anything else; False by default.
    class_norm
        Subtract the mean and divide by the standard deviation (ddof 0) of the records of the same
        label: 0 where that is below 1e-12 or the class has one record. The locality becomes
        ``pooled``.
    abs
        Take the absolute value, which changes class-normed scores only.
    stage
        One of :data:`STAGES`; a stage with fewer than two checkpoints is refused.
    parity
        One of :data:`PARITIES`: sets target and channel mean as that script of the public code.

    Raises
    ------
    ConfigError
        If a value is unknown, or contradicts ``parity``.
    """

    name = "vog"
    orientation = "harder"
    least_checkpoints = 2
    classes_only = True

    def __init__(
        self,
        *,
        target: Target | None = None,
        reduction: str = "raw",
        channel_mean: bool | None = None,
        class_norm: bool = False,
        abs: bool = False,  # noqa: A002 - the specification's name
        stage: str = "all",
        parity: str | None = None,
    ) -> None:
        preset = {} if parity is None else PARITIES[choice("parity", parity, PARITIES)]
        for key, value in {"target": target, "channel_mean": channel_mean}.items():
            if preset.get(key, value) != value and value is not None:
                raise ConfigError(
                    f"Expected {key}={preset[key]!r} with parity={parity!r}, got {key}={value!r}. "
                    "Leave one of them out."
                )
        self.target: Target = target or preset.get("target", "logit")
        choice("target", self.target, TARGETS)
        self.channel_mean = bool(channel_mean or preset.get("channel_mean", False))
        self.reduction = choice("reduction", reduction, REDUCTIONS)
        self.class_norm, self.abs = class_norm, abs
        self.stage = choice("stage", stage, STAGES)
        self.locality = "pooled" if class_norm else "record"

    def settings(self) -> dict[str, Any]:
        """Return the settings; a parity is told by what it set."""
        names = ("target", "reduction", "channel_mean", "class_norm", "abs", "stage")
        return {name: getattr(self, name) for name in names}

    def chosen(self, count: int) -> Sequence[int]:
        """Return the checkpoints of the stage."""
        third = -(-count // 3)
        return {
            "all": range(count),
            "early": range(third),
            "middle": range(third, count - third),
            "late": range(count - third, count),
        }[self.stage]

    def check(self, context: ScoringContext) -> None:
        """Refuse also too short a stage, inputs without features, and tables with channel means."""
        count = len(self.source(context))
        have = len(self.chosen(count))
        if have < self.least_checkpoints:
            raise CheckpointError(
                f"Expected at least {self.least_checkpoints} checkpoints in the stage "
                f"{self.stage!r} of vog, got {have} of {count}. Keep more of them while training"
                f"{'' if self.stage == 'all' else ', or take stage=' + repr('all')}."
            )
        super().check(context)
        shape = tuple(only_input(context.first).shape)
        if self.channel_mean and len(shape) < 3:
            raise DataError(
                "Expected images (B, C, ...) for channel_mean, got an input of shape "
                f"(B, {', '.join(map(str, shape[1:]))}). Leave channel_mean out for tables."
            )

    def warnings(self, context: ScoringContext) -> list[str]:
        """Return a warning if the model is linear, so that a class has one value."""
        if self.target == "logit" and _is_linear(self, context):
            return [
                "The model is linear: d z_y / dx is the same for all records of a class, and so is "
                "VOG (0 after class_norm). target='prob' tells records apart."
            ]
        return []

    def begin(self, n: int, context: ScoringContext) -> dict[str, Tensor]:
        """Return mean and sum of squared deviations for each pixel, and one count per record."""
        shape = context.sample.shape[1:]
        shape = shape[1:] if self.channel_mean else shape
        device = self.source(context).device
        return {
            "mean": torch.zeros(n, *shape, dtype=torch.float64, device=device),
            "m2": torch.zeros(n, *shape, dtype=torch.float64, device=device),
            "count": torch.zeros(n, dtype=torch.float64, device=device),
        }

    def visit(self, state: State, visit: Visit) -> None:
        """Take the slopes of a visit into mean and deviations (Welford)."""
        slopes = input_gradients(visit, self.target)
        if self.channel_mean:
            slopes = slopes.mean(dim=1)
        state["count"][visit.rows] += 1
        count = state["count"][visit.rows].view(-1, *[1] * (slopes.dim() - 1))
        away = slopes - state["mean"][visit.rows]
        state["mean"][visit.rows] += away / count
        state["m2"][visit.rows] += away * (slopes - state["mean"][visit.rows])

    def values(self, state: State, context: ScoringContext) -> Tensor:
        """Return the mean over pixels of the deviation or of its square."""
        del context
        variance = state["m2"].flatten(1) / state["count"][:, None]
        spread = variance.clamp_min(0)
        return (spread.sqrt() if self.reduction == "raw" else spread).mean(dim=1)

    def finish(self, values: Float64, context: ScoringContext) -> Float64:
        """Norm by class and take the absolute value, where asked to."""
        if self.class_norm:
            values = _within_class(values, context.labels.numpy())
        return np.abs(values) if self.abs else values


def _within_class(values: Float64, labels: Float64) -> Float64:
    """Return values less their class's mean over its deviation, 0 where that has no meaning."""
    _, first, place, count = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    # From the class's first value: equal values then deviate by exactly 0.
    away = values - values[first][place]
    away = away - (np.bincount(place, away) / count)[place]
    spread = np.sqrt(np.bincount(place, away**2) / count)
    flat = (spread < _LEAST_SPREAD) | (count == 1)
    normed: Float64 = np.where(flat[place], 0.0, away / np.where(flat, 1.0, spread)[place])
    return normed


def _is_linear(scorer: Vog, context: ScoringContext) -> bool:
    """Return whether logits have the same slope at three points that no record decides on.

    Two would not do: a network of ReLUs without bias has one slope along a ray.
    """
    source = scorer.source(context)
    shape = context.sample.shape[1:]
    one = torch.linspace(-1, 2, shape.numel(), dtype=context.sample.dtype)
    points = torch.stack([one, torch.zeros_like(one), -2 * one.flip(0)]).view(3, *shape)
    points = points.to(source.device).requires_grad_(True)
    with source.opened() as model, torch.enable_grad():
        source.load(scorer.chosen(len(source))[-1])
        outputs = call_model(model, map_inputs(context.first, lambda _: points))
        weights = torch.arange(1, outputs.shape[1] + 1, device=outputs.device, dtype=outputs.dtype)
        total = (outputs * weights).sum()
        if not total.requires_grad:
            return True
        (slopes,) = torch.autograd.grad(total, points, allow_unused=True, materialize_grads=True)
    scale = float(slopes.abs().max())
    error = 1e-10 if slopes.dtype == torch.float64 else 1e-5
    return bool((slopes - slopes[:1]).abs().max() <= error * scale)
