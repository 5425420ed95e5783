"""What the entries of an account add up to.

A run reserves its steps when it begins, so that the account never has to price a single step: other
charges must fit on top of what is reserved, and what a run has not used comes back when it ends.
Neighbours: ``chain`` reads entries, ``account`` decides with this state.
"""

from dataclasses import dataclass, field

from equigrad.errors import PrivacyError
from equigrad.privacy.account.chain import Entry
from equigrad.privacy.accounting import PrivacyEvent

__all__ = ["RunState", "State", "StepCharge"]


@dataclass(frozen=True)
class StepCharge:
    """One charged step of a run.

    Attributes
    ----------
    run, step
        Which.
    attempt
        0 the first time, more when the step had to be charged again.
    nonce
        Number of charges of the run before this one; no two share it, so it addresses noise.
    digest
        Digest of the step's inputs.
    replayed
        True if the charge was made before and this was free.
    """

    run: str
    step: int
    attempt: int
    nonce: int
    digest: str
    replayed: bool = False


@dataclass
class RunState:
    """One run: its event for one step, steps reserved and charged, its last charge of each step."""

    name: str
    label: str
    event: PrivacyEvent
    reserved: int
    charged: int = 0
    ended: bool = False
    charges: dict[int, StepCharge] = field(default_factory=dict)

    def add(self, entry: Entry) -> StepCharge:
        """Take a step's entry in."""
        step, attempt = _whole(entry.step), _whole(entry.attempt)
        charge = StepCharge(self.name, step, attempt, self.charged, entry.digest or "")
        self.charges[step] = charge
        self.charged += 1
        return charge


@dataclass
class State:
    """Everything that a chain of entries says.

    Attributes
    ----------
    seq, chain
        Number and hash of the last entry.
    version
        Changes whenever the committed events do; charging a reserved step does not change it.
    releases, runs
        Charges by themselves, and runs by name.
    """

    chain: bytes
    seq: int = 0
    version: int = 0
    releases: list[PrivacyEvent] = field(default_factory=list)
    runs: dict[str, RunState] = field(default_factory=dict)

    def add(self, entry: Entry) -> StepCharge | None:
        """Take in the next entry; return the charge if it is a step.

        Raises
        ------
        PrivacyError
            If the entry does not fit what came before.
        """
        if entry.seq != self.seq + 1:
            raise PrivacyError(
                f"Expected entry {self.seq + 1} of the account, got entry {entry.seq}. Entries "
                "were removed by hand: restore the file from a copy, and do not release anything."
            )
        charge = self._apply(entry)
        self.seq, self.chain = entry.seq, entry.chain
        if charge is None:
            self.version += 1
        return charge

    def _apply(self, entry: Entry) -> StepCharge | None:
        """Change the state as ``entry`` says."""
        if entry.kind == "release" and entry.event is not None:
            self.releases.append(entry.event)
            return None
        name = entry.run or ""
        if entry.kind == "begin" and entry.event is not None:
            event = entry.event.with_steps(1)
            self.runs[name] = RunState(name, entry.label or "", event, entry.event.steps)
            return None
        run = self.runs[name]
        if entry.kind == "step":
            return run.add(entry)
        if entry.kind == "extend":
            run.reserved += _whole(entry.step)
        else:
            run.ended = True
        return None

    def spent(self) -> list[PrivacyEvent]:
        """Return what was charged."""
        runs = [run.event.with_steps(run.charged) for run in self.runs.values() if run.charged]
        return [*self.releases, *runs]

    def committed(self) -> list[PrivacyEvent]:
        """Return what was charged, with all steps reserved by unfinished runs."""
        runs = [
            run.event.with_steps(run.charged if run.ended else run.reserved)
            for run in self.runs.values()
        ]
        return [*self.releases, *(event for event in runs if event.steps)]


def _whole(value: int | None) -> int:
    """Return a number that an entry of this kind has."""
    if value is None:
        raise PrivacyError("Expected a number in an entry of the account, got none.")
    return value
