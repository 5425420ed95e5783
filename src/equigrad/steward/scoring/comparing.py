"""Whether the selection pays: both arms on the same test records, with an interval.

The bootstrap is paired: it draws test records (and repeats) once and looks at both arms on them,
so that what is hard for both does not blur their difference.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from equigrad.errors import DataError
from equigrad.gradients.calling import evaluating

__all__ = ["Comparison", "compared", "correct_on"]

_DRAWS: Final = 4000
_BATCH: Final = 2048
_BLOCK: Final = 2**22  # drawn numbers in memory at a time


@dataclass(frozen=True)
class Comparison:
    """Test accuracies of the two arms.

    Attributes
    ----------
    selected, baseline
        Mean accuracies over test records and repeats, in [0, 1].
    difference
        ``selected - baseline``.
    low, high
        95 % interval of the difference.
    records, repeats
        How many test records and repeats there were.
    """

    selected: float
    baseline: float
    difference: float
    low: float
    high: float
    records: int
    repeats: int

    @property
    def verdict(self) -> str:
        """``"selected better"``, ``"baseline better"``, or ``"no difference"`` (0 is inside)."""
        if self.low > 0:
            return "selected better"
        return "baseline better" if self.high < 0 else "no difference"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "selected": self.selected,
            "baseline": self.baseline,
            "difference": self.difference,
            "interval": [self.low, self.high],
            "confidence": 0.95,
            "verdict": self.verdict,
            "test_records": self.records,
            "repeats": self.repeats,
        }


def correct_on(model: nn.Module, features: torch.Tensor, labels: torch.Tensor) -> npt.NDArray[Any]:
    """Return ``(m,) bool``: on which records the model is right; outputs with NaN are wrong."""
    with evaluating(model), torch.no_grad():
        outputs = torch.cat([model(part) for part in torch.split(features, _BATCH)])
    right = (outputs.argmax(dim=1) == labels) & ~outputs.isnan().any(dim=1)
    return right.numpy()


def compared(
    selected: npt.NDArray[np.bool_],
    baseline: npt.NDArray[np.bool_],
    generator: np.random.Generator,
) -> Comparison:
    """Return the comparison with a 95 % percentile interval of the paired bootstrap.

    Parameters
    ----------
    selected, baseline
        ``(repeats, m) bool``: on which test records each training of an arm is right; row r of
        both began with the same weights.
    generator
        Draws records, and repeats if there are several.

    Raises
    ------
    DataError
        If shapes differ or there are no records.
    """
    if selected.shape != baseline.shape or selected.ndim != 2 or not selected.size:
        raise DataError(
            f"Expected the same test records and repeats of both arms, got {selected.shape} and "
            f"{baseline.shape}."
        )
    gaps = selected.astype(np.float64) - baseline.astype(np.float64)
    repeats, m = gaps.shape
    drawn = np.empty(_DRAWS)
    size = max(1, _BLOCK // m)
    for start in range(0, _DRAWS, size):
        count = min(size, _DRAWS - start)
        # How often a record is drawn is multinomial: one number for each instead of m indices.
        times = generator.multinomial(m, np.full(m, 1.0 / m), size=count)
        rounds = generator.multinomial(repeats, np.full(repeats, 1.0 / repeats), size=count)
        drawn[start : start + count] = np.einsum("br,rm,bm->b", rounds, gaps, times, optimize=True)
    drawn /= repeats * m
    low, high = np.quantile(drawn, [0.025, 0.975])
    ours, theirs = (float(np.mean(arm.mean(axis=1))) for arm in (selected, baseline))
    return Comparison(
        ours,
        theirs,
        ours - theirs,
        float(low),
        float(high),
        m,
        repeats,
    )
