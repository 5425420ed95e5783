"""A seller of a market run: it bids, opens, protects one gradient for an award, and counts pay.

The seller trusts nobody: it reads the terms itself, sells no level above its cap or account, none
below its price, and lets bytes leave only after its account has paid for them. All it must remember
lies in its folder and its account, so an agent can die at any moment: the next one answers the same
request with the same bytes. Neighbours: ``deciding`` says yes or no, ``behaviours`` strays.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from equigrad.errors import ConfigError, DataError, PrivacyError, UploadError, VerificationError
from equigrad.federation.messages import Message
from equigrad.federation.party.evaluate import evaluate
from equigrad.federation.party.spec import Records
from equigrad.federation.streams import numpy_stream
from equigrad.federation.trade.announcing import Announced
from equigrad.federation.trade.behaviours import Handover, make_seller_behaviour
from equigrad.federation.trade.deciding import (
    DeclinedError,
    check_award,
    check_receipt,
    check_same_announcement,
    own_paper,
)
from equigrad.federation.trade.folder import Agreement, SealedBid, SellerFolder
from equigrad.federation.trade.gradient import FullGradient
from equigrad.federation.trade.messages import (
    BidReply,
    BidRequest,
    ClosingReply,
    ClosingRequest,
    DeclineReply,
    DeliverReply,
    DeliverRequest,
    OpenReply,
    OpenRequest,
)
from equigrad.federation.trade.protection import local_mechanism, noise_source
from equigrad.federation.trade.sales import (
    affordable_level,
    find_sale,
    open_account,
    sale_id,
    spent_delta,
)
from equigrad.federation.trade.spec import SellerSpec, SellerState
from equigrad.market.settlement import AwardState, Receipt, commitment
from equigrad.market.settlement.codec import from_json, to_json
from equigrad.models import load_flat, vector_sha256
from equigrad.privacy.account import SalesAccount

__all__ = ["SellerAgent"]


class SellerAgent:
    """One seller at work, used by one thread at a time.

    Guarantees, also over kills and with several agents of one folder and account at once:

    * A request that comes again is answered with the same bytes; noise is drawn once an award.
    * A round has one bid, an award one level, payment and model: others are declined.
    * No bytes leave before the account has charged them; what does not fit is declined.
    * No award is served above the seller's cap or below the price that it sealed.

    Parameters
    ----------
    spec
        The seller.

    Raises
    ------
    ConfigError, ModelError, RegistryError
        If model, records, mechanism or behaviour do not fit together.
    """

    def __init__(self, spec: SellerSpec) -> None:
        self.spec = spec
        self.folder = SellerFolder(spec.folder, durable=spec.local.noise == "secret")
        sold = Records(spec.train.features[: spec.size], spec.train.labels[: spec.size])
        self._gradient = FullGradient(
            sold, spec.model_input, spec.model, seed=spec.seed, party=spec.name, device=spec.device
        )
        self._mechanism = local_mechanism(spec.local, self._gradient.dim)
        self._behaviour = make_seller_behaviour(spec.behaviour, spec.options)
        self._handlers: dict[type[Message], Callable[[Any], Message]] = {
            BidRequest: self._bid,
            OpenRequest: self._open,
            DeliverRequest: self._deliver,
            ClosingRequest: self._close,
        }

    def initial_state(self) -> SellerState:
        """Return the state before the first request."""
        return SellerState()

    def handle(self, state: SellerState, message: Message) -> tuple[SellerState, Message]:
        """Return the next state and the reply.

        Raises
        ------
        DataError
            If the request is of another run, or opens a round in which nothing was sealed.
        DeclinedError, VerificationError
            If the last receipts, at the closing, are not what was agreed.
        RecordError, PrivacyError
            If the seller's folder or, at the closing, its account cannot be read or trusted.
        """
        handler = self._handlers.get(type(message))
        if handler is None:
            raise DataError(f"Expected a request of a market run, got {message.kind!r}.")
        task = getattr(message, "task", self.spec.task)
        if task != self.spec.task:
            raise DataError(
                f"Expected a message of the run {self.spec.task[:12]}, got one of {task[:12]}."
            )
        return SellerState(max(state.answered, message.round)), handler(message)

    @cached_property
    def _account(self) -> SalesAccount:
        """The seller's account, opened when it first matters; its file is open during calls."""
        return open_account(self.spec.account, self.spec.name, self.spec.limit)

    # --- bidding --------------------------------------------------------------------------------

    def _bid(self, message: BidRequest) -> BidReply | DeclineReply:
        try:
            self._take(message.receipts)
            sealed = self.folder.sealed(message.market_round) or self._seal(message)
            check_same_announcement(message, sealed)
        except (DeclinedError, PrivacyError, ConfigError, DataError, VerificationError) as error:
            return self._declined(message, error)
        return BidReply(
            round=message.round,
            party=self.spec.name,
            market_round=message.market_round,
            commitment=commitment(sealed.paper, sealed.nonce, sealed.round),
            terms=sealed.paper.terms,
        )

    def _seal(self, message: BidRequest) -> SealedBid:
        """Write the bid of a round and keep it; nothing of it has been said yet."""
        spec, round_ = self.spec, message.market_round
        if message.listing != spec.listing:
            raise DeclinedError(f"it sells {spec.listing}, not {message.listing}")
        announced = Announced.read(message.terms, message.auction)
        paper = own_paper(spec.name, spec.listing, spec.curve, spec.eps_cap, spec.size, announced)
        with self._account as account:
            left = affordable_level(account, self._mechanism, announced.ladder, paper.level_cap)
        if left == 0:
            raise DeclinedError("account: less is left than the lowest level costs")
        bent = self._behaviour.bid(replace(paper, level_cap=left), announced.ladder.steps)
        bid = SealedBid(round_, message.terms, message.auction, bent, self._nonce(round_))
        return self.folder.seal(bid)

    def _nonce(self, round_: str) -> str:
        """Return what seals a round's bid: the same whenever it is asked, unknown to others."""
        if self.spec.local.noise == "seeded":
            secret = numpy_stream(self.spec.seed, "sealing", party=self.spec.name).bytes(32)
        else:
            secret = self.folder.secret()
        text = f"{self.spec.task}\x1f{round_}".encode()
        return hmac.new(secret, text, hashlib.sha256).hexdigest()

    def _open(self, message: OpenRequest) -> OpenReply:
        sealed = self.folder.sealed(message.market_round)
        if sealed is None:
            raise DataError(
                f"Expected to open a bid that was sealed, got round {message.market_round}, in "
                "which none was."
            )
        return OpenReply(
            round=message.round,
            party=self.spec.name,
            market_round=sealed.round,
            paper=to_json(self._behaviour.open(sealed.paper)),
            nonce=sealed.nonce,
        )

    # --- delivering -----------------------------------------------------------------------------

    def _deliver(self, message: DeliverRequest) -> DeliverReply | DeclineReply:
        try:
            content, level = self._sold(message)
        except (DeclinedError, PrivacyError, UploadError) as error:
            return self._declined(message, error)
        digest = hashlib.sha256(content).hexdigest()
        self.folder.handed_over(message.award, digest)
        return DeliverReply(
            round=message.round,
            party=self.spec.name,
            market_round=message.market_round,
            award=message.award,
            level=level,
            digest=digest,
            content=torch.from_numpy(np.frombuffer(content, dtype=np.uint8).copy()),
        )

    def _sold(self, message: DeliverRequest) -> tuple[bytes, int]:
        """Return the bytes to deliver for an award, and the level to claim."""
        sealed = self.folder.sealed(message.market_round)
        if sealed is None:
            raise DeclinedError(f"it made no bid in round {message.market_round}")
        announced = Announced.read(sealed.terms, sealed.auction)
        spec = self.spec
        honest = own_paper(spec.name, spec.listing, spec.curve, spec.eps_cap, spec.size, announced)
        top = honest.level_cap
        check_award(message, sealed.paper, announced, top=top, dim=self._gradient.dim)
        model = vector_sha256(message.model)
        wanted = Agreement(message.award, message.level, message.payment, model)
        if self.folder.agree(wanted) != wanted:
            raise DeclinedError(f"award {message.award} was made before with other terms or model")
        return self._behaviour.hand_over(
            Handover(
                level=message.level,
                top=top,
                sell=lambda level: self._sell(message, level, announced),
                earlier=lambda: self._earlier(message.award),
            )
        )

    def _sell(self, message: DeliverRequest, level: int, announced: Announced) -> bytes:
        """Protect the gradient at a level: charged, stored, and only then returned."""
        epsilon = float(announced.ladder.eps(level))
        local, seed, name = self.spec.local, self.spec.seed, self.spec.name
        award = sale_id(self.spec.task, message.award)
        event = self._mechanism.event(epsilon, seeded=local.noise == "seeded")
        with self._account as account:
            known = find_sale(account, award)
            if known is None or known.state != "spent":
                # NaN is refused here, before anything is reserved or drawn.
                clipped = self._mechanism.clip(self._gradient(message.model, message.round))

            def draw() -> bytes:
                source = noise_source(local, seed, message.round, name)
                upload = self._mechanism.release(clipped, epsilon, source)
                return b"" if upload is None else upload.to_bytes()

            account.reserve(award, event, buyer=announced.terms.job, round_number=message.round)
            return account.deliver(award, draw)

    def _earlier(self, award: str) -> bytes | None:
        """Return what was sold for the first award, if that is another one."""
        first = next(iter(self.folder.deliveries()), award)
        if first == award:
            return None
        with self._account as account:
            return account.deliver(sale_id(self.spec.task, first), _nothing)

    # --- after a round --------------------------------------------------------------------------

    def _take(self, receipts: Sequence[Mapping[str, Any]]) -> None:
        """Keep receipts, if they say what was agreed, and release what will not be delivered."""
        for told in receipts:
            receipt = from_json(Receipt, dict(told))
            award = receipt.award
            check_receipt(receipt, self.folder.agreement(award), self.folder.delivery(award))
            if self.folder.take(receipt) != receipt:
                raise DeclinedError(f"award {award} had another receipt before")
            if receipt.state is not AwardState.PAID and self.folder.agreement(award) is not None:
                self._expire(sale_id(self.spec.task, award))

    def _expire(self, award: str) -> None:
        with self._account as account:
            known = find_sale(account, award)
            if known is not None and known.state == "reserved":
                account.expire(award)

    def _close(self, message: ClosingRequest) -> ClosingReply:
        self._take(message.receipts)
        receipts = self.folder.receipts()
        with self._account as account:
            own = [s for s in account.sales() if s.award.startswith(sale_id(self.spec.task, ""))]
            return ClosingReply(
                round=message.round,
                party=self.spec.name,
                epsilon=account.spent(),
                delta=spent_delta(account),
                sales=sum(sale.state == "spent" for sale in own),
                earned=sum(receipt.paid for receipt in receipts),
                receipts=len(receipts),
                head=account.head()[1],
                metrics=self._measured(message.model),
            )

    def _measured(self, model: torch.Tensor) -> dict[str, float]:
        if self.spec.test is None:
            return {}
        load_flat(self._gradient.model, model)
        test = self.spec.test.to(torch.device(self.spec.device))
        return evaluate(self._gradient.model, test, self.spec.model_input.task)

    def _declined(self, message: BidRequest | DeliverRequest, reason: Exception) -> DeclineReply:
        return DeclineReply(
            round=message.round,
            party=self.spec.name,
            market_round=message.market_round,
            reason=str(reason),
        )


def _nothing() -> bytes:
    raise DataError("Expected an upload that was paid for, got a sale without noise.")
