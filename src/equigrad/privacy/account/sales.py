"""A party's side of a sale: privacy reserved, then spent together with the noise it pays for.

A sale is a run of one step in the account's chain, named after its award. Accepting an award
reserves the step. Delivering is one transaction that draws the noise, stores the upload's bytes and
charges the step with their digest; only when it has committed may bytes leave. So a crash leaves
either a reservation without noise, or noise that is paid for and can be sent again as it was.
Neighbours: ``account`` refuses what does not fit, ``costs`` prices, ``schema`` has the table of
uploads; mechanisms (``equigrad.market.local``) make the events and the bytes.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select

from equigrad.errors import PrivacyError
from equigrad.privacy.account.account import PrivacyAccount
from equigrad.privacy.account.costs import basic_parts
from equigrad.privacy.account.schema import uploads
from equigrad.privacy.account.state import RunState
from equigrad.privacy.accounting import PrivacyEvent

__all__ = ["SALE_COSTS", "Sale", "SalesAccount"]

SALE_COSTS: Final[Mapping[str, str]] = MappingProxyType(
    {"basic": "basic", "rdp": "basic-or-rdp", "pld": "pld"}
)
"""Names of costs in run files, with the accountant that an account is opened with for each."""

_PREFIX: Final = "sale "


@dataclass(frozen=True)
class Sale:
    """One sale of a party, as its account has it.

    Attributes
    ----------
    award
        Identity of the award; no two sales of an account share one.
    buyer, round_number
        For whom, in which round.
    event
        What was or will be released.
    state
        ``"reserved"``, ``"spent"`` (noise was drawn; never undone) or ``"released"`` (expired
        before any noise was drawn).
    digest
        SHA-256 of the upload's bytes once spent, in hexadecimal digits.
    """

    award: str
    buyer: str
    round_number: int
    event: PrivacyEvent
    state: str
    digest: str | None = None

    @property
    def epsilon(self) -> float:
        """Epsilon of this sale by itself."""
        return (basic_parts(self.event) or (float("inf"), 1.0))[0]

    @property
    def delta(self) -> float:
        """Delta of this sale by itself; 0 for a pure mechanism."""
        return (basic_parts(self.event) or (float("inf"), 1.0))[1]


class SalesAccount(PrivacyAccount):
    """A privacy account that sells: every release of its owner, sold or not, in one limit.

    Guarantees, for any number of threads and processes at once and a kill at any instant:

    * What is spent and reserved, priced together, never exceeds the limit; what does not fit is
      refused before any noise is drawn.
    * Spent is never undone: a rejected, late or unpaid delivery refunds no privacy.
    * :meth:`deliver` returns the same bytes however often it is called; noise is drawn once.
    * A reservation that expires before noise was drawn is released.

    Open it with ``accountant=SALE_COSTS[cost]``. The file is that of a
    :class:`PrivacyAccount`, which may charge training and scores to it meanwhile; there, sales look
    like runs of one step.
    """

    def reserve(
        self,
        award: str,
        event: PrivacyEvent,
        *,
        buyer: str,
        round_number: int,
        cap: float | None = None,
    ) -> Sale:
        """Reserve privacy for an award, on accepting it. A repeated call changes nothing.

        Parameters
        ----------
        award
            Identity of the award.
        event
            The event of one upload, of one step.
        buyer, round_number
            Written into the entry.
        cap
            Largest epsilon the owner sells in one award; unbounded if left out.

        Raises
        ------
        BudgetExceededError
            If spent + reserved + this would exceed the limit. Nothing was written.
        PrivacyError
            If the award is above the cap, was reserved otherwise before, or has expired; if the
            file cannot be written or trusted.
        """
        known = self._known(award)
        wanted = Sale(award, str(buyer), int(round_number), event.with_steps(1), "reserved")
        if known is not None:
            return _same(known, wanted)
        if cap is not None and wanted.epsilon > cap:
            raise PrivacyError(
                f"Expected an award of epsilon <= {cap:g}, the owner's cap, got "
                f"{wanted.epsilon:g}. Decline it; nothing was reserved."
            )
        label = json.dumps({"buyer": wanted.buyer, "round": wanted.round_number}, sort_keys=True)
        with self._fitting(wanted.event, f"a sale (award {award})") as connection:
            held = self._state.runs.get(_PREFIX + award)
            if held is not None:  # another writer accepted the same award just now
                return _same(_sale(held), wanted)
            uploads.create(connection, checkfirst=True)
            self._append(connection, "begin", run=_PREFIX + award, event=wanted.event, label=label)
        return wanted

    def deliver(self, award: str, draw: Callable[[], bytes]) -> bytes:
        """Draw, store and pay for an award's upload, once; return its bytes, which may now leave.

        A repeated call returns the stored bytes without calling ``draw``.

        Parameters
        ----------
        award
            A reserved award.
        draw
            Makes the upload: clips, adds noise, encodes. It runs while other writers of the
            account wait, and must not use the account. If it raises, nothing is spent.

        Raises
        ------
        PrivacyError
            If the award was never reserved or has expired; if the stored bytes are gone or not
            those that were paid for; if the file cannot be written or trusted.
        """
        with self._writing() as connection:
            sale = _sale(self._run_of(award))
            if sale.state == "spent":
                return self._stored(connection, sale)
            if sale.state == "released":
                raise PrivacyError(
                    f"Expected a reserved award, got {award!r}, which has expired. Nothing was "
                    "drawn; a late delivery needs an award of its own."
                )
            content = draw()
            if not isinstance(content, bytes) or not content:
                raise PrivacyError(
                    f"Expected draw() to return the upload's bytes, got {type(content).__name__}."
                )
            connection.execute(insert(uploads).values(award=award, content=content))
            digest = hashlib.sha256(content).hexdigest()
            name = _PREFIX + award
            self._append(connection, "step", run=name, step=0, attempt=0, digest=digest)
            self._append(connection, "end", run=name)
        return content

    def expire(self, award: str) -> Sale:
        """Release the reservation of an award whose time is up; one that is spent stays spent.

        Raises
        ------
        PrivacyError
            If the award was never reserved, or the file cannot be written.
        """
        with self._writing() as connection:
            if _sale(self._run_of(award)).state == "reserved":
                self._append(connection, "end", run=_PREFIX + award)
            return _sale(self._run_of(award))

    def forget(self, award: str) -> None:
        """Remove the stored bytes of a delivery that is settled. What was spent stays spent.

        Raises
        ------
        PrivacyError
            If nothing was delivered for the award.
        """
        with self._writing() as connection:
            if _sale(self._run_of(award)).state != "spent":
                raise PrivacyError(f"Expected a delivered award, got {award!r}.")
            connection.execute(delete(uploads).where(uploads.c.award == award))

    def sale(self, award: str) -> Sale:
        """Return one sale; raise ``PrivacyError`` if the award was never reserved."""
        return _sale(self._look(lambda _: self._run_of(award)))

    def sales(self) -> list[Sale]:
        """Return all sales, in the order of their reservations."""
        return self._look(
            lambda state: [
                _sale(run) for name, run in state.runs.items() if name.startswith(_PREFIX)
            ]
        )

    def _known(self, award: str) -> Sale | None:
        run = self._look(lambda state: state.runs.get(_PREFIX + award))
        return None if run is None else _sale(run)

    def _run_of(self, award: str) -> RunState:
        """Return the run of an award, from a state that is up to date."""
        run = self._state.runs.get(_PREFIX + award)
        if run is None:
            raise PrivacyError(
                f"Expected an award that was reserved, got {award!r}. Reserve it first."
            )
        return run

    def _stored(self, connection: Connection, sale: Sale) -> bytes:
        """Return the bytes of a spent sale, if they are those that were paid for."""
        query = select(uploads.c.content).where(uploads.c.award == sale.award)
        content: Any = connection.execute(query).scalar_one_or_none()
        if content is None or hashlib.sha256(content).hexdigest() != sale.digest:
            what = "none" if content is None else "others"
            raise PrivacyError(
                f"Expected the upload of award {sale.award!r} with digest {sale.digest}, got "
                f"{what}. Fresh noise would be another sale: it is not drawn again."
            )
        return bytes(content)


def _sale(run: RunState) -> Sale:
    """Return the sale that a run of one step is."""
    told = json.loads(run.label)
    charge = run.charges.get(0)
    state = "spent" if charge else "released" if run.ended else "reserved"
    award = run.name.removeprefix(_PREFIX)
    digest = charge.digest if charge else None
    return Sale(award, told["buyer"], told["round"], run.event, state, digest)


def _same(known: Sale, wanted: Sale) -> Sale:
    """Return a known sale if it is the one wanted and has not expired."""
    if (known.buyer, known.round_number, known.event) != (
        wanted.buyer,
        wanted.round_number,
        wanted.event,
    ):
        raise PrivacyError(
            f"Expected award {wanted.award!r} to be accepted once, got it again with another buyer,"
            " round or event. An award keeps what it was accepted for."
        )
    if known.state == "released":
        raise PrivacyError(f"Expected an open award, got {wanted.award!r}, which has expired.")
    return known
