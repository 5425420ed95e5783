"""A learned schedule: a menu, what it was trained for, and its file.

The file is safetensors, so loading it runs no code. Clearing and verification use the integer
quality table that a schedule gives and that is published with the terms; the schedule itself is
needed only by whoever announces a round.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from equigrad._validate import positive, positive_int
from equigrad.errors import CheckpointError, ConfigError
from equigrad.market.ladder import Ladder
from equigrad.market.learned.bands import Bands
from equigrad.market.learned.menu import menu_quality, public_facts, validated_weights
from equigrad.market.quality import QualityTable

__all__ = ["Schedule"]

_FORMAT = "equigrad learned-clock schedule 1"

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Schedule:
    """A quality table for every round, from public facts alone.

    Attributes
    ----------
    weights
        The arrays of a menu (:mod:`equigrad.market.learned.menu`); stored as float32.
    mechanism
        The local mechanism it was trained for, such as ``"laplace"``.
    dim
        Dimension of the model it was trained for, >= 1.
    eps_max
        The highest epsilon it knows, > 0. The number of levels is free.
    bands
        Where the menu serves; elsewhere the plain clock does, ``Q[k] = k``.
    value_scale
        ``v_ref``, currency units per record that count as 1; > 0.
    notes
        Where it comes from: seeds, steps, validation; strings only.

    Raises
    ------
    ConfigError
        On construction, if an attribute is impossible.
    CheckpointError
        On construction, if the weights are not those of a menu, or not finite.
    """

    weights: Mapping[str, npt.ArrayLike]
    mechanism: str
    dim: int
    eps_max: float
    bands: Bands
    value_scale: float = 1.0
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        positive_int("dim", self.dim)
        positive("eps_max", self.eps_max)
        positive("value_scale", self.value_scale)
        single = {name: np.asarray(array, np.float32) for name, array in self.weights.items()}
        object.__setattr__(self, "weights", validated_weights(single))

    def check(self, mechanism: str, dim: int) -> None:
        """Raise ``CheckpointError`` unless it was trained for this market; any N will do."""
        for name, value in (("mechanism", mechanism), ("dim", dim)):
            own = getattr(self, name)
            if own != value:
                raise CheckpointError(
                    f"Expected a schedule trained for {name}={value!r}, got one for {own!r}. "
                    "Train one for this market, or use the plain clock."
                )

    def serves(self, sizes: npt.ArrayLike, budget: float) -> bool:
        """Return whether the menu, not the plain clock, serves such a round."""
        total = float(np.asarray(sizes, dtype=np.float64).sum())
        return self.bands.serves(np.size(sizes), budget / total / self.value_scale)

    def quality(
        self, party: npt.ArrayLike, sizes: npt.ArrayLike, budget: float, ladder: Ladder
    ) -> QualityTable:
        """Return the integer quality table to publish before anyone bids.

        Rounding may differ between machines in the last place before it is made integer, so the
        table, not the menu, is what is published and recorded.

        Parameters
        ----------
        party
            ``(N,)``, the names of all listings' parties, ascending.
        sizes
            ``(N,)``, their attested sizes, >= 1.
        budget
            B in currency units, > 0.
        ladder
            The levels for sale.

        Raises
        ------
        CheckpointError
            If the ladder reaches another epsilon than the schedule was trained for.
        ConfigError
            If a size or the budget is not positive.
        """
        d = np.asarray(sizes, dtype=np.float64)
        positive("budget", budget)
        if d.ndim != 1 or not d.size or not ((d > 0) & np.isfinite(d)).all():
            raise ConfigError("Expected sizes (N,) >= 1 of at least one listing.")
        if ladder.eps_max != self.eps_max:
            raise CheckpointError(
                f"Expected a ladder up to eps_max={self.eps_max}, which the schedule was trained "
                f"for, got {ladder.eps_max}. Train one for this ladder, or use the plain clock."
            )
        if not self.serves(d, budget):
            return QualityTable(np.arange(ladder.steps + 1, dtype=np.int64))
        facts = public_facts(d, budget, self.value_scale)
        rows = menu_quality(self._arrays, facts, ladder.levels)
        return QualityTable(rows, tuple(np.asarray(party, dtype=np.str_).tolist()))

    @property
    def _arrays(self) -> dict[str, Float64]:
        return self.weights  # type: ignore[return-value]  # made so on construction

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file's bytes, 64 hexadecimal digits."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the schedule as a safetensors file."""
        content: dict[str, Any] = {
            "format": _FORMAT,
            "mechanism": self.mechanism,
            "dim": self.dim,
            "eps_max": self.eps_max,
            "value_scale": self.value_scale,
            "bands": self.bands.describe(),
            "notes": dict(self.notes),
        }
        text = json.dumps(content, sort_keys=True)
        arrays = {name: array.astype(np.float32) for name, array in self._arrays.items()}
        # One entry only: safetensors writes several in any order, and the digest would vary.
        return save(arrays, metadata={"equigrad": text})

    @classmethod
    def from_bytes(cls, content: bytes, digest: str | None = None) -> "Schedule":
        """Return the schedule of a file.

        Parameters
        ----------
        content
            The bytes of the file.
        digest
            What SHA-256 of the bytes must be, as the terms of a round name it; None: not compared.

        Raises
        ------
        CheckpointError
            If the digest is another one, or the bytes are no schedule.
        """
        found = hashlib.sha256(content).hexdigest()
        if digest is not None and found != digest:
            raise CheckpointError(
                f"Expected a schedule with digest {digest}, got {found}. It is another file."
            )
        try:
            arrays = load(content)
            head = int.from_bytes(content[:8], "little")
            data = json.loads(json.loads(content[8 : 8 + head])["__metadata__"]["equigrad"])
            _check_format(data["format"])
            return cls(
                weights=arrays,
                mechanism=str(data["mechanism"]),
                dim=data["dim"],
                eps_max=data["eps_max"],
                bands=Bands.of(data["bands"]),
                value_scale=data["value_scale"],
                notes={str(key): str(value) for key, value in data["notes"].items()},
            )
        except CheckpointError:
            raise
        except (
            SafetensorError,
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            RecursionError,
            OverflowError,
        ) as error:
            raise CheckpointError(
                f"Expected the safetensors file of a learned-clock schedule, got {error}. "
                "Make one with Schedule.to_bytes()."
            ) from error


def _check_format(found: str) -> None:
    if found != _FORMAT:
        raise ValueError(f"the format {found!r}")
