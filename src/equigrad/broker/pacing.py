"""How long a training goes on: so many steps, so many minutes, or until somebody has enough."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from equigrad._validate import positive, positive_int
from equigrad.errors import ConfigError

__all__ = ["Listener", "Pacing"]

Listener = Callable[[float, str], None]
"""Is told the share of a training that is done, from 0 to 1, and a line about it."""

UNLIMITED = 10**9


@dataclass
class Pacing:
    """The share of a training that is done after a number of steps.

    With ``minutes`` alone time decides; with both, whichever is up first. Equal seeds give equal
    weights only where steps decided.

    Attributes
    ----------
    steps
        Most steps; None: ``minutes`` alone ends the training.
    minutes
        Most minutes; None: ``steps`` alone.
    now
        A clock, in seconds.
    """

    steps: int | None = None
    minutes: float | None = None
    now: Callable[[], float] = time.monotonic
    stopped: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise ConfigError("Expected rounds or minutes, got neither.")
        self.most = UNLIMITED if self.steps is None else positive_int("rounds", self.steps)
        self.seconds = None if self.minutes is None else 60 * positive("minutes", self.minutes)
        self.began = self.now()

    def stop(self) -> None:
        """End the training after the step that is under way."""
        self.stopped = True

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self.now() - self.began

    def __call__(self, step: int) -> float:
        """Return the share that is done after ``step`` steps, from 0 to 1."""
        if self.stopped:
            return 1.0
        by_time = 0.0 if self.seconds is None else self.elapsed / self.seconds
        return min(max(step / self.most, by_time), 1.0)

    def describe(self, step: int) -> str:
        """Return what ended the training after ``step`` steps."""
        if self.stopped:
            return "interrupted"
        return "all steps done" if step >= self.most else "the time was up"
