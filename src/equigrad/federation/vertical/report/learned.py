"""Who learned what in a vertical run, in sentences with the run's own numbers.

What each message tells its receiver: section 4.4 of the specification, and what the record says
was sent. Neighbour: ``html`` shows it.
"""

from dataclasses import dataclass

from equigrad.federation.vertical.report.rows import PartyRow
from equigrad.federation.vertical.report.story import Story

__all__ = ["Learned", "learned"]


@dataclass(frozen=True)
class Learned:
    """What one party learned: sentences, and what it never saw."""

    party: str
    facts: tuple[str, ...]
    never: str


def learned(story: Story, rows: list[PartyRow]) -> list[Learned]:
    """Return what each party learned, the sponsor first."""
    return [
        _sponsor(story, row, rows) if row.role == "sponsor" else _assistor(story, row)
        for row in rows
    ]


def _sponsor(story: Story, row: PartyRow, rows: list[PartyRow]) -> Learned:
    others = [other for other in rows if other is not row]
    held = ", ".join(f"{other.party} {other.rows}" for other in others) or "nobody"
    facts = [
        f"Which of its {story.align['n_rows']} rows each party holds ({held}).",
        "What each party makes of the residual on each of those rows: the residual as far as the "
        "party\u2019s columns tell it.",
    ]
    return Learned(row.party, tuple(facts), "Columns, models and losses of the others.")


def _assistor(story: Story, row: PartyRow) -> Learned:
    n_rows, rounds = story.align["n_rows"], row.asked
    if story.align["method"] == "psi":
        rows = f"Which of its own rows are among the sponsor\u2019s: {row.rows}."
    else:
        rows = (
            f"That the sponsor has {n_rows} rows, their keyed digests, and which {row.rows} of "
            "them it holds itself. With the key it can test guessed identifiers."
        )
    outputs = story.start["n_outputs"]
    kind = f"{outputs} classes" if story.start["classes"] else f"{outputs} values a row"
    facts = [rows, f"That the labels are {kind}.", _residuals(story, rounds)]
    return Learned(
        row.party,
        tuple(facts),
        "The sponsor\u2019s columns; columns, models, fits and weights of anybody else; names of "
        "classes.",
    )


def _residuals(story: Story, rounds: int) -> str:
    if rounds == 0:
        return "No residual: it was never asked."
    said = f"Residuals of {rounds} {'round' if rounds == 1 else 'rounds'} on the rows it was sent"
    privacy = story.start["privacy"]
    if not story.private:
        return f"{said}. They are the labels: whoever is sent them can read each row\u2019s."
    name = privacy["mechanism"]
    if privacy.get("mark"):
        return (
            f"{said}, made with seeded noise ({name}): as good as the labels ({privacy['mark']})."
        )
    account = (story.finish or {}).get("privacy") or {}
    epsilon = account.get("pure_epsilon", privacy.get("epsilon"))
    if epsilon is None:
        return (
            f"{said}, made noisy ({name}) without any finite epsilon: an interval around each "
            "residual."
        )
    return f"{said}, made private ({name}): epsilon {epsilon:.3g} for each row\u2019s label in all."
