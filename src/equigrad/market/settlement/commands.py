"""Everything that can be asked of a market; a command that could never be sound cannot be made.

Who sent a command is for the transport to prove before it gets here: ``party`` and ``signed`` are
what it proved. Neighbours: ``decide`` says what each command does.
"""

from dataclasses import dataclass, fields
from typing import Final

from equigrad.errors import ConfigError, VerificationError
from equigrad.market.settlement.codec import Json, from_json, to_json
from equigrad.market.settlement.entities import Job, Listing, Party, Terms
from equigrad.market.settlement.fields import award_id, digest, identifier, seconds
from equigrad.market.settlement.money import units
from equigrad.market.settlement.papers import BidPaper, Clearing, Verdict

__all__ = ["COMMANDS", "Command", "command_from_json", "command_to_json"]


class Command:
    """Something asked of a market. Fields are checked by name; entities have checked theirs."""

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):  # type: ignore[arg-type]
            value = getattr(self, name)
            if name in ("round", "listing", "party", "owner", "reference"):
                identifier(name, value)
            elif name == "award":
                award_id(value)
            elif name in ("commitment", "terms_digest", "upload"):
                digest(name, value)
            elif name == "amount":
                units(name, value, least=1)
            elif name in ("size", "level"):
                seconds(name, value)


@dataclass(frozen=True)
class Enrol(Command):
    """Make a party known."""

    member: Party


@dataclass(frozen=True)
class Enlist(Command):
    """Offer records: one listing per owner and schema."""

    offer: Listing


@dataclass(frozen=True)
class PostJob(Command):
    """Say what model a buyer wants."""

    job: Job


@dataclass(frozen=True)
class Deposit(Command):
    """Money came from outside into a wallet; ``reference`` is the transfer's, taken once."""

    owner: str
    currency: str
    amount: int
    reference: str


@dataclass(frozen=True)
class Withdraw(Command):
    """Money leaves a wallet: ``amount`` rounded down to the cent, the rest stays."""

    owner: str
    currency: str
    amount: int
    reference: str


@dataclass(frozen=True)
class Draft(Command):
    """Write a round's terms down."""

    round: str
    terms: Terms


@dataclass(frozen=True)
class Fund(Command):
    """Hold budget and fee: buyer's wallet -> escrow."""

    round: str


@dataclass(frozen=True)
class Open(Command):
    """Take bids from now on."""

    round: str


@dataclass(frozen=True)
class Commit(Command):
    """Seal a bid; ``terms_digest`` says which terms the party signed."""

    round: str
    listing: str
    party: str
    commitment: str
    terms_digest: str


@dataclass(frozen=True)
class Reveal(Command):
    """Open a sealed bid."""

    round: str
    listing: str
    party: str
    paper: BidPaper
    nonce: str
    signed: bool = True


@dataclass(frozen=True)
class Clear(Command):
    """Take an auction's result for the opened bids."""

    round: str
    clearing: Clearing


@dataclass(frozen=True)
class Offer(Command):
    """Tell the awards to their parties; deliveries are taken from now on."""

    round: str


@dataclass(frozen=True)
class Accept(Command):
    """The party has reserved the privacy and will deliver."""

    award: str
    party: str


@dataclass(frozen=True)
class Decline(Command):
    """The party will not deliver: above its cap or its account, or for reasons of its own."""

    award: str
    party: str


@dataclass(frozen=True)
class Deliver(Command):
    """An upload arrived: digest and bytes of it, the level it was noised at."""

    award: str
    party: str
    upload: str
    size: int
    level: int
    signed: bool = True


@dataclass(frozen=True)
class Judge(Command):
    """The public check has looked at the stored bytes of a delivery."""

    award: str
    verdict: Verdict


@dataclass(frozen=True)
class Dispute(Command):
    """A party whose delivery failed the check calls for another."""

    award: str
    party: str


@dataclass(frozen=True)
class Resolve(Command):
    """The public check was run again on the stored bytes; this ends the dispute."""

    award: str
    verdict: Verdict


@dataclass(frozen=True)
class Pay(Command):
    """Pay a verified delivery now instead of when the round ends."""

    award: str


@dataclass(frozen=True)
class Close(Command):
    """Take no more deliveries; ``release`` is the SHA-256 of the model made of them, if any."""

    round: str
    release: str | None = None


@dataclass(frozen=True)
class Settle(Command):
    """Pay what is verified, take the fee, give the rest back."""

    round: str


@dataclass(frozen=True)
class Cancel(Command):
    """Call a round off before it is cleared; everything is given back."""

    round: str


@dataclass(frozen=True)
class Tick(Command):
    """Do what a passed deadline demands, and nothing else."""

    round: str


COMMANDS: Final[dict[str, type[Command]]] = {
    kind.__name__: kind
    for kind in (
        *(Enrol, Enlist, PostJob, Deposit, Withdraw, Draft, Fund, Open, Commit, Reveal, Clear),
        *(Offer, Accept, Decline, Deliver, Judge, Dispute, Resolve, Pay, Close, Settle, Cancel),
        Tick,
    )
}
"""Every command by name."""


def command_to_json(command: Command) -> Json:
    """Return a command's JSON form, its name under ``command``."""
    form: dict[str, Json] = to_json(command)
    return {"command": type(command).__name__, **form}


def command_from_json(form: Json) -> Command:
    """Return the command of a JSON form; ``ConfigError`` if it is none."""
    rest = dict(form)
    name = rest.pop("command", None)
    if name not in COMMANDS:
        raise ConfigError(f"Expected a command among {', '.join(COMMANDS)}; got {name!r}.")
    try:
        return from_json(COMMANDS[name], rest)
    except VerificationError as error:
        raise ConfigError(f"Expected the fields of the command {name}. {error}") from error
