"""The types that keys of a run file are made of, and the root of all its tables.

:mod:`equigrad.federation.config.schema` puts them together.
"""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

__all__ = [
    "CURRENCY",
    "DECIMAL",
    "Currency",
    "Decimal",
    "Fraction",
    "Name",
    "Options",
    "PositiveFloat",
    "PositiveOrInf",
    "Section",
]

DECIMAL = r"^[0-9]+(\.[0-9]+)?$"
"""Form of an amount of money."""

CURRENCY = r"^[A-Z][A-Z0-9]{2,7}$"
"""Form of a currency's code."""

Decimal = Annotated[str, Field(pattern=DECIMAL)]
Currency = Annotated[str, Field(pattern=CURRENCY)]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _infinity(value: Any) -> Any:
    return math.inf if value == "inf" else value


def _json_number(value: float) -> float | str:
    return "inf" if value == math.inf else value


def _json_values(value: Any) -> Any:
    """Refuse what could not be written into the run folder's JSON and read back the same."""
    if isinstance(value, dict):
        return {k: _json_values(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_json_values(v) for v in value]
    if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(f"expected text, true, false, finite numbers, lists and tables, got {value}")


PositiveOrInf = Annotated[
    float, BeforeValidator(_infinity), Field(gt=0), PlainSerializer(_json_number)
]
"""A number > 0 or inf, which JSON lacks: it is dumped as "inf"."""

Options = Annotated[dict[str, Any], AfterValidator(_json_values)]


class Section(BaseModel):
    """A table of the run file: typed strictly, unknown keys refused, frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
