"""A learned schedule: the network, what it was trained for, and its file.

The file is safetensors, so loading runs no code. Clearing and verification use the integer quality
table that a schedule gives, which is published with the terms; the network itself is needed only
by whoever announces a round.
"""

import hashlib
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from equigrad._validate import positive, positive_int
from equigrad.errors import CheckpointError, ConfigError
from equigrad.market.ladder import Ladder
from equigrad.market.learned.bands import Bands
from equigrad.market.learned.network import MenuNet, integer_quality, public_features

__all__ = ["Schedule"]

_FORMAT = "equigrad learned-clock schedule 1"
_LAYERS = 3

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Schedule:
    """A quality table for every round, from public facts alone.

    Attributes
    ----------
    net
        The network; never changed after construction.
    mechanism
        The local mechanism it was trained for, such as ``"laplace"``.
    dim
        Dimension of the model it was trained for, >= 1.
    ladder
        The levels it knows.
    bands
        Where the network serves; elsewhere the plain clock does, ``Q[k] = k``.
    value_scale
        ``v_ref``, currency units per record that count as 1; > 0.
    notes
        Where it comes from: seeds, steps, validation; strings only.

    Raises
    ------
    ConfigError
        On construction, if an attribute is impossible.
    CheckpointError
        On construction, if a weight is not finite.
    """

    net: MenuNet
    mechanism: str
    dim: int
    ladder: Ladder
    bands: Bands
    value_scale: float = 1.0
    notes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        positive_int("dim", self.dim)
        positive("value_scale", self.value_scale)
        if not all(torch.isfinite(weight).all() for weight in self.net.parameters()):
            raise CheckpointError("Expected finite weights in a schedule, got NaN or infinity.")

    def check(self, mechanism: str, dim: int, ladder: Ladder) -> None:
        """Raise ``CheckpointError`` unless the schedule was trained for this market; any N will do.

        The message names the first thing that differs.
        """
        wanted = {"mechanism": mechanism, "dim": dim, "ladder": ladder}
        for name, value in wanted.items():
            own = getattr(self, name)
            if own != value:
                raise CheckpointError(
                    f"Expected a schedule trained for {name}={value!r}, got one for {own!r}. "
                    "Train one for this market, or use the plain clock."
                )

    def serves(self, sizes: npt.ArrayLike, budget: float) -> bool:
        """Return whether the network, not the plain clock, serves such a round."""
        total = float(np.asarray(sizes, dtype=np.float64).sum())
        return self.bands.serves(np.size(sizes), budget / (total * self.value_scale))

    def quality(self, sizes: npt.ArrayLike, budget: float) -> Int64:
        """Return the integer table Q, ``(N, K+1)``: 0 at level 0, nondecreasing, for any weights.

        Rounding may differ between machines in the last place before it is made integer, so the
        table, not the network, is what is published and recorded.

        Parameters
        ----------
        sizes
            ``(N,)``, attested sizes of all listings, >= 1.
        budget
            B in currency units, > 0.

        Raises
        ------
        ConfigError
            If a size or the budget is not positive.
        """
        d = np.asarray(sizes, dtype=np.float64)
        positive("budget", budget)
        if d.ndim != 1 or not d.size or not ((d > 0) & np.isfinite(d)).all():
            raise ConfigError("Expected sizes (N,) >= 1 of at least one listing.")
        if not self.serves(d, budget):
            plain = np.arange(self.ladder.steps + 1, dtype=np.int64)
            return np.broadcast_to(plain, (len(d), len(plain))).copy()
        with torch.no_grad():
            features = public_features(
                torch.as_tensor(d), torch.tensor(budget, dtype=torch.float64), self.value_scale
            )
            net = self._double
            return integer_quality(net(features, torch.as_tensor(self.ladder.levels)))

    @cached_property
    def _double(self) -> MenuNet:
        net = MenuNet(width=self.net.width).double()
        net.load_state_dict(self.net.state_dict())
        return net

    @property
    def digest(self) -> str:
        """SHA-256 of the file's bytes, 64 hexadecimal digits."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the schedule as a safetensors file."""
        content: dict[str, Any] = {
            "mechanism": self.mechanism,
            "dim": self.dim,
            "eps_max": self.ladder.eps_max,
            "steps": self.ladder.steps,
            "value_scale": self.value_scale,
            "bands": self.bands.describe(),
            "notes": self.notes,
        }
        text = json.dumps(content, sort_keys=True)
        tensors = {
            name: tensor.detach().to(torch.float32).contiguous().clone()
            for name, tensor in self.net.state_dict().items()
        }
        return save(tensors, metadata={"format": _FORMAT, "schedule": text})

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
            tensors = load(content)
            head = int.from_bytes(content[:8], "little")
            metadata = json.loads(content[8 : 8 + head])["__metadata__"]
            if metadata["format"] != _FORMAT:
                raise CheckpointError(
                    f"Expected a file of format {_FORMAT!r}, got {metadata['format']!r}."
                )
            data = json.loads(metadata["schedule"])
            return cls(
                net=_network(tensors),
                mechanism=str(data["mechanism"]),
                dim=int(data["dim"]),
                ladder=Ladder(float(data["eps_max"]), int(data["steps"])),
                bands=Bands.of(data["bands"]),
                value_scale=float(data["value_scale"]),
                notes={str(key): str(value) for key, value in data["notes"].items()},
            )
        except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(
                f"Expected the safetensors file of a learned-clock schedule, got {error}. "
                "Make one with Schedule.to_bytes()."
            ) from error


def _network(tensors: dict[str, torch.Tensor]) -> MenuNet:
    """Return the network with these weights; ``ValueError`` if they are those of another."""
    width = tensors["biases.0"].numel()
    net = MenuNet(width=width)
    expected = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    got = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if got != expected:
        raise ValueError(f"weights of shapes {got} instead of {expected}")
    net.load_state_dict(tensors)
    if math.prod(expected["weights.0"]) != 4 * width or len(net.weights) != _LAYERS:
        raise ValueError("another network")
    return net
