"""Whether the models in a run folder are those that the record tells of.

Parties on machines of their own keep their models: then only the coordinator's lies here, and the
record has the parties' digests, which each party can compare with its own.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from equigrad.errors import VerificationError
from equigrad.federation.record.agreement import VerifyResult, fault
from equigrad.federation.record.canonical import sha256_array, sha256_file
from equigrad.federation.record.chain import Line
from equigrad.federation.record.folder import RunFolder

__all__ = ["check_models"]

_COORDINATOR = "coordinator"


def check_models(
    place: RunFolder, start: Line, finish: Line, coordinator: str | None, result: VerifyResult
) -> None:
    """Compare every model file with the record's last line, and its entries with the digests.

    Parameters
    ----------
    place
        The run folder.
    start, finish
        The record's first and last line.
    coordinator
        Digest of the coordinator's model after the last settled round, None if none settled.
    result
        Where comparisons are counted.

    Raises
    ------
    VerificationError
        If a file is missing, was changed, or is another party's model.
    """
    files = finish.body["models"]
    expected = dict(zip(finish.body["parties"], finish.body["digests"], strict=True))
    if coordinator is not None:
        expected[_COORDINATOR] = coordinator
    needed = {f"{name}.safetensors" for name in {*expected, _COORDINATOR}}
    possible = {f"{name}.safetensors" for name in {*start.body["parties"], _COORDINATOR}}
    kept_apart = set(files) == {f"{_COORDINATOR}.safetensors"}
    if not kept_apart and not needed <= set(files) <= possible:
        raise fault(finish, "expected a model of every party that finished, and of nobody else")
    for name, digest in files.items():
        path = place.models / name
        found = sha256_file(path) if path.is_file() else "no such file"
        if found != digest:
            raise VerificationError(
                f"{path}: expected the model with SHA-256 {digest[:12]}..., got {found[:12]}."
            )
        flat = expected.get(name.removesuffix(".safetensors"))
        if flat is not None and _flat_digest(path, start.body["model"]["names"]) != flat:
            raise fault(finish, f"expected {name} to hold the model that the record tells of")
        result.count("models")


def _flat_digest(path: Path, names: list[str]) -> str:
    try:
        tensors = load_file(path)
        return sha256_array(torch.cat([tensors[name].reshape(-1) for name in names]))
    except (KeyError, RuntimeError, SafetensorError) as error:
        raise VerificationError(f"{path}: expected a model of this run, got {error}.") from error
