"""Where a learned schedule is used: a public map from a round to "network" or "plain clock".

A round's place is decided by what is public before anyone bids: the number of listings and the
budget per attested record. Outside the map nothing was validated, and the plain clock is used.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.errors import ConfigError

__all__ = ["Bands"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bands:
    """Cells of rounds, by number of parties and by money per record.

    Attributes
    ----------
    parties
        Ascending edges, ``P + 1`` numbers: cell p holds ``parties[p] <= N < parties[p + 1]``.
    money
        Ascending edges, ``M + 1`` numbers, of ``B / (D v_ref)``, likewise.
    learned
        ``P`` rows of ``M`` booleans: whether the network serves the cell.
    """

    parties: tuple[float, ...]
    money: tuple[float, ...]
    learned: tuple[tuple[bool, ...], ...]

    def __post_init__(self) -> None:
        for name, edges in (("parties", self.parties), ("money", self.money)):
            array = np.asarray(edges, dtype=np.float64)
            if array.ndim != 1 or len(array) < 2 or not (np.diff(array) > 0).all():
                raise ConfigError(f"Expected {name} as at least two ascending edges, got {edges}.")
        cells = (len(self.parties) - 1, len(self.money) - 1)
        if np.shape(self.learned) != cells:
            raise ConfigError(
                f"Expected learned of shape {cells}, one truth value for each cell, got "
                f"{np.shape(self.learned)}."
            )

    def cell(self, parties: int, money: float) -> tuple[int, int] | None:
        """Return the cell of a round; None if it lies outside."""
        p = int(np.searchsorted(self.parties, parties, side="right")) - 1
        m = int(np.searchsorted(self.money, money, side="right")) - 1
        inside = 0 <= p < len(self.parties) - 1 and 0 <= m < len(self.money) - 1
        return (p, m) if inside else None

    def serves(self, parties: int, money: float) -> bool:
        """Return whether the network serves such a round; False outside."""
        cell = self.cell(parties, money)
        return cell is not None and self.learned[cell[0]][cell[1]]

    def describe(self) -> dict[str, Any]:
        """Return the bands as JSON data."""
        return {"parties": self.parties, "money": self.money, "learned": self.learned}

    @classmethod
    def of(cls, data: Any) -> "Bands":
        """Return the bands that :meth:`describe` described.

        Raises
        ------
        ConfigError
            If ``data`` is not such a description.
        """
        try:
            return cls(
                tuple(float(edge) for edge in data["parties"]),
                tuple(float(edge) for edge in data["money"]),
                tuple(tuple(bool(cell) for cell in row) for row in data["learned"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"Expected bands with parties, money and learned, got {error}."
            ) from error
