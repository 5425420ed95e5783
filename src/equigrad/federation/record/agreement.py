"""Whether what a record says agrees with what was recomputed: comparing, counting, complaining.

The neighbour :mod:`equigrad.federation.record.verify` decides what is compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from equigrad.errors import RecordError, VerificationError
from equigrad.federation.record.chain import Line

__all__ = ["TOLERANCE", "Malformed", "VerifyResult", "fault", "same", "where"]

TOLERANCE = 1e-9
"""Numbers recomputed on another platform may differ by rounding; on one platform they agree."""


@dataclass
class VerifyResult:
    """What was checked.

    Attributes
    ----------
    checks
        Number of comparisons by what they compared, in the order of first comparison.
    rounds
        Number of settled rounds.
    head
        Hash of the record's last line, which seals the whole record: keep it elsewhere.
    exact
        Whether every recomputed number agreed to the last bit (else: within 1e-9).
    finished
        Whether the record has its last line.
    recomputed
        Whether the method's values follow from the record (baselines: only the chain, the quorum
        and the models were checked).
    unchecked
        Sentences: which checks could not be made, and why.
    """

    checks: dict[str, int] = field(default_factory=dict)
    rounds: int = 0
    head: str = ""
    exact: bool = True
    finished: bool = False
    recomputed: bool = True
    unchecked: list[str] = field(default_factory=list)

    def count(self, what: str, number: int = 1) -> None:
        """Add ``number`` comparisons of ``what``."""
        self.checks[what] = self.checks.get(what, 0) + number


def where(line: Line) -> str:
    """Return the place of a line in words, counted from 1."""
    of_round = "" if line.round is None else f" of round {line.round}"
    return f"record.jsonl, line {line.index + 1} ({line.stage}{of_round})"


def same(line: Line, what: str, recorded: Any, again: Any, result: VerifyResult) -> None:
    """Compare a recorded value with the recomputed one and count the numbers in it."""
    number = _compare(line, what, recorded, again, result)
    result.count(what, number)


def _compare(line: Line, what: str, recorded: Any, again: Any, result: VerifyResult) -> int:
    if isinstance(recorded, Mapping) and isinstance(again, Mapping):
        if recorded.keys() != again.keys():
            raise fault(
                line, f"expected the fields {sorted(again)} in {what}, got {sorted(recorded)}"
            )
        return sum(_compare(line, what, recorded[k], again[k], result) for k in again)
    if isinstance(recorded, list) and isinstance(again, list):
        if len(recorded) != len(again):
            raise fault(line, f"expected {len(again)} {what}, got {len(recorded)}")
        pairs = zip(recorded, again, strict=True)
        return sum(_compare(line, what, ours, theirs, result) for ours, theirs in pairs)
    if recorded == again and type(recorded) is type(again):
        return 1
    numbers = isinstance(recorded, float) and isinstance(again, float)
    if numbers and abs(recorded - again) <= TOLERANCE * max(1.0, abs(again)):
        result.exact = False
        return 1
    raise fault(line, f"recomputed {what} as {again!r}, but the record says {recorded!r}")


def fault(line: Line, why: str) -> VerificationError:
    """Return the error that names a line and what is wrong with it."""
    return VerificationError(f"{where(line)}: {why}; the record was changed or is not whole.")


class Malformed:
    """Turns what a malformed line makes the checks stumble over into a verification error."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise ``VerificationError`` for what was stumbled over."""
        stumbles = (KeyError, TypeError, ValueError, IndexError, AttributeError, RecordError)
        if isinstance(error, stumbles) and not isinstance(error, VerificationError):
            text = f"{where(self._line)}: expected a line as a run writes it, got a malformed one"
            raise VerificationError(f"{text} ({type(error).__name__}: {error}).") from error
