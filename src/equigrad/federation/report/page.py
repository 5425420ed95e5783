"""What all pages share: the house's style, numbers in words, settings as rows.

Neighbours: the reports of vertical runs, trainings and scorings render their templates with it.
"""

from collections.abc import Mapping
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

__all__ = ["flat_settings", "page_environment"]


def page_environment(package: str) -> Environment:
    """Return what renders the templates of a package in the house's style, numbers included."""
    environment = Environment(
        loader=ChoiceLoader(
            [
                PackageLoader(package, "templates"),
                PackageLoader("equigrad.federation.report", "templates"),  # the house's style
            ]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = _percent
    environment.filters["points"] = _points
    environment.filters["gap"] = _gap
    environment.filters["number"] = _number
    return environment


def flat_settings(settings: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Return nested settings as ``(dotted key, value)``, in their order, without unset ones."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            rows += flat_settings(value, f"{above}{key}.")
        elif value is not None and value != []:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            rows.append((f"{above}{key}", text.lower() if isinstance(value, bool) else text))
    return rows


def _percent(value: float | None) -> str:
    return "no rows" if value is None else f"{100 * value:.1f}\u202f%"


def _points(value: float | None) -> str:
    text = "\u2013" if value is None else f"{round(100 * value, 1) + 0.0:+.1f}"
    return text.replace("-", "\u2212")


def _gap(value: float | None) -> str:
    return "\u2013" if value is None else f"{100 * value:.1f}"


def _number(value: float | str | None, digits: int = 3) -> str:
    if value is None:
        return "\u2013"
    return value if isinstance(value, str) else f"{value:.{digits}f}".replace("-", "\u2212")
