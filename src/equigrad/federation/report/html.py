"""``report.html``: one page that tells a run's story, opens without a network and prints well.

The page holds its style and its plots; it asks for nothing and runs no script (its own content
policy forbids both). Every string that a user supplied is escaped. The words are in the template,
the numbers in :mod:`~equigrad.federation.report.rows` and its neighbours; here they meet.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from equigrad.contribution import RULES
from equigrad.federation.config.schema import PartyConfig
from equigrad.federation.report.choices import selection_rows
from equigrad.federation.report.flags import flag_spans
from equigrad.federation.report.inline import inline_svg
from equigrad.federation.report.plots.canvas import Plot
from equigrad.federation.report.rows import PartyRow, party_rows
from equigrad.federation.report.story import Run
from equigrad.federation.report.summary import summarise_run
from equigrad.reward import REWARD_RULES

__all__ = ["report_html"]


def report_html(
    run: Run, plots: Sequence[Plot], config: Mapping[str, Any], *, config_sealed: bool = True
) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    run
        The record as read.
    plots
        What to show, in this order.
    config
        The frozen configuration, shown as it is.
    config_sealed
        Whether it is the one whose digest the record holds; if not, the page says so.
    """
    rows = party_rows(run)
    page = _environment(run).get_template("report.html.j2")
    return page.render(
        run=run,
        name=config.get("name", "run"),
        rows=rows,
        summary=summarise_run(run, rows),
        spans=flag_spans(run),
        plots=[(plot, inline_svg(plot)) for plot in plots],
        values=_values(run),
        releases=_releases(run, rows),
        selection=selection_rows(run),
        mask=_described(REWARD_RULES, run.mask),
        simulated=[row for row in rows if row.behaviour != "honest"],
        troubled=[row for row in rows if row.absent or row.refused or row.excluded],
        refusals=[(r.index, p, *why) for r in run.rounds for p, why in r.refused.items()],
        void=[r.index for r in run.rounds if r.void],
        moves=[
            (r.index, party, verb)
            for r in run.rounds
            for verb, who in (("joined", r.joined), ("left", r.left))
            for party in who
        ],
        settings=_flat(run.settings),
        config=_flat({**config, "party": _particulars(config.get("party", []))}),
        config_sealed=config_sealed,
    )


def _environment(run: Run) -> Environment:
    environment = Environment(
        loader=PackageLoader("equigrad.federation.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["score"] = _r2 if run.regression else _percent
    environment.filters["percent"] = _percent
    environment.filters["points"] = _points
    environment.filters["number"] = _number
    return environment


def _releases(run: Run, rows: Sequence[PartyRow]) -> list[dict[str, Any]]:
    """Return what each party released, one line each; empty without private training."""
    if not run.privacy:
        return []
    plans = run.privacy["parties"]
    return [
        {
            "party": row.party,
            "records": row.records,
            "rate": plans[row.party]["event"]["sampling_rate"],
            "noise": plans[row.party]["event"]["noise_multiplier"],
            "steps": run.steps.get(row.party, 0),
            "epsilon": row.epsilon,
            "budget": row.budget,
            "refused": sum(r.absent.get(row.party) == "budget" for r in run.rounds),
        }
        for row in rows
    ]


def _values(run: Run) -> dict[str, Any]:
    """Return how the contributions came about."""
    last = run.valued
    rule = last.rule if last else None
    mean = sum(last.values.values()) / len(last.values) if last else 0.0
    widest = max(last.half_width.values(), default=None) if last else None
    audited = last.not_testable if last else {}
    return {
        "rule": _described(RULES, rule),
        "round": last.index if last else None,
        "parties": len(last.values) if last else 0,
        "permutations": last.permutations if last else None,
        "widest": widest,
        "relative": widest / abs(mean) if widest is not None and mean else None,
        "unconverged": [r.index for r in run.rounds if r.converged is False],
        "weak": [r.index for r in run.rounds if (r.trust or {}).get("level") == "weak"],
        "untrusted": [
            r.index for r in run.rounds if (r.trust or {}).get("level") == "not trustworthy"
        ],
        "frozen": [r.index for r in run.rounds if r.kappa is not None and r.kappa <= 0],
        "not_testable": {audit: names for audit, names in audited.items() if names},
    }


def _described(registry: Any, name: str | None) -> tuple[str, str] | None:
    """Return a strategy's name and the first sentence of its own description."""
    if name is None:
        return None
    text = (registry[name].__doc__ or "") if name in registry else ""
    return name, text.strip().split("\n\n")[0].replace("``", "").replace("\n", " ")


def _flat(settings: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Return nested settings as ``(dotted key, value)``, in their order, without unset ones."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{above}{key}.")
        elif value is not None and value != []:
            rows.append((f"{above}{key}", _written(value)))
    return rows


def _particulars(parties: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what the run file says of each party beyond the defaults, in one line each."""
    usual = PartyConfig(name="x").model_dump() | {"name": None}
    lines = {}
    for party in parties:
        own = {k: v for k, v in party.items() if k != "name" and v != usual.get(k)}
        lines[str(party.get("name"))] = "; ".join(f"{k} = {_written(v)}" for k, v in own.items())
    return {name: line or "nothing particular" for name, line in lines.items()}


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_written, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _percent(value: float | None) -> str:
    return "\u2013" if value is None else f"{100 * value:.1f}\u202f%"


def _r2(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.3f}".replace("-", "\u2212")


def _points(value: float | None) -> str:
    return "\u2013" if value is None else f"{round(value, 1) + 0.0:+.1f}".replace("-", "\u2212")


def _number(value: float | None, digits: int = 3) -> str:
    return "\u2013" if value is None else f"{value:.{digits}f}".replace("-", "\u2212")
