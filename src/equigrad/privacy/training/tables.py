"""Numbers for a network from the columns of a table, by public constants only.

Scaling by minima or means of the records would put un-noised facts about them into the model. So
bounds and categories are declared; what is read from the records is named and told. Neighbour:
:mod:`.classifier`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from equigrad.errors import ConfigError, DataError

__all__ = ["Encoder", "numeric_names", "plain_frame"]

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Encoder:
    """Turns validated columns into network inputs.

    Attributes
    ----------
    low, high
        ``(n_numeric,)`` bounds of the numeric columns, ``None`` for values as they are. A value is
        cut to its bounds and mapped to [-1, 1].
    mean, deviation
        ``(n_numeric,)`` statistics of the training records, ``None`` unless asked for.
    categories
        Declared values of each categorical column; an undeclared value becomes all zeros.
    """

    low: Float | None
    high: Float | None
    mean: Float | None
    deviation: Float | None
    categories: Mapping[str, tuple[Any, ...]]

    @classmethod
    def make(
        cls,
        numbers: Float,
        names: Sequence[str] | None,
        *,
        bounds: object,
        categories: Mapping[str, Sequence[Any]] | None,
        fit_scaling: bool,
    ) -> "Encoder":
        """Check the declarations and return the encoder.

        Parameters
        ----------
        numbers
            ``(n, n_numeric)`` numeric training columns; read only if ``fit_scaling``.
        names
            Names of the numeric columns, ``None`` if they have none.
        bounds
            ``None``; one pair for all columns; ``(n_numeric, 2)``; or a mapping by name.
        categories
            Declared values by column name.
        fit_scaling
            Take mean and deviation of the training records, without noise.

        Raises
        ------
        ConfigError
            If bounds do not fit the columns, or both ways of scaling are asked for.
        """
        if bounds is not None and fit_scaling:
            raise ConfigError("Expected bounds or fit_scaling, got both. Take bounds alone.")
        low, high = _bounds(bounds, numbers.shape[1], names)
        mean = numbers.mean(0) if fit_scaling else None
        deviation = numbers.std(0) if fit_scaling else None
        if deviation is not None:
            deviation = np.where(deviation > 0, deviation, 1.0)
        declared = {name: tuple(values) for name, values in (categories or {}).items()}
        return cls(low, high, mean, deviation, declared)

    def encode(self, numbers: Float, frame: pd.DataFrame | None) -> npt.NDArray[np.float32]:
        """Return ``(n, n_inputs) float32``: scaled numbers, then one column for each category."""
        if self.low is not None and self.high is not None:
            cut = np.clip(numbers, self.low, self.high)
            numbers = 2 * (cut - self.low) / (self.high - self.low) - 1
        elif self.mean is not None and self.deviation is not None:
            numbers = (numbers - self.mean) / self.deviation
        parts = [numbers]
        for name, values in self.categories.items():
            column = np.asarray([] if frame is None else frame[name], dtype=object)
            parts.append(np.stack([column == value for value in values], axis=1).astype(float))
        joined = np.concatenate(parts, axis=1).astype(np.float32)
        if not np.isfinite(joined).all():
            raise DataError(
                "Expected numbers that float32 can hold, got larger ones. Declare bounds, or "
                "scale the columns."
            )
        return joined


def plain_frame(
    table: object, categories: Mapping[str, Sequence[Any]] | None
) -> pd.DataFrame | None:
    """Return ``table`` if it is a frame with declared categories, else ``None``.

    Raises
    ------
    DataError
        If a declared column is missing, or an undeclared one holds no numbers.
    """
    if not categories:
        if isinstance(table, pd.DataFrame):
            _require_numbers(table)
        return None
    if not isinstance(table, pd.DataFrame):
        raise DataError(
            f"Expected a pandas DataFrame with the columns of categories, got "
            f"{type(table).__name__}. Give a frame, or encode the columns yourself."
        )
    missing = [name for name in categories if name not in table.columns]
    if missing:
        raise DataError(
            f"Expected the declared column {missing[0]!r}, got columns "
            f"{', '.join(map(str, table.columns))}. Correct categories."
        )
    _require_numbers(table.drop(columns=list(categories)))
    return table


def numeric_names(frame: pd.DataFrame, categories: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the names of the columns that are not categories."""
    return [str(name) for name in frame.columns if name not in categories]


def _require_numbers(frame: pd.DataFrame) -> None:
    for name in frame.columns:
        kind = frame[name].dtype
        if isinstance(kind, pd.CategoricalDtype) or pd.api.types.is_string_dtype(kind):
            if all(isinstance(value, int | float) for value in frame[name]):
                continue
            raise DataError(
                f"Expected numbers in column {name!r}, got {kind}. Declare its public values by "
                f"categories={{{name!r}: [...]}}: reading them from the records would tell who is "
                "among them."
            )


def _bounds(
    bounds: object, n_numeric: int, names: Sequence[str] | None
) -> tuple[Float | None, Float | None]:
    """Return lower and upper bounds of the numeric columns."""
    if bounds is None:
        return None, None
    if isinstance(bounds, Mapping):
        if names is None or set(bounds) != set(names):
            raise ConfigError(
                f"Expected bounds for the numeric columns {list(names or [])}, got bounds for "
                f"{sorted(map(str, bounds))}. Declare each of them."
            )
        bounds = [bounds[name] for name in names]
    array = np.asarray(bounds, dtype=np.float64)
    if array.shape == (2,):
        array = np.tile(array, (n_numeric, 1))
    if array.shape != (n_numeric, 2) or not (array[:, 0] < array[:, 1]).all():
        raise ConfigError(
            f"Expected bounds as a pair low < high, or one for each of {n_numeric} numeric "
            f"columns, got shape {array.shape}."
        )
    if not np.isfinite(array).all():
        raise ConfigError("Expected finite bounds, got NaN or infinity.")
    return array[:, 0], array[:, 1]
