"""One party's columns as numbers, fitted on its own rows and kept as plain values.

Unlike :mod:`equigrad.data.preprocess`, which fits on everybody's training records for
experiments, an encoder belongs to one party; it is written down with its model, so that rows added
to the party's file later change nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from equigrad.data.preprocess import MISSING, shown, text_columns
from equigrad.errors import DataError

__all__ = ["ColumnEncoder"]

#: A text column with more values than this, and than half the rows, is no category.
_MOST_CATEGORIES: Final = 100


@dataclass(frozen=True)
class ColumnEncoder:
    """Numbers, standardised or as they are, followed by one 0/1 column for each category.

    - An empty cell of a number is NaN, for the learner to take or refuse.
    - An empty cell of a category is the category ``"missing"`` if there was one at fitting.
    - A category not seen at fitting is 0 in all its columns.
    - A column that held one value only is left out.

    Attributes
    ----------
    numeric, shift, scale
        Number columns; each becomes ``(value - shift) / scale``.
    categorical, levels
        Category columns, and the values of each in order.
    dropped
        Columns left out because they told no rows apart.
    """

    numeric: tuple[str, ...]
    shift: tuple[float, ...]
    scale: tuple[float, ...]
    categorical: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    dropped: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        columns: Sequence[str],
        categorical: Collection[str] = (),
        *,
        standardise: bool = True,
        whose: str = "the table",
    ) -> Self:
        """Return the encoder of ``columns`` of ``frame``.

        Parameters
        ----------
        frame
            ``N`` rows.
        columns
            Feature columns, in order.
        categorical
            Those that are categories although they hold numbers, or text with very many values;
            other columns of text are categories too.
        standardise
            Subtract the mean and divide by the standard deviation (ddof 0) of the values there
            are.
        whose
            Names the table in errors.

        Raises
        ------
        DataError
            If there is no column that tells rows apart, a number is infinite, or a text column
            has more values than a category could.
        """
        texts = set(categorical) | set(text_columns(frame, columns))
        numbers, dropped = {}, []
        levels: dict[str, tuple[str, ...]] = {}
        for name in columns:
            if name in texts:
                found = tuple(np.unique(_categories(frame[name])).tolist())
                if name not in categorical:
                    _refuse_names(name, len(found), len(frame), whose)
                if len(found) > 1:
                    levels[name] = found
            else:
                values = _numbers(frame[name], name, whose)
                known = values[~np.isnan(values)]
                if len(known) and (len(known) < len(values) or known.min() < known.max()):
                    numbers[name] = _moments(known) if standardise else (0.0, 1.0)
            if name not in levels and name not in numbers:
                dropped.append(name)
        if not (numbers or levels):
            raise DataError(
                f"Expected columns of {whose} that tell rows apart, got "
                f"{'only constant ones' if dropped else 'none'}. Give it a column, or leave the "
                "party out."
            )
        shift, scale = zip(*numbers.values(), strict=True) if numbers else ((), ())
        return cls(
            tuple(numbers), shift, scale, tuple(levels), tuple(levels.values()), tuple(dropped)
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that :meth:`transform` needs."""
        return (*self.numeric, *self.categorical)

    @property
    def names(self) -> tuple[str, ...]:
        """One name per feature: the column's, or ``column=value`` for a category."""
        each = zip(self.categorical, self.levels, strict=True)
        return (*self.numeric, *(f"{c}={value}" for c, values in each for value in values))

    def transform(self, frame: pd.DataFrame, whose: str = "the table") -> npt.NDArray[np.float64]:
        """Return the features ``(n, d) float64`` of a frame with :attr:`columns`.

        Raises
        ------
        DataError
            If a number column holds something else, or infinity.
        """
        X = np.zeros((len(frame), len(self.names)))
        for j, (name, shift, scale) in enumerate(
            zip(self.numeric, self.shift, self.scale, strict=True)
        ):
            X[:, j] = (_numbers(frame[name], name, whose) - shift) / scale
        first = len(self.numeric)
        for name, values in zip(self.categorical, self.levels, strict=True):
            found, known = _categories(frame[name]), np.array(values)
            at = np.searchsorted(known, found).clip(max=len(known) - 1)
            rows = np.flatnonzero(known[at] == found)
            X[rows, first + at[rows]] = 1.0
            first += len(values)
        return X

    def to_dict(self) -> dict[str, Any]:
        """Return what :meth:`from_dict` needs, in JSON's types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the encoder that :meth:`to_dict` told, to the bit."""
        plain = {name: tuple(value) for name, value in values.items() if name != "levels"}
        return cls(**plain, levels=tuple(tuple(each) for each in values["levels"]))


def _moments(known: npt.NDArray[np.float64]) -> tuple[float, float]:
    spread = float(known.std())
    return float(known.mean()), spread if spread > 0.0 else 1.0


def _refuse_names(name: str, distinct: int, n_rows: int, whose: str) -> None:
    if distinct > max(_MOST_CATEGORIES, n_rows / 2):
        raise DataError(
            f"Expected categories in the text column {name!r} of {whose}, got {distinct} different "
            f"values in {n_rows} records. Leave it out of the party's columns, or name it in "
            "categorical if it is meant."
        )


def _categories(column: "pd.Series[Any]") -> npt.NDArray[np.str_]:
    """Return cells as text; a whole number has no point, whatever type the file gave it."""
    empty = column.isna().to_numpy()
    if pd.api.types.is_float_dtype(column):
        known = column.to_numpy(dtype=np.float64)[~empty]
        if (known == np.floor(known)).all() and (np.abs(known) < 2.0**53).all():
            column = column.fillna(0).astype(np.int64)
    texts = column.astype(object).to_numpy(dtype=object, copy=True)
    texts[empty] = MISSING
    return texts.astype(str)


def _numbers(column: "pd.Series[Any]", name: str, whose: str) -> npt.NDArray[np.float64]:
    try:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise DataError(
            f"Expected numbers in the column {name!r} of {whose}, got {shown(_first_text(column))} "
            "and the like. Name it in categorical, or leave it out of the party's columns."
        ) from None
    if np.isinf(values).any():
        raise DataError(
            f"Expected finite numbers in the column {name!r} of {whose}, got infinity in "
            f"{int(np.isinf(values).sum())} records. Clean it first."
        )
    return values


def _first_text(column: "pd.Series[Any]") -> object:
    wrong = pd.to_numeric(column, errors="coerce").isna() & column.notna()
    return column[wrong].iloc[0] if wrong.any() else column.iloc[0]
