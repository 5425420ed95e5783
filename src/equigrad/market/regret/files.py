"""Files of regret nets: safetensors of ours, and the reference's checkpoints, both without pickle.

A reference checkpoint is a PyTorch file; it is read with ``weights_only=True`` and a list of one
allowed class, ``argparse.Namespace``, so that reading it runs no code of its maker's.
"""

import argparse
import io
import json
import pickle
import re
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from equigrad.errors import CheckpointError
from equigrad.market.regret.mechanism import RegretMechanism

__all__ = ["load_reference", "regret_from_bytes", "regret_to_bytes"]

_FORMAT = "equigrad regret net 1"
_REMEDY = {
    "variant": "Clear with {got!r}",
    "parties": "Clear {got} bids",
    "levels": "Ask for {got} levels",
    "local": "Let sellers add noise by {got!r}",
    "dim": "Ask for dim {got}",
}
_FIELDS = ("variant", "parties", "levels", "architecture", "mode")


def regret_to_bytes(
    mechanism: RegretMechanism, *, dim: int, notes: dict[str, str], local: str = "laplace"
) -> bytes:
    """Return the mechanism as a safetensors file.

    Parameters
    ----------
    mechanism
        What is stored.
    dim
        Dimension of the model it was trained for.
    notes
        Where it comes from and what was measured; strings only.
    local
        Local mechanism of the market it was trained for.
    """
    content = {name: getattr(mechanism, name) for name in _FIELDS}
    content |= {"format": _FORMAT, "dim": dim, "local": local, "notes": notes}
    text = json.dumps(content, sort_keys=True)
    tensors = {
        name: tensor.detach().contiguous().clone()
        for name, tensor in mechanism.net.state_dict().items()
    }
    return save(tensors, metadata={"equigrad": text})


def regret_from_bytes(
    content: bytes, **expected: str | int
) -> tuple[RegretMechanism, dict[str, str]]:
    """Return the mechanism of a file, and the notes stored with it.

    Parameters
    ----------
    content
        The bytes of the file.
    **expected
        What the market needs: any of variant, parties, levels, architecture, mode,
        local and dim.

    Raises
    ------
    CheckpointError
        If the bytes are no regret net, or it was trained for another market than expected.
    """
    try:
        tensors = load(content)
        head = int.from_bytes(content[:8], "little")
        data: dict[str, Any] = json.loads(
            json.loads(content[8 : 8 + head])["__metadata__"]["equigrad"]
        )
        _check_format(data["format"])
        found = RegretMechanism(
            data["variant"],
            data["parties"],
            data["levels"],
            architecture=data["architecture"],
            mode=data["mode"],
        )
        found.net.load_state_dict(tensors)
        notes = {str(key): str(value) for key, value in data["notes"].items()}
    except (
        SafetensorError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        AttributeError,
        OverflowError,
    ) as error:
        raise CheckpointError(
            f"Expected the safetensors file of a regret net, got {error}. "
            "Make one with regret_to_bytes()."
        ) from error
    for name, value in expected.items():
        got = data.get(name)
        if got != value:
            remedy = _REMEDY.get(name, "Use another net").format(got=got)
            raise CheckpointError(
                f"Expected a regret net trained for {name}={value!r}, got one for {got!r}. "
                f"{remedy}, or train one for this market."
            )
    _check_finite(found)
    return found, notes


def load_reference(content: bytes, *, variant: str = "") -> RegretMechanism:
    """Return the mechanism of one of the reference's checkpoints, with ``mode="reference"``.

    Parameters
    ----------
    content
        The bytes of the file: a dictionary with ``arch`` and ``state_dict``.
    variant
        Overrides what the file's activation and number of levels say.

    Raises
    ------
    CheckpointError
        If the file holds anything but tensors, plain values and ``argparse.Namespace``, or its
        network is another one than the reference's.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            data = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        arch, weights = data["arch"], data["state_dict"]
        parties, levels = int(arch["n_agents"]), int(arch["n_items"])
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, EOFError) as error:
        raise CheckpointError(
            "Expected a checkpoint of FL-Market (a dictionary with arch and state_dict, of tensors "
            f"and plain values), got {str(error).splitlines()[0]}."
        ) from error
    deterministic = arch.get("a_activation") == "deterministic"
    plain = "regret" if levels == 1 else "m-regret"
    name = variant or ("dm-regret" if deterministic else plain)
    found = RegretMechanism(name, parties, levels, mode="reference")
    _fill(found, cast("dict[str, Tensor]", weights))
    _check_finite(found)
    return found


def _fill(mechanism: RegretMechanism, weights: dict[str, Tensor]) -> None:
    """Copy the reference's layers, in their order, into ours."""
    state = mechanism.net.state_dict()
    for head in ("allocation", "payment"):
        ours = [name for name in state if name.startswith(f"{head}.")]
        pattern = re.compile(rf"(?:module\.)?{head}_head\.(\d+)\.(weight|bias)")
        places = {m.groups(): name for name in weights if (m := pattern.fullmatch(name))}
        theirs = sorted(places, key=lambda key: (int(key[0]), key[1] == "bias"))
        shapes = [tuple(weights[places[key]].shape) for key in theirs]
        wanted = [tuple(state[name].shape) for name in ours]
        if shapes != wanted:
            raise CheckpointError(
                f"Expected a {head} head of shapes {wanted}, got {shapes}: another network, or "
                "one for another number of parties or levels."
            )
        for name, key in zip(ours, theirs, strict=True):
            state[name] = weights[places[key]]
    mechanism.net.load_state_dict(state)


def _check_finite(mechanism: RegretMechanism) -> None:
    if not all(torch.isfinite(weight).all() for weight in mechanism.net.parameters()):
        raise CheckpointError("Expected finite weights, got NaN or infinity.")


def _check_format(found: str) -> None:
    if found != _FORMAT:
        raise ValueError(f"the format {found!r}")
