"""The privacy statement: what is promised, to whom, and what is not.

Everything that shows an epsilon takes it from here, so that a test run with seeded noise carries
its mark wherever it appears. Neighbours: ``epsilon`` computes the figure, the trainer, the command
line and the report print the lines.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from equigrad.privacy.accounting.accountant import FINE, checked_delta
from equigrad.privacy.accounting.epsilon import epsilon
from equigrad.privacy.accounting.events import SEEDED_MARK, PrivacyEvent
from equigrad.privacy.accounting.relations import REPLACE_ONE, relation_of

__all__ = ["PrivacyStatement", "format_epsilon", "privacy_statement"]

_MODEL: Final = "the released model: every noisy gradient sum it was computed from"
_COUNTS: Final = (
    "noisy counts that steered a clipping bound, charged jointly with the gradient of their step"
)
_FOLLOWING: Final = (
    "whatever is computed from these releases alone (optimizer states, averages, clipping bounds)"
)
_RELEASED: Final = {
    "scores": "the released scores: a noisy one for each record's slot",
    "index set": "the released selection: the index set, not the records that it points at",
}
_NOT_COVERED: Final = (
    "metrics, curves and diagnostics computed from the records without noise",
    "choices made by looking at the records: hyperparameters, features, when to stop",
    "preprocessing fitted on the records without noise",
    "running time and memory use",
)
_FORMS: Final = {
    "fast": "floating-point noise; no floating-point mitigation",
    "rounded": "noise rounded to a public grid, from a cryptographic generator",
}


def format_epsilon(value: float, *, seeded: bool) -> str:
    """Return ``value`` for the reader, with the mark of seeded noise where it belongs."""
    text = f"{value:.4g}"
    return f"{text} ({SEEDED_MARK})" if seeded else text


@dataclass(frozen=True)
class PrivacyStatement:
    """What a set of releases promises about one record.

    Attributes
    ----------
    epsilon, delta
        The guarantee, if not ``seeded``.
    neighbouring
        The relation between data sets that the guarantee compares, see ``relation_of``. The
        releases themselves may be priced under others; their sentences say so.
    accountant
        ``"pld"`` or ``"rdp"``, with its discretisation in ``discretization`` (None for RDP).
    seeded
        True if some noise came from a seed: nothing is private and every line says so.
    releases
        One sentence for each event.
    noise_forms
        Forms of noise among the events.
    covered, not_covered
        What the guarantee speaks of and what it does not.
    """

    epsilon: float
    delta: float
    neighbouring: str
    accountant: str
    discretization: float | None
    seeded: bool
    releases: tuple[str, ...]
    noise_forms: tuple[str, ...]
    covered: tuple[str, ...]
    not_covered: tuple[str, ...]

    def claim(self) -> str:
        """Return the guarantee in one line."""
        shown = format_epsilon(self.epsilon, seeded=self.seeded)
        return f"epsilon = {shown} at delta = {self.delta:g}"

    def lines(self) -> list[str]:
        """Return the statement as lines of text, to be printed or written."""
        how = {"pld": "privacy loss distributions", "rdp": "Rényi differential privacy"}
        width = "" if self.discretization is None else f", discretisation {self.discretization:g}"
        lines = [
            f"Privacy: {self.claim()}",
            f"Neighbouring data sets: {self.neighbouring.replace('-', ' ')} record",
            f"Accountant: {how[self.accountant]}{width} (dp-accounting)",
        ]
        lines += [f"Release: {release}" for release in self.releases]
        lines += [f"Noise: {_FORMS.get(form, form)}" for form in self.noise_forms]
        if self.seeded:
            lines.append(f"Covered: nothing ({SEEDED_MARK})")
        else:
            lines += [f"Covered: {text}" for text in self.covered]
        lines += [f"Not covered: {text}" for text in self.not_covered]
        return lines

    def to_json(self) -> dict[str, Any]:
        """Return the statement as JSON can hold it, its mark included."""
        return {
            "epsilon": self.epsilon,
            "delta": self.delta,
            "claim": self.claim(),
            "private": not self.seeded,
            "mark": SEEDED_MARK if self.seeded else None,
            "neighbouring": self.neighbouring,
            "accountant": self.accountant,
            "discretization": self.discretization,
            "releases": list(self.releases),
            "noise_forms": list(self.noise_forms),
            "covered": [] if self.seeded else list(self.covered),
            "not_covered": list(self.not_covered),
        }


def privacy_statement(
    events: Iterable[PrivacyEvent],
    delta: float,
    *,
    accountant: str = "pld",
    discretization: float = FINE,
    orders: Sequence[float] | None = None,
    also_not_covered: Sequence[str] = (),
) -> PrivacyStatement:
    """Return what ``events`` together promise at ``delta``.

    Parameters
    ----------
    events, delta, accountant, discretization, orders
        As for ``epsilon``.
    also_not_covered
        Further things the reader has to know are not covered.

    Raises
    ------
    ConfigError, PrivacyError
        As ``epsilon`` does.
    """
    events = list(events)
    checked_delta(delta)
    cost = epsilon(
        events, delta, accountant=accountant, discretization=discretization, orders=orders
    )
    return PrivacyStatement(
        epsilon=cost,
        delta=delta,
        neighbouring=relation_of(events),
        accountant=accountant,
        discretization=discretization if accountant == "pld" else None,
        seeded=any(event.seeded for event in events),
        releases=tuple(_sentence(event) for event in events),
        noise_forms=tuple(sorted({event.noise_form for event in events})),
        covered=_covered(events),
        not_covered=(*_NOT_COVERED, *also_not_covered),
    )


def _covered(events: Sequence[PrivacyEvent]) -> tuple[str, ...]:
    """Return what the guarantee speaks of: models, counts, scores only where there were any."""
    named = dict.fromkeys(event.released for event in events)
    models = not named or "" in named or "model" in named
    told = [_RELEASED.get(name, f"the released {name}") for name in named]
    told = [text for name, text in zip(named, told, strict=True) if name not in ("", "model")]
    counted = any(event.counts for event in events)
    return (
        *((_MODEL,) if models else ()),
        *((_COUNTS,) if counted else ()),
        *told,
        _FOLLOWING,
    )


def _sentence(event: PrivacyEvent) -> str:
    """Return one event in words."""
    name = f"{event.label}: " if event.label else ""
    what = f"{event.released}, " if event.released else ""
    text = f"{name}{what}{event.steps} x {_mechanism(event)}"
    if event.sensitivity is not None:
        text += f", sensitivity {event.sensitivity:.6g}"
    if event.rule:
        text += f", rule {event.rule}"
    for sensitivity, noise in event.counts:
        text += f", counts of sensitivity {sensitivity:g} with noise {noise:g}"
    if event.counts:
        text += f", charged as multiplier {event.effective_noise_multiplier:.6g}"
    if event.max_logical_batch is not None:
        text += f", batches cut at {event.max_logical_batch}"
    if event.neighbouring == REPLACE_ONE:
        text += ", priced for one row replaced"
    if event.group_size > 1:
        text += f", priced for a group of {event.group_size} rows"
    return f"{text} ({SEEDED_MARK})" if event.seeded else text


def _mechanism(event: PrivacyEvent) -> str:
    """Return how an event was kept private."""
    if event.epsilon is not None:
        ranged = ", bounded range" if event.bounded_range else ""
        return f"pure mechanism of epsilon {event.epsilon:.6g}{ranged}"
    return (
        f"{event.mechanism} noise, multiplier {event.noise_multiplier:.6g}, sampling rate "
        f"{event.sampling_rate:.6g}"
    )
