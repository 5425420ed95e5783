"""The parties' privacy accounts beside a market record: what was delivered was paid for in them.

The accounts hold the very bytes that were delivered, so that the public check is made again, and
what the coordinator computed of them is computed once more. Neighbours: ``judge`` has recomputed
the record, ``uploads`` uses the bytes.
"""

import hashlib
from collections.abc import Mapping

from equigrad.errors import EquigradError, PrivacyError, VerificationError
from equigrad.federation.record.agreement import TOLERANCE, fault
from equigrad.federation.record.chain import Line
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.trade.sales import open_account, sale_id, spent_delta
from equigrad.federation.trade.verify.judge import Judge
from equigrad.federation.trade.verify.sold import Sold
from equigrad.privacy.account import Sale, SalesAccount
from equigrad.privacy.account.chain import first_link

__all__ = ["check_accounts"]


def check_accounts(place: RunFolder, judge: Judge, finish: Line | None) -> Mapping[str, bytes]:
    """Check every account that lies in the folder; return delivered bytes by award.

    Parameters
    ----------
    place
        The run folder.
    judge
        What the record says.
    finish
        The record's last line, if the run has finished.

    Raises
    ------
    VerificationError
        If an account cannot be trusted, or says another thing than the record.
    """
    missing, found = [], dict[str, bytes]()
    for party in judge.opening.parties:
        path = place.account(party)
        if not path.is_file():
            if any(sold.party == party for sold in judge.sold):
                missing.append(party)
            continue
        limits = judge.opening.config.market.account
        limits = limits.model_copy(update={"limit": judge.opening.limits[party]})
        try:
            with open_account(path, party, limits) as account:
                found |= _Account(account, party, judge).check(finish)
        except PrivacyError as error:
            raise VerificationError(f"{path}: {error}") from error
    if missing:
        judge.result.unchecked.append(
            f"The privacy accounts of {', '.join(missing)}: they are not in the folder."
        )
    return found


class _Account:
    """One account, compared with what the record says of its party."""

    def __init__(self, account: SalesAccount, party: str, judge: Judge) -> None:
        self._account, self._party, self._judge = account, party, judge
        self._front = sale_id(judge.opening.task, "")

    def check(self, finish: Line | None) -> dict[str, bytes]:
        """Check the account; return the delivered bytes by award."""
        account, result = self._account, self._judge.result
        result.count("entries of accounts", len(account.entries()))
        sales = {sale.award: sale for sale in account.sales()}
        own = [sold for sold in self._judge.sold if sold.party == self._party]
        found = {}
        for sold in own:
            if sold.digest is not None:
                content = self._delivered(sold, sales.get(self._front + sold.award))
                if content is not None:
                    found[sold.award] = content
        known = {self._front + sold.award for sold in own}
        if finish is not None:
            for sale in sales.values():
                if sale.award.startswith(self._front) and sale.award not in known:
                    raise VerificationError(
                        f"{account.path}: expected the sales that the record tells of, got "
                        f"{sale.award.removeprefix(self._front)!r} besides."
                    )
            self._closing(finish, sales)
        if account.spent() > account.epsilon * (1 + TOLERANCE):
            raise VerificationError(
                f"{account.path}: expected at most epsilon {account.epsilon:g}, the limit of "
                f"{self._party}, got {account.spent():g} spent."
            )
        result.count("limits of accounts")
        return found

    def _delivered(self, sold: Sold, sale: Sale | None) -> bytes | None:
        """Compare one delivery with its sale; return its bytes unless they were forgotten."""
        line, party, result = sold.line, self._party, self._judge.result
        if sold.state != "verified":
            return None  # what was rejected may be anything: earlier bytes, another level
        if sale is None or sale.state != "spent":
            state = "none" if sale is None else f"one that is {sale.state}"
            raise fault(line, f"expected a sale of {sold.award} in {party}'s account, got {state}")
        if sale.digest != sold.digest:
            raise fault(line, f"expected {party}'s delivery of {sold.award} as its account has it")
        local, seeded = self._judge.opening.local, self._seeded
        event = local.event(sold.epsilon, seeded=seeded)
        if sale.event.to_json() != event.with_steps(1).to_json():
            raise fault(
                line,
                f"expected {party}'s account to be charged epsilon {sold.epsilon:g} for "
                f"{sold.award}, got {sale.epsilon:g}",
            )
        result.count("sales in accounts")
        try:
            content = self._account.deliver(sale.award, _never)
        except PrivacyError as error:
            if "got none" in str(error):
                return None
            raise
        if hashlib.sha256(content).hexdigest() != sold.digest:
            raise fault(line, f"expected the bytes that {party} delivered for {sold.award}")
        faults = local.check(content, sold.epsilon)
        if faults:
            raise fault(line, f"expected a sound delivery of {party}, but {' '.join(faults)}")
        result.count("deliveries, checked again")
        return content

    @property
    def _seeded(self) -> bool:
        return self._judge.opening.config.market.local.noise == "seeded"

    def _closing(self, finish: Line, sales: Mapping[str, Sale]) -> None:
        """Compare what the party said at the end."""
        body, account = finish.body, self._account
        if self._party not in body["parties"]:
            return
        i = body["parties"].index(self._party)
        spent = sum(
            sale.state == "spent" and sale.award.startswith(self._front) for sale in sales.values()
        )
        if body["sales"][i] != spent:
            raise fault(
                finish,
                f"expected {spent} sales, as {self._party}'s account has them, got "
                f"{body['sales'][i]}",
            )
        first = first_link(account.owner, account.epsilon, account.delta, account.accountant)
        entries = [first.hex(), *(entry.chain.hex() for entry in account.entries())]
        if body["heads"][i] not in entries:
            raise fault(finish, f"expected the head of {self._party}'s account, got another")
        if body["heads"][i] == entries[-1]:  # nothing was charged since
            pairs = (
                (body["epsilon"][i], account.spent()),
                (body["delta"][i], spent_delta(account)),
            )
            if any(abs(told - again) > TOLERANCE * max(1.0, again) for told, again in pairs):
                raise fault(
                    finish,
                    f"expected epsilon {account.spent():g} of {self._party}, as its account says, "
                    f"got {body['epsilon'][i]!r}",
                )
        self._judge.result.count("accounts, as told, in the accounts", 4)


def _never() -> bytes:
    raise EquigradError("Expected an upload that was delivered, got none.")
