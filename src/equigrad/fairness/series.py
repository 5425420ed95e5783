"""Diagnostics over a training run as plain series: to be stored, read back and plotted.

Filled by ``diagnostics``; drawing them is the business of the application.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from equigrad.errors import DataError
from equigrad.fairness.groups import NOT_COVERED

__all__ = ["DiagnosticSeries"]

Numbers = Mapping[str, float | None]


@dataclass
class DiagnosticSeries:
    """Named series over the steps of a run; ``None`` marks a gap ("no rows", undefined).

    Attributes
    ----------
    groups
        The K group names.
    steps
        The observed steps, increasing; the state *before* the step's update.
    overall
        One series per name, each as long as ``steps``: ``"rho"``, ``"cos_g_gb"``, ``"norm"``,
        ``"norm_clipped"``, and what a rule's public state holds (``"threshold"`` ...).
    by_group
        ``by_group[name][k]`` is the series of group k: ``"loss"``, ``"accuracy"``, ``"R_step"``,
        ``"R_clip"``, ``"R_mag"``, ``"R_dir"``, ``"R_noise"``, ``"R_noise_error"``, ``"trace"``,
        ``"cos_gk_g"``, ``"cos_gk_gb"``, ``"cos_gk_gBk"``, ``"cos_gk_gbBk"``, ``"norm"``, ...
    note
        To be shown with every table and plot of these series.
    notices
        Sentences about what was left out and why.
    """

    groups: tuple[str, ...]
    steps: list[int] = field(default_factory=list)
    overall: dict[str, list[float | None]] = field(default_factory=dict)
    by_group: dict[str, list[list[float | None]]] = field(default_factory=dict)
    note: str = NOT_COVERED
    notices: list[str] = field(default_factory=list)

    def append(
        self, step: int, overall: Numbers, by_group: Mapping[str, Sequence[float | None]]
    ) -> None:
        """Add one observation; a series absent now or before has ``None`` there."""
        if self.steps and step <= self.steps[-1]:
            raise DataError(f"Expected a step after {self.steps[-1]}, got {step}.")
        for name in overall:
            self.overall.setdefault(name, [None] * len(self.steps))
        for name in by_group:
            self.by_group.setdefault(name, [[None] * len(self.steps) for _ in self.groups])
        for name, series in self.overall.items():
            series.append(_finite(overall.get(name)))
        for name, lines in self.by_group.items():
            values = by_group.get(name, [None] * len(self.groups))
            for line, value in zip(lines, values, strict=True):
                line.append(_finite(value))
        self.steps.append(step)

    def notice(self, sentence: str) -> None:
        """Add a notice once."""
        if sentence not in self.notices:
            self.notices.append(sentence)

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists, fit for ``json.dumps(..., allow_nan=False)``."""
        return {
            "groups": list(self.groups),
            "steps": self.steps,
            "overall": self.overall,
            "by_group": self.by_group,
            "note": self.note,
            "notices": self.notices,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any] | str) -> "DiagnosticSeries":
        """Return the series that :meth:`to_json` wrote, from its dictionary or its text.

        Raises
        ------
        DataError
            If a part is missing or a series is not as long as the steps.
        """
        try:
            data = json.loads(content) if isinstance(content, str) else content
            series = cls(
                tuple(data["groups"]),
                list(data["steps"]),
                {name: list(line) for name, line in data["overall"].items()},
                {name: [list(x) for x in lines] for name, lines in data["by_group"].items()},
                data["note"],
                list(data["notices"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DataError(
                f"Expected stored diagnostics, got {error!r} missing or odd."
            ) from error
        lines = [*series.overall.values(), *(x for k in series.by_group.values() for x in k)]
        counts = {len(lines) for lines in series.by_group.values()} - {len(series.groups)}
        if counts or {len(line) for line in lines} - {len(series.steps)}:
            raise DataError(
                "Expected one line per group, each as long as the steps, in stored diagnostics."
            )
        return series


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
