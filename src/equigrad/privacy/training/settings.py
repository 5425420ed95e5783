"""The public constants of a private run: rate, batch size, steps, noise, and their checks.

All of them are fixed before the first row is drawn and none depends on what the rows hold.
Neighbour: :mod:`.trainer`, which runs by them.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from equigrad._validate import choice, in_range, positive, positive_int
from equigrad.errors import ConfigError
from equigrad.privacy.accounting import PrivacyEvent, calibrate_noise
from equigrad.privacy.clipping import CLIPPING_RULES, ClippingRule

if TYPE_CHECKING:
    from equigrad.privacy.training.stopping import EarlyStopping

__all__ = ["Settings", "calibrated", "declared", "made_rule"]


@dataclass(frozen=True)
class Settings:
    """The public constants of one run.

    ``sampling_rate`` is q, ``public_batch_size`` L (the divisor of every sum), ``steps`` T (the
    planned number), ``noise_multiplier`` sigma (noise on the gradient sum over its sensitivity),
    ``counts`` the pairs (sensitivity, noise) of the counts of a step. ``target_epsilon`` is
    ``None`` where the noise was given; only a target makes T a limit.
    """

    n_rows: int
    sampling_rate: float
    public_batch_size: float
    steps: int
    delta: float
    noise_multiplier: float
    counts: tuple[tuple[float, float], ...]
    target_epsilon: float | None
    accountant: str
    max_physical: int
    max_logical_batch: int | None
    noise_coordinates: int

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them."""
        return asdict(self) | {"counts": [list(pair) for pair in self.counts]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Settings":
        """Return the settings that :meth:`to_json` wrote."""
        return cls(**{**content, "counts": tuple(tuple(pair) for pair in content["counts"])})

    def event(
        self,
        rule: ClippingRule,
        *,
        noise_form: str,
        seeded: bool,
        label: str,
    ) -> PrivacyEvent:
        """Return the event of one step."""
        return PrivacyEvent(
            noise_multiplier=self.noise_multiplier,
            sampling_rate=self.sampling_rate,
            steps=1,
            counts=self.counts,
            max_logical_batch=self.max_logical_batch,
            dataset_size=None if self.max_logical_batch is None else self.n_rows,
            noise_coordinates=self.noise_coordinates,
            rule=rule.name,
            public_batch_size=self.public_batch_size,
            noise_form=noise_form,
            settings=rule.describe(),
            label=label,
            seeded=seeded,
        )


def made_rule(rule: ClippingRule | str, options: Mapping[str, Any] | None) -> ClippingRule:
    """Return the clipping rule: an instance as it is, or a registered name with its options."""
    if isinstance(rule, ClippingRule):
        if options:
            raise ConfigError(
                "Expected rule_options only with a rule's name, got them with an instance. "
                "Give the options to the rule's constructor."
            )
        return rule
    maker = CLIPPING_RULES[rule]
    try:
        return maker(**dict(options or {}))
    except TypeError as error:
        raise ConfigError(
            f"Expected the options of the clipping rule {rule!r}, got "
            f"{sorted(options or {})} ({error})."
        ) from error


def declared(
    *,
    n_rows: int,
    rule: ClippingRule,
    n_groups: int,
    delta: float,
    sampling_rate: float | None,
    public_batch_size: float | None,
    steps: int | None,
    epochs: float | None,
    noise_multiplier: float | None,
    target_epsilon: float | None,
    accountant: str,
    max_physical: int | None,
    max_logical_batch: int | None,
    noise_coordinates: int = 0,
    noiseless: bool = False,
) -> Settings:
    """Check and complete the settings, all but the noise for a target, and bind ``rule`` to them.

    Raises
    ------
    ConfigError
        If a number is impossible, or two settings say the same thing, or none says it.
    """
    in_range("delta", delta, 0, 1, left_open=True, right_open=True)
    choice("accountant", accountant, ("pld", "rdp"))
    rate, size = _rate(n_rows, sampling_rate, public_batch_size)
    total = _steps(rate, steps, epochs)
    _one_of("noise_multiplier", noise_multiplier, "target_epsilon", target_epsilon)
    if max_logical_batch is not None:
        positive_int("max_logical_batch", max_logical_batch)
    physical = 1024 if max_physical is None else positive_int("max_physical", max_physical)
    rule.bind(size, n_groups or None)
    if not rule.private:
        raise ConfigError(
            f"Expected a clipping rule that is private, got {rule.describe()}. This setting is "
            "there to compare numbers; choose the rule's default."
        )
    sigma = 0.0  # until it is calibrated
    if target_epsilon is not None:
        positive("target_epsilon", target_epsilon)
    elif noise_multiplier or not noiseless:
        sigma = float(positive("noise_multiplier", noise_multiplier or 0.0))
    return Settings(
        n_rows=n_rows,
        sampling_rate=rate,
        public_batch_size=size,
        steps=total,
        delta=float(delta),
        noise_multiplier=sigma,
        counts=_counts(rule),
        target_epsilon=target_epsilon,
        accountant=accountant,
        max_physical=physical,
        max_logical_batch=max_logical_batch,
        noise_coordinates=noise_coordinates and noise_coordinates + rule.n_counts,
    )


def calibrated(settings: Settings, looks: "EarlyStopping | None") -> Settings:
    """Return the settings with the noise with which all steps and looks keep to the target.

    This takes seconds, so it comes after all that could be refused.

    Raises
    ------
    ConfigError
        If no noise does.
    """
    if settings.target_epsilon is None:
        return settings
    spent = None if looks is None else looks.planned(settings.steps, seeded=False)
    cut = settings.max_logical_batch
    found = calibrate_noise(
        settings.target_epsilon,
        settings.delta,
        settings.sampling_rate,
        settings.steps,
        counts=settings.counts,
        accountant=settings.accountant,
        spent=[] if spent is None else [spent],
        max_logical_batch=cut,
        dataset_size=None if cut is None else settings.n_rows,
        noise_coordinates=settings.noise_coordinates,
    )
    return replace(settings, noise_multiplier=found.sigma)


def _rate(n_rows: int, rate: float | None, size: float | None) -> tuple[float, float]:
    """Return q and L; the one that is missing follows from the other and N."""
    if rate is None and size is None:
        raise ConfigError(
            "Expected public_batch_size (the expected number of rows in a batch) or "
            "sampling_rate, got neither."
        )
    if size is not None:
        positive("public_batch_size", size)
    if rate is None and size is not None and size > n_rows:
        raise ConfigError(
            f"Expected public_batch_size of at most the number of rows, {n_rows}, got {size:g}. "
            "Take a smaller batch."
        )
    q = float(size or 0.0) / n_rows if rate is None else float(rate)
    in_range("sampling_rate", q, 0, 1, left_open=True)
    return q, q * n_rows if size is None else float(size)


def _steps(rate: float, steps: int | None, epochs: float | None) -> int:
    """Return T."""
    _one_of("steps", steps, "epochs", epochs)
    if steps is not None:
        return positive_int("steps", steps)
    return max(1, round(positive("epochs", epochs or 0.0) / rate))


def _counts(rule: ClippingRule) -> tuple[tuple[float, float], ...]:
    """Return the counts of a step, for the joint event."""
    if rule.n_counts == 0:
        return ()
    noise = rule.count_noise
    if noise is None or not noise > 0 or not math.isfinite(noise):
        raise ConfigError(
            f"Expected noise > 0 on the counts of the clipping rule {rule.name!r}, got {noise!r}. "
            "Set its count_noise."
        )
    return ((float(rule.count_sensitivity), float(noise)),)


def _one_of(one: str, first: object, other: str, second: object) -> None:
    """Raise unless exactly one of two settings is given."""
    if (first is None) == (second is None):
        got = "neither" if first is None else "both"
        raise ConfigError(f"Expected exactly one of {one} and {other}, got {got}.")
