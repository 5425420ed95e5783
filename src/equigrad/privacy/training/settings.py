"""The public constants of a private run: rate, batch size, steps, noise, and their checks.

All of them are fixed before the first row is drawn and none depends on what the rows hold.
Neighbour: :mod:`.trainer`, which runs by them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

from equigrad._validate import choice, in_range, positive, positive_int
from equigrad.errors import ConfigError
from equigrad.privacy.accounting import ADD_OR_REMOVE_ONE, PrivacyEvent, calibrate_noise
from equigrad.privacy.accounting.relations import RELATIONS
from equigrad.privacy.accounting.renyi import refuse_for_renyi
from equigrad.privacy.clipping import CLIPPING_RULES, ClippingRule
from equigrad.privacy.training.amounts import counts_of, one_of, rate_and_size, steps_of

if TYPE_CHECKING:
    from equigrad.privacy.training.stopping import EarlyStopping

__all__ = ["Settings", "calibrated", "declared", "made_rule"]

# Saved only where they say something, so that what older runs saved is still what is saved.
_LATER: Final = ("neighbouring", "stability", "spent")


@dataclass(frozen=True)
class Settings:
    """The public constants of one run.

    ``sampling_rate`` is q, ``public_batch_size`` L (the divisor of every sum), ``steps`` T (the
    planned number), ``noise_multiplier`` sigma (noise on the gradient sum over its sensitivity),
    ``counts`` the pairs (sensitivity, noise) of the counts of a step. ``target_epsilon`` is
    ``None`` where the noise was given; only a target makes T a limit. ``neighbouring``,
    ``stability`` (the event's group) and ``spent`` are as for the trainer.
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
    neighbouring: str = ADD_OR_REMOVE_ONE
    stability: int = 1
    spent: tuple[PrivacyEvent, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them."""
        content = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name not in _LATER or getattr(self, f.name) != f.default
        }
        if self.spent:
            content["spent"] = [event.to_json() for event in self.spent]
        return content | {"counts": [list(pair) for pair in self.counts]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Settings":
        """Return the settings that :meth:`to_json` wrote."""
        counts = tuple(tuple(pair) for pair in content["counts"])
        spent = tuple(PrivacyEvent.from_json(event) for event in content.get("spent", ()))
        return cls(**{**content, "counts": counts, "spent": spent})

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
            neighbouring=self.neighbouring,
            group_size=self.stability,
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
    neighbouring: str = ADD_OR_REMOVE_ONE,
    stability: int = 1,
    spent: Sequence[PrivacyEvent] = (),
) -> Settings:
    """Check and complete the settings, all but the noise for a target, and bind ``rule`` to them.

    Raises
    ------
    ConfigError
        If a number is impossible, or two settings say the same thing, or none says it.
    PrivacyError
        If the accountant cannot price the relation or the stability.
    """
    in_range("delta", delta, 0, 1, left_open=True, right_open=True)
    choice("accountant", accountant, ("pld", "rdp"))
    _check_relation(neighbouring, stability, accountant)
    rate, size = rate_and_size(n_rows, sampling_rate, public_batch_size)
    total = steps_of(rate, steps, epochs)
    one_of("noise_multiplier", noise_multiplier, "target_epsilon", target_epsilon)
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
    elif spent:
        raise ConfigError(
            f"Expected spent with target_epsilon only, got noise_multiplier={noise_multiplier!r}. "
            "The noise was given, so nothing is worked out from what was spent: leave it out."
        )
    elif noise_multiplier or not noiseless:
        sigma = float(positive("noise_multiplier", noise_multiplier or 0.0))
    return Settings(
        n_rows=n_rows,
        sampling_rate=rate,
        public_batch_size=size,
        steps=total,
        delta=float(delta),
        noise_multiplier=sigma,
        counts=counts_of(rule),
        target_epsilon=target_epsilon,
        accountant=accountant,
        max_physical=physical,
        max_logical_batch=max_logical_batch,
        noise_coordinates=noise_coordinates and noise_coordinates + rule.n_counts,
        neighbouring=neighbouring,
        stability=stability,
        spent=tuple(spent),
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
    planned = None if looks is None else looks.planned(settings.steps, seeded=False)
    cut = settings.max_logical_batch
    found = calibrate_noise(
        settings.target_epsilon,
        settings.delta,
        settings.sampling_rate,
        settings.steps,
        counts=settings.counts,
        accountant=settings.accountant,
        spent=[*settings.spent, *([] if planned is None else [planned])],
        max_logical_batch=cut,
        dataset_size=None if cut is None else settings.n_rows,
        noise_coordinates=settings.noise_coordinates,
        neighbouring=settings.neighbouring,
        group_size=settings.stability,
    )
    return replace(settings, noise_multiplier=found.sigma)


def _check_relation(neighbouring: str, stability: int, accountant: str) -> None:
    """Raise unless rows that differ so can be priced."""
    choice("neighbouring", neighbouring, RELATIONS)
    positive_int("stability", stability)
    if accountant == "rdp":
        refuse_for_renyi(
            PrivacyEvent(noise_multiplier=1.0, neighbouring=neighbouring, group_size=stability)
        )
