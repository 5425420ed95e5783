"""The contract suite of auctions.

Each test is one sentence of the contract in :class:`equigrad.market.Auction`. What an auction does
not claim is not tested.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from equigrad.errors import ConfigError, DataError
from equigrad.market import AUCTIONS, Auction, BidBook, Clearing, Ladder, Terms
from equigrad.market.misreports import best_gain, utilities
from equigrad.testing.auction_lattice import STEPS, lattice_types, pair_outcomes, whole_levels

__all__ = ["AuctionContract"]

Int64 = npt.NDArray[np.int64]


class AuctionContract(ABC):
    """Inherit, return the auction from :meth:`auction`, name the class ``Test...``.

    The suite makes its own bids, seeded. An auction that serves certain rounds only says so:

    Attributes
    ----------
    party_counts
        Numbers of parties of the random rounds; with 2 and 3 among them the lattice is played, too.
    steps
        Steps of the ladder of the random rounds.
    attested_only
        True if sizes below the attested ones are refused.
    lattice_budgets
        Budgets, in ledger units, with which the lattice of all bids of two parties is played.
    """

    party_counts: Sequence[int] = (1, 2, 3, 5, 9)
    steps: int = 6
    attested_only: bool = False
    lattice_budgets: Sequence[int] = (20,)

    @abstractmethod
    def auction(self) -> Auction:
        """Return the auction under test, as a user would make it."""

    def terms(self, budget: int, steps: int, grid: npt.ArrayLike | None = None) -> Terms:
        """Return public terms; override for an auction that needs others."""
        prices = None if grid is None else np.asarray(grid, dtype=np.int64)
        return Terms(budget, Ladder(2.0, steps), grid=prices)

    def clear(self, book: BidBook, terms: Terms) -> Clearing:
        """Clear with the suite's public seed."""
        return self.auction().clear(book, terms, self.seed)

    @property
    def seed(self) -> bytes | None:
        """The public seed of auctions that draw."""
        return bytes(32) if self.auction().needs_seed else None

    def book(
        self, generator: np.random.Generator, n: int, *, flat: bool = False, loose: bool = False
    ) -> BidBook:
        """Return n random bids of prices about 10^6; ``flat``: single-minded parties."""
        rise = generator.exponential(10**6 / self.steps, size=(n, self.steps))
        rise[generator.random(rise.shape) < 0.2] = 0
        table = np.ceil(np.cumsum(rise, axis=1)).astype(np.int64)
        if flat:
            table[:] = table[:, -1:]
        d = generator.integers(1, 40, size=n)
        loose = loose and not self.attested_only
        top = np.full(n, self.steps)
        return BidBook.of(
            [f"party-{i}" for i in range(n)],
            np.concatenate([np.zeros((n, 1), np.int64), table], axis=1),
            generator.integers(1, self.steps + 1, size=n),
            d,
            dcap=d + generator.integers(0, 40, size=n) if loose else d,
            kbar=top if flat or not loose else generator.integers(1, self.steps + 1, size=n),
        )

    def rounds(self, count: int, *, flat: bool = False) -> Iterator[tuple[BidBook, Terms]]:
        """Yield random rounds, with loose and with tight size caps, of budgets of all sizes."""
        generator = np.random.default_rng(12)
        for i in range(count):
            n = self.party_counts[i % len(self.party_counts)]
            book = self.book(generator, n, flat=flat, loose=bool(i % 2))
            cost = int((book.d * book.u[np.arange(n), book.kcap]).sum())
            budget = max(int(cost * generator.uniform(0.1, 3)), 1000 * int(book.dcap.sum()))
            yield book, self.terms(budget, self.steps)

    def test_name(self) -> None:
        """The auction is registered under its name, and its label begins with it."""
        auction = self.auction()
        np.testing.assert_equal(type(auction), AUCTIONS[auction.name])
        np.testing.assert_equal(auction.label.split()[0], auction.name)

    def test_nobody_bids(self) -> None:
        """No bid: no award, nothing paid, and a line that says why."""
        found = self.clear(BidBook.empty(self.steps), self.terms(1000, self.steps))
        np.testing.assert_equal((found.levels.size, found.spent, found.valid), (0, 0, False))
        np.testing.assert_equal(len(found.notes), 1)

    def test_nobody_sells(self) -> None:
        """Caps of zero: no award, nothing paid, and a line that says why."""
        for n in self.party_counts:
            book = self.book(np.random.default_rng(n), n)
            shut = BidBook.of(book.party, book.u, np.zeros(n, np.int64), book.d, dcap=book.dcap)
            found = self.clear(shut, self.terms(10**12, self.steps))
            np.testing.assert_equal((found.spent, found.valid), (0, False))
            np.testing.assert_equal(len(found.notes) >= 1, True)

    def test_awards(self) -> None:
        """Integers in the order of the book, levels up to both caps; the bids stay as they were."""
        for book, terms in self.rounds(30):
            before = (book.u.copy(), book.kcap.copy(), book.d.copy())
            found = self.clear(book, terms)
            for array in (found.levels, found.payments, found.costs):
                np.testing.assert_equal((array.shape, array.dtype), ((book.n,), np.int64))
            np.testing.assert_array_equal(found.party, book.party)
            np.testing.assert_array_less(-1, found.levels)
            np.testing.assert_array_less(-1, found.payments)
            np.testing.assert_array_less(whole_levels(found), book.limit + 1)
            np.testing.assert_array_equal(found.eps > 0, found.levels > 0)
            for now, then in zip((book.u, book.kcap, book.d), before, strict=True):
                np.testing.assert_array_equal(now, then)

    def test_somebody_sells(self) -> None:
        """A budget far above all costs buys from somebody, where there are two parties or more."""
        n = max(self.party_counts)
        book = self.book(np.random.default_rng(4), n)
        most = int((book.d * book.u[:, -1]).sum())
        np.testing.assert_equal(self.clear(book, self.terms(50 * most, self.steps)).valid, n > 1)

    def test_payments_fit_the_budget(self) -> None:
        """The payments sum to at most the budget, where that is claimed."""
        if not self.auction().claims.within_budget:
            pytest.skip("no budget is claimed")
        for book, terms in self.rounds(60):
            found = self.clear(book, terms)
            np.testing.assert_equal(sum(found.payments.tolist()) <= terms.budget, True)

    def test_truth_never_loses(self) -> None:
        """Nobody who tells the truth is paid less than its cost, where that is claimed."""
        if not self.auction().claims.rational:
            pytest.skip("rationality is not claimed")
        for book, terms in self.rounds(60):
            np.testing.assert_array_less(-1, utilities(book, self.clear(book, terms)))

    def test_lattice_of_two(self) -> None:
        """On the lattice no report of any party beats any truth, for any bid of the other."""
        claims = self.auction().claims
        if claims.truthful == "no" or 2 not in self.party_counts:
            pytest.skip("truth is not claimed, or not for two parties")
        types = lattice_types(single_minded=claims.truthful == "single-minded")
        dcap = (2, 2) if self.attested_only else (2, 3)
        shorter = [] if self.attested_only or claims.truthful != "exact" else [(1, 2), (2, 1)]
        for budget in self.lattice_budgets:
            terms = self.terms(budget, STEPS, np.arange(1, 8))
            honest = pair_outcomes(self.auction(), types, terms, (2, 2), dcap, self.seed)
            for i in (0, 1):
                levels, payments = (np.moveaxis(array[..., i], i, 0) for array in honest)
                every = types.gains(levels, payments, 2)  # (truth, report, other)
                own = np.einsum("ttb->tb", every)
                if claims.rational:
                    np.testing.assert_array_less(-1, own)
                np.testing.assert_array_equal(every.max(axis=1), own)
                for d in shorter[i : i + 1]:  # reports of one record of two, every fifth other bid
                    less = pair_outcomes(
                        self.auction(), types, terms, d, dcap, self.seed, thin=(1 - i, 5)
                    )
                    levels, payments = (np.moveaxis(array[..., i], i, 0) for array in less)
                    liars = types.gains(levels, payments, 1).max(axis=1)
                    np.testing.assert_array_less(liars, own[:, ::5] + 1)
            if claims.within_budget:
                np.testing.assert_array_less(honest[1].sum(axis=2), budget + 1)

    def test_lattice_of_three(self) -> None:
        """On sampled bids of two others, no report of the third beats any truth."""
        claims = self.auction().claims
        if claims.truthful == "no" or 3 not in self.party_counts:
            pytest.skip("truth is not claimed, or not for three parties")
        types = lattice_types(single_minded=claims.truthful == "single-minded")
        generator = np.random.default_rng(3)
        d = np.asarray([2, 1, 3])
        for trial in range(24):
            terms = self.terms(int(generator.integers(18, 60)), STEPS, np.arange(1, 10))
            row = trial % 3
            chosen = generator.integers(0, len(types), size=3)
            levels, payments = np.empty((2, len(types)), dtype=np.int64)
            for report in range(len(types)):
                chosen[row] = report
                book = BidBook.of(["a", "b", "c"], types.u[chosen], types.kcap[chosen], d)
                found = self.clear(book, terms)
                levels[report], payments[report] = whole_levels(found)[row], found.payments[row]
            every = types.gains(levels, payments, int(d[row]))
            np.testing.assert_array_equal(every.max(axis=1), np.diagonal(every))

    def test_random_misreports(self) -> None:
        """No random misreport beats the truth, where truth is claimed, for whom it is claimed."""
        truthful = self.auction().claims.truthful
        if truthful == "no":
            pytest.skip("truth is not claimed")
        exact = truthful == "exact"
        kinds = ["curve", "price", "cap"] if exact else ["price"]
        if exact and not self.attested_only:
            kinds.append("size")
        generator = np.random.default_rng(5)
        for book, terms in self.rounds(40, flat=not exact):
            row = int(generator.integers(book.n))
            gain = best_gain(
                self.auction(),
                book,
                terms,
                row,
                generator,
                count=24,
                kinds=kinds,
                public_seed=self.seed,
            )
            np.testing.assert_equal(gain.gain, 0, err_msg=str(gain))

    def test_order_of_arrival(self) -> None:
        """Bids in another order give the same digest, ties included."""
        generator = np.random.default_rng(6)
        for n in self.party_counts:
            book = self.book(generator, n, flat=True)
            u, kcap, d = (np.repeat(array[:1], n, axis=0) for array in (book.u, book.kcap, book.d))
            for rows in (book, BidBook.of(book.party, u, kcap, d)):
                order = generator.permutation(n)
                moved = BidBook.of(
                    rows.party[order],
                    rows.u[order],
                    rows.kcap[order],
                    rows.d[order],
                    dcap=rows.dcap[order],
                    kbar=rows.kbar[order],
                )
                budget = 1000 * int(rows.dcap.sum()) + int((rows.d * rows.u[:, -1]).sum()) // 2
                terms = self.terms(budget, self.steps)
                np.testing.assert_equal(
                    self.clear(moved, terms).digest, self.clear(rows, terms).digest
                )

    def test_digest(self) -> None:
        """The same bytes give the same digest; another bid, budget or outcome another one."""
        book, terms = next(iter(self.rounds(1)))
        copy = BidBook.of(
            book.party, book.u.copy(), book.kcap, book.d, dcap=book.dcap, kbar=book.kbar
        )
        digest = self.clear(book, terms).digest
        np.testing.assert_equal(self.clear(copy, terms).digest, digest)
        dearer = book.with_report(0, u=book.u[0] + np.arange(book.steps + 1))
        richer = self.terms(terms.budget + 1, self.steps)
        others = {self.clear(dearer, terms).digest, self.clear(book, richer).digest, digest}
        np.testing.assert_equal(len(others), 3)

    def test_huge_amounts(self) -> None:
        """Amounts up to 2^62 never wrap: payments are >= 0 and fit a claimed budget."""
        grid = [1, 2**20, 2**40, 2**61, 2**62]
        for n in self.party_counts:
            for d in (1, 2**31 - 1, 2**62):
                u = np.zeros((n, self.steps + 1), dtype=np.int64)
                u[:, 1:] = 2**62 - np.arange(self.steps)[::-1]
                book = BidBook.of(
                    [f"{i}" for i in range(n)], u, np.full(n, self.steps), np.full(n, d)
                )
                for budget in (1, 2**61, 2**62):
                    found = self.clear(book, self.terms(budget, self.steps, grid))
                    np.testing.assert_array_less(-1, found.payments)
                    if found.claims.within_budget:
                        np.testing.assert_equal(sum(found.payments.tolist()) <= budget, True)
                    if found.claims.rational:
                        np.testing.assert_array_less(-1, utilities(book, found))

    def test_other_ladder_or_mechanism_is_refused(self) -> None:
        """Bids on another ladder, or terms of another mechanism, are an error."""
        book, terms = next(iter(self.rounds(1)))
        with pytest.raises(DataError, match="steps"):
            self.clear(book, self.terms(terms.budget, self.steps + 1))
        with pytest.raises(ConfigError, match="mechanism"):
            self.clear(book, Terms(terms.budget, terms.ladder, mechanism="another"))

    def test_global_random_state_is_left_alone(self) -> None:
        """No auction draws from NumPy's global generator."""
        before = np.random.get_state()  # noqa: NPY002 (it is the state that must not move)
        for book, terms in self.rounds(3):
            self.clear(book, terms)
        after = np.random.get_state()  # noqa: NPY002 (as above)
        np.testing.assert_equal(after, before)
