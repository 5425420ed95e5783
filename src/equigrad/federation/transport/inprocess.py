"""The in-process engine: parties in a pool of threads or processes on this machine.

All party code runs in workers that use one torch thread each, whatever the pool and the number of
workers, so that a run's numbers do not depend on either. The engine owns every party's state and
takes over a new one only together with a reply that came in time; a party that fails or is late is
left as it was.

With ``pool = "process"`` requests, replies and states cross the process boundary in their wire
form (:func:`~equigrad.federation.messages.to_bytes`), which shows that the messages carry all that
is needed; only ``2 * workers`` requests are under way at a time, so memory stays bounded.
"""

import logging
import multiprocessing
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load, load_file, save, save_file

from equigrad._validate import choice, positive, positive_int
from equigrad.errors import BudgetExceededError, RecordError
from equigrad.federation.messages import Failure, Message, from_bytes, to_bytes
from equigrad.federation.transport.agents import Agent, AgentSpec, AgentState
from equigrad.federation.transport.base import Transport
from equigrad.federation.transport.faults import FaultPlan

__all__ = ["InProcessTransport"]

Outcome = tuple[AgentState, Message | None]


class _Workshop:
    """Agents of one worker process, built when first asked for and kept."""

    def __init__(self, specs: Sequence[AgentSpec], faults: FaultPlan) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._faults = faults
        self._agents: dict[str, Agent] = {}
        self._locks = {name: threading.Lock() for name in self._specs}

    def _agent(self, party: str) -> Agent:
        if party not in self._agents:
            self._agents[party] = self._specs[party].make_agent()
        return self._agents[party]

    def restore(self, party: str, tensors: Mapping[str, torch.Tensor]) -> AgentState:
        """Return the state that a party's tensors hold."""
        return self._specs[party].restore(tensors)

    def ask(self, party: str, state: AgentState | None, request: Message) -> Outcome:
        """Return the party's next state and its reply (None: the reply is lost)."""
        with self._locks[party]:  # a late party may still be at its last request
            agent = self._agent(party)
            self._faults.before(party, request)
            new, reply = agent.handle(agent.initial_state() if state is None else state, request)
        return new, self._faults.after(party, reply)


_ACCOUNTANTS = "absl"  # the logger of dp-accounting
_workshop: _Workshop | None = None  # one for each worker process of a process pool


def _open_process(specs: Sequence[AgentSpec], faults: FaultPlan, accountants: int) -> None:
    global _workshop
    torch.set_num_threads(1)
    logging.getLogger(_ACCOUNTANTS).setLevel(accountants)  # as loud as in the first process
    _workshop = _Workshop(specs, faults)


def _ask_in_process(party: str, state: bytes | None, request: bytes) -> tuple[bytes, bytes | None]:
    if _workshop is None:  # the pool's initialiser has run
        raise RuntimeError("worker process without parties")
    old = None if state is None else _workshop.restore(party, load(state))
    new, reply = _workshop.ask(party, old, from_bytes(request))
    return save(new.to_tensors()), None if reply is None else to_bytes(reply)


class InProcessTransport(Transport):
    """Parties in a pool of threads or processes.

    Parameters
    ----------
    specs
        What each party is made of (see :class:`AgentSpec`); names are unique.
    pool
        ``"thread"`` (starts at once, parties share memory) or ``"process"`` (true parallelism for
        Python-bound work; a program that opens one needs the ``if __name__ == "__main__"`` guard).
    workers
        Size of the pool.
    faults
        Planned faults, for tests.
    """

    def __init__(
        self,
        specs: Sequence[AgentSpec],
        *,
        pool: Literal["thread", "process"] = "thread",
        workers: int = 1,
        faults: FaultPlan | None = None,
    ) -> None:
        choice("pool", pool, ("thread", "process"))
        self._workers = positive_int("workers", workers)
        self._names = tuple(spec.name for spec in specs)
        self._specs = {spec.name: spec for spec in specs}
        self._states: dict[str, AgentState] = {}
        self._threads = torch.get_num_threads()
        plan = faults or FaultPlan()
        self._local = _Workshop(specs, plan) if pool == "thread" else None
        self._arguments = (tuple(specs), plan)
        self._pool = self._open_pool()

    @property
    def parties(self) -> tuple[str, ...]:
        """Names of all parties, in the order of the specs."""
        return self._names

    def exchange(
        self, requests: Mapping[str, Message], *, deadline_s: float
    ) -> Iterator[tuple[str, Message | Failure]]:
        """Send the requests and yield the answers; see :class:`Transport`.

        ``requests`` may build its messages when they are read: each is read once, shortly before
        it is sent.
        """
        end = time.monotonic() + positive("deadline_s", deadline_s)
        waiting = iter(list(requests))
        running: dict[Future[Any], str] = {}
        exhausted = False
        while running or not exhausted:
            while not exhausted and len(running) < 2 * self._workers:
                party = next(waiting, None)
                if party is None or time.monotonic() >= end:
                    exhausted = party is None
                    if party is not None:
                        yield party, Failure(party, "deadline", "not reached before the deadline")
                    continue
                running[self._submit(party, requests[party])] = party
            done, _ = wait(
                running, timeout=max(0.0, end - time.monotonic()), return_when=FIRST_COMPLETED
            )
            for future in done:
                yield self._take(running.pop(future), future)
            if not done and running and time.monotonic() >= end:
                for future, party in running.items():
                    future.cancel()
                    yield party, Failure(party, "deadline", f"no reply within {deadline_s:g} s")
                running.clear()

    def _open_pool(self) -> Executor:
        if self._local is not None:
            return ThreadPoolExecutor(self._workers, "party", torch.set_num_threads, (1,))
        context = multiprocessing.get_context("spawn")
        arguments = (*self._arguments, logging.getLogger(_ACCOUNTANTS).level)
        return ProcessPoolExecutor(self._workers, context, _open_process, arguments)

    def _submit(self, party: str, request: Message) -> Future[Any]:
        state = self._states.get(party)
        if self._local is not None:
            return self._pool.submit(self._local.ask, party, state, request)
        packed = None if state is None else save(state.to_tensors())
        work = partial(_ask_in_process, party, packed, to_bytes(request))
        try:
            return self._pool.submit(work)
        except BrokenExecutor:  # a worker process died; its parties were told as lost
            self._pool.shutdown(wait=False)
            self._pool = self._open_pool()
            return self._pool.submit(work)

    def _take(self, party: str, future: Future[Any]) -> tuple[str, Message | Failure]:
        error = future.exception()
        if isinstance(error, BrokenExecutor):
            return party, Failure(party, "lost", "the worker process died")
        if isinstance(error, BudgetExceededError):
            return party, Failure(party, "budget", str(error))
        if error is not None:
            return party, Failure(party, "raised", f"{type(error).__name__}: {error}")
        state, reply = future.result()
        if isinstance(state, bytes):
            state = self._specs[party].restore(load(state))
        if isinstance(reply, bytes):
            reply = from_bytes(reply)
        if reply is None:
            return party, Failure(party, "lost", "the reply was lost")
        self._states[party] = state
        return party, reply

    def save(self, folder: Path) -> None:
        """Write all party states into ``folder/parties.safetensors``."""
        tensors = {
            f"{number}/{name}": tensor
            for number, party in enumerate(self._names)
            if party in self._states
            for name, tensor in self._states[party].to_tensors().items()
        }
        save_file(tensors, folder / "parties.safetensors")

    def load(self, folder: Path) -> None:
        """Restore the party states of :meth:`save`."""
        path = folder / "parties.safetensors"
        if not path.is_file():
            raise RecordError(f"Expected the parties' states in {path}, found no such file.")
        by_party: dict[str, dict[str, torch.Tensor]] = {}
        for key, tensor in load_file(path).items():
            number, _, name = key.partition("/")
            by_party.setdefault(self._names[int(number)], {})[name] = tensor
        self._states = {p: self._specs[p].restore(t) for p, t in by_party.items()}

    def models(self) -> dict[str, torch.Tensor]:
        """Return every party's flat model, as far as the party was ever asked."""
        found = {p: self._states[p].model() for p in self._names if p in self._states}
        return {p: model for p, model in found.items() if model is not None}

    def close(self) -> None:
        """Stop the workers; a thread still at a late request ends with that request."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        torch.set_num_threads(self._threads)
