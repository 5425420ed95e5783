"""Commands about parties, listings, jobs and wallets.

Neighbours: ``books`` has the accounts, ``rounds`` what a job's rounds do.
"""

from equigrad.errors import SettlementError
from equigrad.market.settlement.books import wallet, world
from equigrad.market.settlement.commands import Deposit, Enlist, Enrol, PostJob, Withdraw
from equigrad.market.settlement.entities import Job, Listing, Party
from equigrad.market.settlement.money import Currency
from equigrad.market.settlement.work import Work

__all__ = ["deposit", "enlist", "enrol", "post_job", "withdraw"]


def enrol(work: Work, command: Enrol) -> None:
    """Make a party known, once."""
    if work.find(Party, command.member.id) is not None:
        raise SettlementError(f"Expected a new party, got {command.member.id!r}, known already.")
    work.put(command.member)
    work.event("party-enrolled", command.member.id)


def enlist(work: Work, command: Enlist) -> None:
    """Offer records, one listing per owner and schema."""
    offer = command.offer
    work.need(Party, offer.owner)
    same = work.view.listing_of(offer.owner, offer.schema)
    if same is not None:
        raise SettlementError(
            f"Expected one listing per owner and schema, got {offer.id!r} beside {same.id!r}. Sell "
            "under that one: records that are split into listings would be paid more."
        )
    if work.find(Listing, offer.id) is not None:
        raise SettlementError(f"Expected a new listing, got {offer.id!r}, known already.")
    if offer.excluded_until != -1:
        raise SettlementError(f"Expected a listing without exclusion, got {offer.id!r} with one.")
    work.put(offer)
    work.event("listed", offer.id, owner=offer.owner)


def post_job(work: Work, command: PostJob) -> None:
    """Say what model a buyer wants."""
    work.need(Party, command.job.buyer)
    currency(work, command.job.currency)
    if work.find(Job, command.job.id) is not None:
        raise SettlementError(f"Expected a new job, got {command.job.id!r}, known already.")
    work.put(command.job)
    work.event("job-posted", command.job.id, buyer=command.job.buyer)


def currency(work: Work, code: str) -> Currency:
    """Return a currency of the market; refuse the command if it has none of that code."""
    known = work.view.currencies
    if code not in known:
        raise SettlementError(f"Expected a currency among {', '.join(known)}; got {code!r}.")
    return known[code]


def deposit(work: Work, command: Deposit) -> None:
    """Take money in, once per reference."""
    work.need(Party, command.owner)
    code = currency(work, command.currency).code
    target = wallet(command.owner, code)
    work.move(f"deposit:{command.reference}", world(code), target, command.amount)
    work.result["balance"] = work.balance(target)


def withdraw(work: Work, command: Withdraw) -> None:
    """Pay whole cents out, once per reference; what is less than a cent stays in the wallet."""
    work.need(Party, command.owner)
    money = currency(work, command.currency)
    source = wallet(command.owner, money.code)
    amount = money.payable(command.amount)
    if amount == 0:
        raise SettlementError(
            f"Expected a withdrawal of at least one of {money.cents} parts of a {money.code}, got "
            f"{money.format(command.amount)}."
        )
    work.move(f"withdraw:{command.reference}", source, world(money.code), amount)
    work.result |= {"paid_out": amount, "balance": work.balance(source)}
