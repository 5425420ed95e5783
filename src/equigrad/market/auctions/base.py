"""The contract of every auction, and the registry of the auctions.

An auction decides who sells how much privacy and for how much money. The other rooms import this
module only; the mechanisms live beside it, one file each.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from equigrad.errors import ConfigError, DataError
from equigrad.market._rows import frozen
from equigrad.market.awards import Allotment, Claims, Clearing, declared_costs
from equigrad.market.book import BidBook
from equigrad.market.terms import Terms
from equigrad.registry import Registry

__all__ = ["AUCTIONS", "Auction"]


class Auction(ABC):
    """A mechanism that turns canonical bids and public terms into awards and payments.

    An auction is a value object: settings are given to the constructor and never change, and
    :meth:`clear` keeps no state between rounds and changes none of its arguments. **A clearing is
    a pure function of bids and terms**: no clock, no file, no global random state; all money is
    integer ledger units.

    The game. Party i's true type is a table u_i of costs per record and level, a cap kcap_i and a
    number of records d_i <= dcap_i. It reports any table, any cap and any size up to d_i, is
    awarded level k_i and paid p_i. Its *utility* is ``p_i - d_i u_i[k_i]`` with its true u_i and
    the size it delivered, the reported one, and minus infinity if k_i is above its true cap.

    Class attributes
    ----------------
    name
        The name in :data:`AUCTIONS` and in run files.
    needs_seed
        True if the mechanism draws; then ``public_seed`` is required.

    Attributes
    ----------
    claims
        What this instance promises, by proof, for every input:

        * ``truthful="exact"``: for no bids of the others, no true type and no report does a party
          get a higher utility than by the truth: in integers, not on average.
        * ``truthful="single-minded"``: the same for parties that sell their cap at one price or
          nothing, and lie about that price only (not about cap and size).
        * ``truthful="no"``: nothing is promised, whatever was measured.
        * ``rational``: the utility of a party that tells the truth is >= 0.
        * ``within_budget``: the payments sum to at most ``terms.budget``.

    label
        Name and settings on one line; part of the digest, and what ``terms.mechanism`` binds.

    Guarantees, which the contract suite in :mod:`equigrad.testing.auctions` checks
    ------------------------------------------------------------------------------
    * What is claimed (exhaustively on a small lattice, and on seeded large instances).
    * Awards: integers, levels in 0..K (in ``1/parts`` of a step), never above min(kcap_i, kbar_i);
      nobody is paid for nothing, where the mechanism is rational and within budget.
    * Determinism: same bytes in, same digest out; the order in which bids arrive changes nothing.
    * Ties are broken by the terms' tie rule and by party name, never by the order of arrival.
    * No bid, or nobody sells: no award, nothing paid, one line in ``notes`` that says why.
    * Amounts up to ``2**62`` never wrap.
    """

    name: ClassVar[str]
    needs_seed: ClassVar[bool] = False

    @property
    @abstractmethod
    def claims(self) -> Claims:
        """What this instance promises for every input."""

    @property
    def label(self) -> str:
        """Name and settings on one line."""
        return self.name

    @abstractmethod
    def allot(self, book: BidBook, terms: Terms, public_seed: bytes | None) -> Allotment:
        """Return levels and payments for at least one bid; what a mechanism implements.

        The book is on the ladder of the terms. Arguments, guarantees and errors are those of
        :meth:`clear`, which calls it.
        """

    def clear(self, book: BidBook, terms: Terms, public_seed: bytes | None = None) -> Clearing:
        """Return who sells at which level and for how much.

        Parameters
        ----------
        book
            The canonical bids of N >= 0 parties. Its arrays are left as they were.
        terms
            The public terms.
        public_seed
            What a mechanism that draws draws from: public, unknown before the bids are (SHA-256
            of all revealed nonces in party order). Others ignore it.

        Raises
        ------
        DataError
            If the bids are on another ladder than the terms, or the mechanism cannot serve them;
            nothing is cleared then.
        ConfigError
            If the terms name another mechanism, the budget is too small to be divided, or a
            mechanism that draws got no seed.
        """
        if terms.mechanism and terms.mechanism != self.label:
            raise ConfigError(
                f"Expected the mechanism of the terms, {terms.mechanism!r}, got {self.label!r}."
            )
        if book.steps != terms.ladder.steps:
            raise DataError(
                f"Expected bids on the ladder of {terms.ladder.steps} steps of the terms, got "
                f"tables of {book.steps} steps."
            )
        if self.needs_seed and public_seed is None:
            raise ConfigError(f"Expected a public_seed for {self.name!r}, which draws; got none.")
        seed = public_seed if self.needs_seed else None
        if book.n == 0:
            none = np.zeros(0, dtype=np.int64)
            return self._written(book, terms, Allotment(none, none, notes=("Nobody bids.",)), seed)
        return self._written(book, terms, self.allot(book, terms, public_seed), seed)

    def _written(
        self, book: BidBook, terms: Terms, found: Allotment, seed: bytes | None
    ) -> Clearing:
        """Return the clearing of what was decided."""
        notes = found.notes
        if book.n and not (found.levels > 0).any() and not notes:
            notes = ("Nobody sells at prices that the budget can pay.",)
        return Clearing(
            party=book.party,
            levels=frozen(found.levels),
            payments=frozen(found.payments),
            costs=frozen(declared_costs(book, found.levels, found.parts)),
            parts=found.parts,
            budget=terms.budget,
            ladder=terms.ladder,
            claims=self.claims,
            mechanism=self.label,
            terms=terms,
            book=book,
            notes=notes,
            public_seed=seed,
        )


AUCTIONS: Registry[type[Auction]] = Registry("auction")
