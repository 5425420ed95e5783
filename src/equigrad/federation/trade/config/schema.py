"""The run file of a market run as typed data: every key, its type, its range, its default.

A file with a table [market] is of this kind. Unknown keys are refused. Whether names exist and go
together is asked in ``check`` beside it; [data], [partition], [model] and [engine] are those of
:mod:`equigrad.federation.config.schema`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from equigrad.federation.config.kinds import (
    Currency,
    Decimal,
    Name,
    Options,
    PositiveFloat,
    Section,
)
from equigrad.federation.config.schema import (
    DataConfig,
    EngineConfig,
    ModelConfig,
    PartitionConfig,
)

__all__ = [
    "AccountConfig",
    "BidsConfig",
    "LocalConfig",
    "MarketConfig",
    "MarketEvaluationConfig",
    "SellerConfig",
    "StepConfig",
    "TradeConfig",
]

Pair = Annotated[list[PositiveFloat], Field(min_length=2, max_length=2)]


class LocalConfig(Section):
    """How a party protects its gradient before it leaves."""

    mechanism: Literal["l2-sphere", "laplace", "gaussian", "per-coordinate"] = Field(
        description="The local mechanism: it decides whether the model learns."
    )
    bound: PositiveFloat = Field(1.0, description="Clipping bound of the gradient.")
    delta: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="Delta of the gaussian mechanism, the same for all; else absent."
    )
    sampler: Literal["float", "discrete"] = Field(
        "float", description="laplace: float for simulations, discrete for sales over a network."
    )
    noise: Literal["seeded", "secret"] = Field(
        "seeded",
        description="Where noise comes from: the run's seed (a rehearsal: reproducible, NOT "
        "private), or the operating system.",
    )


class AccountConfig(Section):
    """The privacy account of every party; a party's own `limit` goes before."""

    limit: PositiveFloat = Field(10.0, description="Largest epsilon over all sales.")
    delta: Annotated[float, Field(gt=0, lt=1)] = Field(1e-6, description="Delta of the limit.")
    cost: Literal["basic", "rdp"] = Field(
        "basic", description="Sum of epsilons, or the least of that and Renyi accounting."
    )


class BidsConfig(Section):
    """Where curves come from."""

    source: Literal["party", "synthetic"] = Field(
        "party", description="Each [[party]]'s own curve, or curves drawn from the seed."
    )
    kinds: list[Literal["quad", "sqrt", "linear", "exp"]] = Field(
        ["quad", "sqrt", "linear", "exp"], min_length=1, description="synthetic: kinds drawn from."
    )
    factors: Pair = Field([0.5, 1.5], description="synthetic: range of factors.")
    caps: Pair = Field([0.5, 2.0], description="synthetic: range of largest epsilons.")

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for name, (low, high) in (("factors", self.factors), ("caps", self.caps)):
            if high < low:
                raise ValueError(f"expected {name} as [low, high], got [{low:g}, {high:g}]")
        return self


class TradeConfig(Section):
    """What the buyer offers in every round, and how the round is played."""

    budget: Decimal = Field(description="Budget of a round, decimal text in currency.")
    mechanism: str = Field("clock", description="An auction (`equigrad strategies`).")
    form: Literal["reference", "truthful"] | None = Field(None, description="Of all-in.")
    schedule: str | None = Field(
        None, description="learned-clock: schedule file, relative to the run file."
    )
    currency: Currency = Field("EUR", description="Code of the currency.")
    scale: int = Field(1_000_000, ge=1, description="Ledger units to one unit of currency.")
    funds: Decimal | None = Field(
        None, description="Money in the buyer's wallet; default: what all rounds can cost."
    )
    eps_max: PositiveFloat = Field(2.0, description="Largest epsilon of the public ladder.")
    steps: int = Field(32, ge=1, le=4096, description="Levels of the ladder.")
    quality_exponent: PositiveFloat = Field(1.0, description="Exponent of quality in epsilon.")
    size_exponent: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Exponent by which small listings count more; then sizes are fixed."
    )
    aggregator: str = Field("opt-aggr", description="opt-aggr, inverse-variance or conventional.")
    dim: Literal["model"] | Annotated[int, Field(ge=1)] = Field(
        "model", description="Dimension of the error bound; 1 is the reference's convention."
    )
    invite: int | None = Field(
        None, ge=1, description="Parties invited to a round, in turn; default: all."
    )
    quorum: int = Field(1, ge=1, description="Fewest verified deliveries of a round that sells.")
    fee_bps: int = Field(0, ge=0, le=10_000, description="Fee in basis points of what is paid.")
    commit_seconds: int = Field(60, ge=1, description="How long bids are sealed.")
    reveal_seconds: int = Field(60, ge=1, description="How long bids are opened.")
    deliver_seconds: int = Field(600, ge=1, description="How long deliveries are taken.")
    exclude_rounds: int = Field(
        0, ge=0, description="Rounds a listing stays out whose sealed bid was not opened."
    )
    max_upload_mb: PositiveFloat | None = Field(
        None, description="Largest delivery in MB; default: what the model needs."
    )
    ledger: str | None = Field(
        None, description="Database URL of the ledger; default: a SQLite file in the run folder."
    )
    appraise: Literal["none", "cgsv"] = Field(
        "none", description="cgsv: what each delivered gradient was worth; changes no payment."
    )
    local: LocalConfig
    account: AccountConfig = AccountConfig()
    bids: BidsConfig = BidsConfig()


class StepConfig(Section):
    """What the coordinator does with the aggregate: model <- model - lr * aggregate."""

    lr: PositiveFloat = Field(0.1, description="Step in round 0.")
    lr_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="Factor on the step after each round."
    )
    average: bool = Field(False, description="Deliver the mean of the second half's models.")


class MarketEvaluationConfig(Section):
    """What is measured besides."""

    every: int = Field(1, ge=1, description="Measure the model every so many rounds.")
    baselines: list[Literal["non-private", "buy-all"]] = Field(
        ["non-private", "buy-all"],
        description="Rehearsed beside the run from the dealt records; possible in one process "
        "only. buy-all: everybody invited sells its cap, whatever it costs.",
    )


class SellerConfig(Section):
    """One party's particulars, which stay with it in earnest."""

    name: Name = Field(description="Letters, digits, dot, dash, underscore; at most 64.")
    kind: Literal["quad", "sqrt", "linear", "exp", "table"] | None = Field(
        None, description="Form of its privacy cost per record."
    )
    factor: PositiveFloat | None = Field(None, description="Factor of that cost, currency.")
    curve: list[Annotated[list[float], Field(min_length=2, max_length=2)]] | None = Field(
        None, description="table: points [epsilon, cost], ascending."
    )
    eps_cap: PositiveFloat | None = Field(None, description="Largest epsilon it sells at once.")
    size: int | None = Field(
        None, ge=1, description="Records it sells; default and most: those it holds."
    )
    limit: PositiveFloat | None = Field(None, description="Its account's limit over all sales.")
    behaviour: str = Field("honest", description="A registered behaviour of sellers (studies).")
    options: Options = Field({}, description="The behaviour's own settings.")
    join: int = Field(0, ge=0, description="First round it is invited to.")
    leave: int | None = Field(None, ge=1, description="First round it is no longer invited to.")

    def present(self, round_: int) -> bool:
        """Return whether it is there in a round."""
        return self.join <= round_ and (self.leave is None or round_ < self.leave)

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.leave is not None and self.leave <= self.join:
            raise ValueError(f"expected leave > join = {self.join}, got leave = {self.leave}")
        return self


class MarketConfig(Section):
    """A whole run file of a market run."""

    kind: Literal["market"] = Field("market", description="A buyer pays for private gradients.")
    name: Name = Field("run", description="What the run is called in reports and tables.")
    seed: int = Field(0, ge=0, lt=2**63, description="Decides every random draw of a rehearsal.")
    rounds: int = Field(10, ge=1, description="Number of rounds.")
    buyer: Name = Field("buyer", description="Who pays.")
    data: DataConfig
    partition: PartitionConfig = PartitionConfig()
    model: ModelConfig = ModelConfig()
    market: TradeConfig
    step: StepConfig = StepConfig()
    evaluation: MarketEvaluationConfig = MarketEvaluationConfig()
    engine: EngineConfig = EngineConfig()
    party: list[SellerConfig] = Field([])

    @model_validator(mode="after")
    def _unique_parties(self) -> Self:
        names = [p.name for p in self.party]
        for i, name in enumerate(names):
            if name in names[:i]:
                text = "Expected every party once, got {name} twice. Rename or remove one."
                raise PydanticCustomError("party_twice", text, {"name": repr(name), "index": i})
        return self
