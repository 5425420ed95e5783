"""The transport: send each party its own request, receive replies until a deadline.

No algorithm knows which engine carries its messages; an engine is a class with these methods. The
neighbours are :mod:`equigrad.federation.messages` (what is carried) and
:mod:`equigrad.federation.coordinator` (who speaks).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from equigrad.federation.messages import Failure, Message

__all__ = ["Transport"]


class Transport(ABC):
    """Carries requests to parties and their replies back.

    A transport promises: each request reaches its own party and no other; a reply is yielded at
    most once; after ``deadline_s`` seconds (or when everybody has answered) the exchange ends, and
    every party that was asked has been yielded exactly once, with its reply or a
    :class:`~equigrad.federation.messages.Failure`; a reply that comes later is dropped, and what
    the late party did leaves no trace in its state. Replies come in any order: the coordinator
    sorts them. A party that raises does not disturb the others.
    """

    @property
    @abstractmethod
    def parties(self) -> tuple[str, ...]:
        """Names of the parties that can be reached, in the run file's order."""

    @abstractmethod
    def exchange(
        self, requests: Mapping[str, Message], *, deadline_s: float
    ) -> Iterator[tuple[str, Message | Failure]]:
        """Send ``requests`` and yield ``(party, reply or failure)`` as they come.

        Parameters
        ----------
        requests
            One message for each party asked.
        deadline_s
            Seconds from the call to the end of the exchange.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write every party's state into ``folder`` (nothing if the parties keep their own)."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Restore what :meth:`save` wrote; afterwards every party answers as it did then."""

    @abstractmethod
    def models(self) -> Mapping[str, torch.Tensor]:
        """Return the flat models of the parties that live here (engines of remote ones: none)."""

    @abstractmethod
    def close(self) -> None:
        """Release workers and connections; called once, also after an error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
