"""Schedules that come with the package, so that ``learned-clock`` works without training.

Trained on synthetic bids of seeds of its own, never on those of the benchmarks. Other markets train
theirs: ``equigrad auction train learned-clock``.
"""

from importlib.resources import files

from equigrad.errors import CheckpointError
from equigrad.market.learned.schedule import Schedule

__all__ = ["SHIPPED", "shipped_schedule"]

SHIPPED: dict[tuple[str, int], tuple[str, str]] = {
    ("laplace", 1): (
        "laplace-dim1.safetensors",
        "dc39e176f99490d2b50a7a5557269d7259dbead0dfc82d70196625b296f3f565",
    ),
}
"""File and SHA-256 of the schedule for a local mechanism and a dimension; epsilons up to 2."""


def shipped_schedule(mechanism: str, dim: int) -> Schedule:
    """Return the schedule that ships for a market, its digest compared.

    Parameters
    ----------
    mechanism
        Name of the local mechanism.
    dim
        Dimension of the model.

    Raises
    ------
    CheckpointError
        If none ships for this market, or the file is another one than was shipped.
    """
    if (mechanism, dim) not in SHIPPED:
        have = ", ".join(f"{name} with dim {size}" for name, size in SHIPPED)
        raise CheckpointError(
            f"Expected a market that a schedule ships for ({have}), got {mechanism} with dim "
            f"{dim}. Train one: equigrad auction train learned-clock --local {mechanism} "
            f"--dim {dim}."
        )
    name, digest = SHIPPED[mechanism, dim]
    content = (files("equigrad.market.learned") / "schedules" / name).read_bytes()
    return Schedule.from_bytes(content, digest)
