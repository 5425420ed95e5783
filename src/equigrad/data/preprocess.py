"""From a table's columns to numbers, fitted on the training part alone.

Used by :mod:`equigrad.data.tables` and :mod:`equigrad.data.own`. In a real federation the parties
must agree on this preparation beforehand; here it is fitted on the training records of all of
them together, which is the common practice in experiments.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from equigrad.errors import DataError

__all__ = ["MISSING", "TablePreprocessor", "raw_values", "shown", "text_columns"]

#: The category that stands for an empty cell of a categorical column.
MISSING = "missing"


def text_columns(frame: pd.DataFrame, columns: Iterable[str]) -> list[str]:
    """Return those of ``columns`` that hold something other than numbers or booleans."""
    return [
        name
        for name in columns
        if not (pd.api.types.is_numeric_dtype(frame[name]) or frame[name].dtype == bool)
    ]


def raw_values(column: "pd.Series[Any]") -> npt.NDArray[Any]:
    """Return a column as it was read: numbers as they are, all else as text, empty as "missing"."""
    if pd.api.types.is_numeric_dtype(column) and not column.isna().any():
        return column.to_numpy()
    return _categories(column)


def shown(value: object) -> str:
    """Return a cell's value as an error message shows it: text in quotes, numbers plain."""
    return repr(value.item() if isinstance(value, np.generic) else value)


def _categories(column: "pd.Series[Any]") -> npt.NDArray[Any]:
    empty = column.isna().to_numpy()
    values = column.astype(object).to_numpy(dtype=object, copy=True)
    values[empty] = MISSING
    return values.astype(str)


class TablePreprocessor:
    """Standardised numbers followed by one-hot categories.

    - A number is imputed by the median of the training part where it is empty, then standardised
      by the training part's mean and deviation (a constant column becomes 0).
    - A category becomes one 0/1 column per value seen in training; an empty cell is the category
      ``"missing"``; a value not seen in training gives zeros in all of them.

    Parameters
    ----------
    numeric, categorical
        Column names; each keeps its order.
    standardise
        Whether numbers are standardised, or only imputed.
    """

    def __init__(
        self, numeric: Sequence[str], categorical: Sequence[str], *, standardise: bool = True
    ) -> None:
        if not (numeric or categorical):
            raise DataError("Expected at least one feature column, got none. Drop fewer columns.")
        self.numeric = list(numeric)
        self.categorical = list(categorical)
        numbers = [SimpleImputer(strategy="median", keep_empty_features=True)]
        if standardise:
            numbers.append(StandardScaler())
        encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        count = len(self.numeric)
        self._transformer = ColumnTransformer(
            [
                ("numbers", make_pipeline(*numbers), list(range(count))),
                ("categories", encoder, list(range(count, count + len(self.categorical)))),
            ]
        )

    def fit(self, frame: pd.DataFrame) -> "TablePreprocessor":
        """Learn medians, means, deviations and categories from ``frame``; return self."""
        self._transformer.fit(self._matrix(frame))
        return self

    def transform(self, frame: pd.DataFrame) -> npt.NDArray[np.float32]:
        """Return the features of ``frame``, ``(n, d) float32``.

        Raises
        ------
        DataError
            If a numeric column holds something that is not a number, or an infinite one.
        """
        return np.asarray(self._transformer.transform(self._matrix(frame)), dtype=np.float32)

    @property
    def feature_names_(self) -> tuple[str, ...]:
        """One name per feature: the column's, or ``column=value`` for a category."""
        names = list(self.numeric)
        if self.categorical:
            encoder = self._transformer.named_transformers_["categories"]
            for column, values in zip(self.categorical, encoder.categories_, strict=True):
                names.extend(f"{column}={value}" for value in values)
        return tuple(names)

    def _matrix(self, frame: pd.DataFrame) -> npt.NDArray[Any]:
        """Return numbers and categories side by side, ``(n, columns) object``."""
        matrix = np.empty((len(frame), len(self.numeric) + len(self.categorical)), dtype=object)
        for i, name in enumerate(self.numeric):
            matrix[:, i] = _numbers(frame[name], name)
        for i, name in enumerate(self.categorical, start=len(self.numeric)):
            matrix[:, i] = _categories(frame[name])
        return matrix


def _numbers(column: "pd.Series[Any]", name: str) -> npt.NDArray[np.float64]:
    try:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise DataError(
            f"Expected numbers in the column {name!r}, got {shown(column.iloc[0])} and the like. "
            "Declare it categorical (data.options.categorical in a run file), or drop it."
        ) from None
    if np.isinf(values).any():
        raise DataError(f"Expected finite numbers in the column {name!r}, got inf. Clean it first.")
    return values
