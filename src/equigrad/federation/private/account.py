"""A party's own privacy account in a run: every local step charged, and the key of its noise.

Why an account in a file and not the party's state in the run: the engine takes over a state only
together with a reply that came in time, so a charge kept there would be forgotten when a reply is
lost or late, although something was released. The account
(:class:`equigrad.privacy.account.PrivacyAccount`) writes durably before a batch is drawn; a crash
in between leaves the charge spent. A round that is played again after a crash finds its charges
and draws from the same key, as long as it starts from the same inputs: one noise on two different
sums would show their difference.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from equigrad.errors import BudgetExceededError
from equigrad.federation.party.spec import PartySpec
from equigrad.federation.private.plan import PrivacyPlan
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.streams import stream_seed
from equigrad.privacy.account import AccountRun, PrivacyAccount
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.noise import NoiseKey

__all__ = ["MEAN", "RUN", "SCORING", "Charge", "PartyAccount", "end_accounts", "with_accounts"]

RUN = "federated training"
"""The name of a party's run in its account."""
SCORING, MEAN = "training of the scorer", "mean of the scores"
"""The names of what it does before its first round, where it chooses its records."""


@dataclass(frozen=True)
class Charge:
    """One round that is paid for.

    Attributes
    ----------
    key
        Where its batches and its noise come from.
    nonces
        The address of each local step's randomness; no two charges share one.
    steps
        Steps charged to the account up to and with this round.
    """

    key: NoiseKey
    nonces: tuple[int, ...]
    steps: int


class PartyAccount:
    """The account of one party in one run.

    Guarantee: the charges of a round are durable before :meth:`charge` returns, and all charges
    together never exceed the plan's ``limit_steps``, nor, as the account itself counts, its
    epsilon; a refused round leaves no trace. Safe with several processes and threads, and when a
    process is killed.

    Parameters
    ----------
    path
        The account's file; made when first charged.
    plan
        What the party may release.
    seed
        The run's seed, from which the key of a rehearsal (a run that is not secret) follows.
    """

    def __init__(self, path: Path, plan: PrivacyPlan, seed: int) -> None:
        self.path = path
        self.plan = plan
        self._seed = seed
        self._account: PrivacyAccount | None = None

    def charge(self, first: int, inputs: str) -> Charge:
        """Charge the local steps of one round, or find the charges that it had before.

        Parameters
        ----------
        first
            Number of the round's first step; another round's numbers never overlap.
        inputs
            Digest of all that its sums are made of, but the key.

        Raises
        ------
        BudgetExceededError
            If the budget does not hold a whole round more. Nothing is charged then.
        PrivacyError
            If the account cannot be written or trusted: then nothing may be released.
        """
        whole_rounds = self.plan.limit_steps // self.plan.round_steps * self.plan.round_steps
        return self._charge(
            RUN, self.plan.event, whole_rounds, inputs, first, self.plan.round_steps
        )

    def charge_whole(self, name: str, event: PrivacyEvent, inputs: str) -> Charge:
        """Charge all steps of ``event`` as a run of their own, or find them charged before.

        ``name`` is :data:`SCORING` or :data:`MEAN`; arguments and errors as for :meth:`charge`.
        """
        return self._charge(name, event, event.steps, inputs, 0, event.steps)

    def steps(self) -> int:
        """Return how many steps of rounds were charged."""
        if not self.path.exists():
            return 0
        with self._opened() as account:
            own = self.plan.event.label
            return sum(event.steps for event in account.events() if event.label == own)

    def end(self) -> None:
        """End all runs: keys are overwritten and removed; what was not charged is given back."""
        if self.path.exists():
            with self._opened() as account:
                for name in account.unfinished():
                    account.resume_run(name).end()

    def _charge(
        self, name: str, event: PrivacyEvent, reserved: int, inputs: str, first: int, steps: int
    ) -> Charge:
        with self._opened() as account:
            run = self._run(account, name, event, reserved)
            key = self._key(run)
            charges = [run.begin_step(first + i, inputs) for i in range(steps)]
            nonces = tuple(charge.nonce for charge in charges)
            return Charge(key, nonces, nonces[-1] + 1)

    @contextmanager
    def _opened(self) -> Iterator[PrivacyAccount]:
        """Open the account for one call; what was read of it stays in memory, the file does not."""
        plan = self.plan
        if self._account is None:
            self._account = PrivacyAccount.open(
                self.path,
                owner=plan.party,
                epsilon=plan.epsilon,
                delta=plan.delta,
                accountant=plan.accountant,
            )
        with self._account as account:
            yield account

    def _run(
        self, account: PrivacyAccount, name: str, event: PrivacyEvent, steps: int
    ) -> AccountRun:
        """Return a run, begun when first asked for with all the steps that it may take."""
        unfinished = account.unfinished()
        if name in unfinished:
            return account.resume_run(name)
        if account.events() and not unfinished:
            raise BudgetExceededError(
                f"Expected an account whose run goes on, got one that {self.plan.party!r} has "
                "ended. Start a new run in another folder."
            )
        key = self._new_key(name)
        return account.begin_run(event, name=name, key=key.to_bytes(), steps=steps)

    def _key(self, run: AccountRun) -> NoiseKey:
        """Return the run's key; a lost one is replaced, and what it noised is charged again."""
        kept = run.key
        if kept is not None:
            return NoiseKey.from_bytes(kept)
        key = self._new_key(run.name)
        run.renew_key(key.to_bytes())
        return key

    def _new_key(self, name: str) -> NoiseKey:
        if self.plan.secret:
            return NoiseKey.secret()
        purpose = "private training" if name == RUN else name
        return NoiseKey.test(stream_seed(self._seed, purpose, party=self.plan.party))


def with_accounts(specs: Sequence[PartySpec], place: RunFolder) -> tuple[PartySpec, ...]:
    """Return the parties, those with a plan with the file of their account in the run folder."""
    return tuple(
        spec if spec.plan is None else replace(spec, account=place.account(spec.name))
        for spec in specs
    )


def end_accounts(specs: Sequence[PartySpec], place: RunFolder) -> None:
    """End all parties' runs in their accounts, when no round will be played again."""
    for spec in specs:
        if spec.plan is not None:
            PartyAccount(place.account(spec.name), spec.plan, spec.seed).end()
