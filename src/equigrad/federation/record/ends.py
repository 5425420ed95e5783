"""What can be checked of a record's end without knowing what the lines say.

Neighbours: the verifications of each kind of run judge the lines; ``chain`` seals them.
"""

from equigrad.errors import VerificationError
from equigrad.federation.record.agreement import VerifyResult
from equigrad.federation.record.canonical import sha256_file
from equigrad.federation.record.chain import Line
from equigrad.federation.record.checkpoint import load_checkpoint
from equigrad.federation.record.folder import RunFolder

__all__ = ["check_ends", "check_models"]


def check_ends(place: RunFolder, lines: list[Line], result: VerifyResult, head: str | None) -> None:
    """Check first line, configuration and number of lines of a record whose chain holds.

    Parameters
    ----------
    place
        The run folder.
    lines
        All of its record.
    result
        Takes the head; where comparisons are counted.
    head
        The hash of the last line, or its beginning, if it was kept elsewhere.

    Raises
    ------
    VerificationError
        If the record does not begin with a start, is not the one that the head was kept of, ends
        before the run's checkpoint, or the configuration is another one.
    """
    if not lines or lines[0].stage != "start":
        raise VerificationError(f"{place.record}: expected a start line first, got none.")
    result.count("lines of the chain", len(lines))
    result.head = lines[-1].hash
    if head is not None and (not head or not result.head.startswith(head)):
        raise VerificationError(
            f"{place.record}: expected the head {head[:12]}..., got {result.head[:12]}...; this is "
            "not the record that the head was kept of."
        )
    checkpoint = load_checkpoint(place)
    if checkpoint is not None and len(lines) < checkpoint.record_length:
        raise VerificationError(
            f"{place.record}: expected at least {checkpoint.record_length} lines, as many as the "
            f"run's checkpoint knows of, got {len(lines)}; lines are missing at the end."
        )
    if lines[0].body.get("config_sha256") != place.config_sha256():
        raise VerificationError(
            f"{place.config_json}: expected the configuration that the record began with, got "
            "another one; it was changed."
        )
    result.count("configuration")


def check_models(place: RunFolder, last: Line, result: VerifyResult) -> None:
    """Compare the files that a finish line names with their digests in it.

    Raises
    ------
    VerificationError
        If one is missing or another, or there are models and no finish line.
    """
    if last.stage != "finish":
        if any(place.models.glob("*.safetensors")):
            raise VerificationError(
                f"{place.record}: expected a finish line, for there is a final model, got none; "
                "the last line is missing, or the run was stopped while it finished (then resume "
                "it)."
            )
        return
    for name, digest in last.body["models"].items():
        path = place.models / name
        found = sha256_file(path) if path.is_file() else "no such file"
        if found != digest:
            raise VerificationError(
                f"{path}: expected the model with SHA-256 {digest[:12]}..., got {found[:12]}."
            )
        result.count("models")
