"""One reason why a model has no per-sample gradients, and the message that lists them all."""

from collections.abc import Sequence
from dataclasses import dataclass

from equigrad.errors import ModelError

__all__ = ["Finding", "refuse"]


@dataclass(frozen=True)
class Finding:
    """What is wrong, where, and what to do.

    Parameters
    ----------
    where
        The layer's name in ``model.named_modules()`` and its class, or "loss", or "model".
    reason
        Why its rows have no gradient of their own, or why using it would leak.
    remedy
        What to use instead, an imperative sentence without its full stop.
    """

    where: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}. {self.remedy}."


def refuse(findings: Sequence[Finding]) -> None:
    """Raise ``ModelError`` with every finding on its own line, or return if there is none."""
    if findings:
        lines = "\n".join(f"  - {finding}" for finding in findings)
        raise ModelError(
            "Expected a model whose rows have gradients of their own, got "
            f"{len(findings)} obstacle{'s' if len(findings) > 1 else ''}:\n{lines}"
        )
