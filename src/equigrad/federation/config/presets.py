"""Presets of the fair rewards: what every setting of CGSV is when the run file leaves it out.

``paper`` follows Xu et al. (NeurIPS 2021), ``reference`` follows the authors' released code, and
``robust`` is our default: bounded uploads that may shrink, values with uniform weights, a memory
that is an average, audits that exclude. A run file names a preset in ``[rewards]`` and may set any
key alone on top of it.
"""

from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from equigrad.errors import ConfigError
from equigrad.federation.config.schema import AuditConfig, RewardsConfig
from equigrad.federation.messages import Bounding

__all__ = ["PRESETS", "TASK_GAMMA", "CgsvSettings", "resolve"]

TASK_GAMMA = MappingProxyType({"mnist": 0.5, "cifar10": 0.15, "movie_reviews": 1.0, "sst": 1.0})
"""Upload norm of the authors' released code, by data set; 0.5 for any other."""

_OTHER_TASK_GAMMA = 0.5


@dataclass(frozen=True, kw_only=True)
class CgsvSettings:
    """Every setting of a CGSV run, resolved; nothing is left to a default any more.

    Parameters
    ----------
    preset
        Where the values come from that the run file does not set.
    contribution
        Contribution rule, or "auto" (exact up to 20 parties, sampled above).
    value_weights
        Weights of the uploads in the game: "uniform" (1/n) or the "aggregation" weights.
    aggregation
        Weights of the aggregate: "uniform-then-reputation" or "records-then-reputation".
    bounding
        What a party does with its update: never scale it up ("clip"), always to the norm
        ("rescale", "rescale-eps"), or nothing ("none").
    gamma
        Upload norm of round 0, "auto" (twice the median norm of the first updates), or None if
        and only if the bounding is "none".
    gamma_end
        Upload norm of the last round as a share of the first's, in (0, 1]; geometric between.
    norm_cap
        Largest upload, in medians of the upload norms; ``inf`` caps nothing.
    mixing
        Reputation update: "paper" (raw values enter) or "robust" (mean of relative values).
    alpha
        Memory of the reputation, in [0, 1).
    floor
        Least reputation, in [0, 1]; 0 is none.
    beta, beta_times_members
        Altruism (may be ``inf``), and whether it is multiplied by the number of members.
    sharpness
        Exponent on the reputations before the ratio.
    warmup
        Number of first rounds in which everybody with an upload gets the whole aggregate.
    mask
        Reward rule.
    audit_action, clone_action
        What a flag does ("flag" shows it, "exclude" also pays nothing) and what becomes of clone
        groups ("flag" or "merge").
    clear_after
        Rounds without a new hit after which a flag is taken back.
    tolerance, max_permutations
        When sampled values are good enough, and when to stop trying.
    join_from
        Model of a late joiner: the "initial" one or the "lowest" member's.
    pay_for
        What declared noise does to a value: nothing, the "signal" a party had counts, or it
        lowers it, what was "delivered" counts.
    """

    preset: Literal["robust", "paper", "reference"]
    contribution: str
    value_weights: Literal["uniform", "aggregation"]
    aggregation: Literal["uniform-then-reputation", "records-then-reputation"]
    bounding: Bounding
    gamma: float | Literal["auto"] | None
    gamma_end: float
    norm_cap: float
    mixing: Literal["paper", "robust"]
    alpha: float
    floor: float
    beta: float
    beta_times_members: bool
    sharpness: float
    warmup: int
    mask: str
    audit_action: Literal["flag", "exclude"]
    clone_action: Literal["flag", "merge"] = "flag"
    clear_after: int = 10
    tolerance: float = 0.05
    max_permutations: int = 20_000
    join_from: Literal["initial", "lowest"] = "initial"
    pay_for: Literal["signal", "delivered"] = "signal"

    def facts(self) -> dict[str, Any]:
        """Return the settings for the record; an infinite number is written as "inf"."""
        facts = asdict(self)
        return {k: "inf" if v == float("inf") else v for k, v in facts.items()}


_PAPER = CgsvSettings(
    preset="paper",
    contribution="cosine",
    value_weights="aggregation",
    aggregation="records-then-reputation",
    bounding="rescale",
    gamma=_OTHER_TASK_GAMMA,
    gamma_end=1.0,
    norm_cap=float("inf"),
    mixing="paper",
    alpha=0.95,
    floor=1e-3,
    beta=1.0,
    beta_times_members=False,
    sharpness=1.0,
    warmup=0,
    mask="flat",
    audit_action="flag",
)

PRESETS = MappingProxyType(
    {
        "paper": _PAPER,
        "reference": replace(_PAPER, preset="reference", bounding="rescale-eps", mask="layer_repo"),
        "robust": CgsvSettings(
            preset="robust",
            contribution="auto",
            value_weights="uniform",
            aggregation="uniform-then-reputation",
            bounding="clip",
            gamma="auto",
            gamma_end=0.1,
            norm_cap=2.0,
            mixing="robust",
            alpha=0.95,
            floor=0.0,
            beta=0.25,
            beta_times_members=True,
            sharpness=2.0,
            warmup=3,
            mask="flat",
            audit_action="exclude",
        ),
    }
)
"""Settings by preset name, for a data set without an upload norm of its own."""

_SET_ALONE = (
    "contribution",
    "value_weights",
    "aggregation",
    "bounding",
    "gamma",
    "gamma_end",
    "norm_cap",
    "mixing",
    "alpha",
    "floor",
    "beta",
    "beta_times_members",
    "sharpness",
    "warmup",
    "mask",
)


def resolve(
    rewards: RewardsConfig, audit: AuditConfig, data_name: str | None = None
) -> CgsvSettings:
    """Return the preset of ``rewards`` with every key that the run file sets put on top.

    Parameters
    ----------
    rewards, audit
        The sections of the run file.
    data_name
        Name of the data set, which decides the upload norm of ``paper`` and ``reference``.

    Raises
    ------
    ConfigError
        If two keys contradict each other: a floor under the robust reputation (which has none),
        or an upload norm where nothing is bounded.
    """
    preset = PRESETS[rewards.preset]
    chosen = {k: v for k in _SET_ALONE if (v := getattr(rewards, k)) is not None}
    if chosen.get("bounding") == "none":
        _refuse_gamma(rewards)
        chosen["gamma"] = None
    elif "gamma" not in chosen and preset.gamma != "auto":
        chosen["gamma"] = TASK_GAMMA.get(data_name or "", _OTHER_TASK_GAMMA)
    settings = replace(
        preset,
        **chosen,
        audit_action=audit.action or preset.audit_action,
        clone_action=audit.clones,
        clear_after=audit.clear_after,
        tolerance=rewards.tolerance,
        max_permutations=rewards.max_permutations,
        join_from=rewards.join_from,
        pay_for=rewards.pay_for,
    )
    if settings.mixing == "robust" and "floor" not in chosen:
        settings = replace(settings, floor=0.0)
    if settings.mixing == "robust" and settings.floor:
        raise ConfigError(
            f"Expected no rewards.floor with mixing = 'robust', got floor = {settings.floor!r}. "
            "Leave it out, or set mixing = 'paper'."
        )
    return settings


def _refuse_gamma(rewards: RewardsConfig) -> None:
    if rewards.gamma is not None:
        raise ConfigError(
            f"Expected no rewards.gamma with bounding = 'none', got gamma = {rewards.gamma!r}. "
            "Leave it out, or set bounding = 'clip'."
        )
