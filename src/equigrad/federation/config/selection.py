"""The table [selection] of a run file: each party scores and chooses its own records first.

Whether scorer and selector go with the rest is asked in
:mod:`equigrad.federation.config.selection_check`; what it costs a party is worked out in
:mod:`equigrad.federation.private.selection_plan`.
"""

from typing import Self

from pydantic import Field, model_validator

from equigrad.federation.config.kinds import Options, PositiveFloat, Section

__all__ = ["SelectionConfig"]


class SelectionConfig(Section):
    """Before its first round a party scores its records and trains on those it chooses.

    Needs `privacy.unit = "record"`: the scorer's own training, the noisy mean and the rounds
    together stay within the party's epsilon. Which records, and how many, no one else learns.
    """

    selector: str = Field(
        "none",
        description="none, or how records are chosen (`equigrad strategies`), by scores that "
        "stay with the party.",
    )
    options: Options = Field({}, description="The selector's own settings.")
    scorer: str = Field("loss-mean", description="A scorer (`equigrad strategies`).")
    scorer_options: Options = Field({}, description="The scorer's own settings.")
    share: float = Field(
        0.5, gt=0, lt=1, description="Share of a party's epsilon for the training of the scorer."
    )
    steps: int = Field(100, ge=1, description="Steps of the scorer's training.")
    expected_batch: int | None = Field(
        None,
        ge=1,
        description="Expected records in one of them, a public number; default: a third of the "
        "party's records.",
    )
    lr: PositiveFloat = Field(0.5, description="Learning rate of the scorer's training (SGD).")
    clip: PositiveFloat = Field(1.0, description="Bound on one record's gradient there.")
    checkpoints: int = Field(20, ge=1, description="States of it that are scored, evenly spaced.")
    mean_mu: PositiveFloat | None = Field(
        None,
        description="Tell the coordinator a noisy mean of the scores, of this Gaussian privacy "
        "(mu; noise = range / (mu N)); a signal beside the contributions. Default: tell nothing.",
    )
    mean_range: list[float] | None = Field(
        None,
        description="Public range [a, b] that scores are cut to for the mean; required with "
        "`mean_mu`.",
    )

    @property
    def on(self) -> bool:
        """Whether parties choose records."""
        return self.selector != "none"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.on and (given := sorted(self.model_fields_set - {"selector"})):
            inert = type(self)().model_dump()
            if any(getattr(self, key) != inert[key] for key in given):
                raise ValueError(
                    f'expected a selector beside {", ".join(given)}, got selector = "none"; '
                    "without one nothing of this happens"
                )
        ends = self.mean_range
        if (ends is None) != (self.mean_mu is None):
            raise ValueError("expected `mean_mu` and `mean_range` together, got one of them")
        if ends is not None and (len(ends) != 2 or not ends[0] < ends[1]):
            raise ValueError(f"expected mean_range = [a, b] with a < b, got {ends}")
        return self
