"""``equigrad strategies``: every registered strategy, by family, with one line on each."""

import inspect
from importlib import import_module
from types import MappingProxyType
from typing import Annotated, Any

import typer

from equigrad.cli.output import emit_json, show_table
from equigrad.cli.run import JsonOption
from equigrad.errors import ConfigError

__all__ = ["FAMILIES", "strategies"]

FAMILIES = MappingProxyType(
    {
        "method": "equigrad.federation.methods:METHODS",
        "contribution": "equigrad.contribution:RULES",
        "mask": "equigrad.reward:REWARD_RULES",
        "bounding": "equigrad.reward:BOUNDS",
        "mixing": "equigrad.reward:MIXINGS",
        "partition": "equigrad.data:PARTITIONS",
        "model": "equigrad.models:MODELS",
        "clipping": "equigrad.privacy.clipping:CLIPPING_RULES",
        "scorer": "equigrad.valuation:SCORERS",
        "selector": "equigrad.valuation.select:SELECTORS",
        "behaviour": "equigrad.federation.party.behaviours:BEHAVIOURS",
        "learner": "equigrad.assistance:LEARNERS",
        "loss": "equigrad.assistance:LOSSES",
        "weights": "equigrad.assistance:WEIGHERS",
        "mechanism": "equigrad.assistance:MECHANISMS",
        "auction": "equigrad.market:AUCTIONS",
        "aggregator": "equigrad.market.aggregation:AGGREGATORS",
        "local": "equigrad.market.local:LOCAL_MECHANISMS",
        "seller": "equigrad.federation.trade.behaviours:SELLER_BEHAVIOURS",
    }
)
"""Where each family's registry is; the family is called as its key in a run file (the clipping
rules are `privacy.rule`; learner, loss, weights and mechanism are a vertical run's; auction,
aggregator and local are `market.mechanism`, `market.aggregator` and `market.local.mechanism`,
seller a `behaviour` in a market run)."""


def strategies(
    family: Annotated[
        str | None,
        typer.Argument(help="Only this family.", autocompletion=lambda: list(FAMILIES)),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List what a run file can name: methods, rules, masks, partitions, models, behaviours ...

    Example: [bold]equigrad strategies partition[/]
    """
    if family is not None and family not in FAMILIES:
        raise ConfigError(
            f"Expected a family among {', '.join(FAMILIES)}; got {family!r}. See --help."
        )
    wanted = FAMILIES if family is None else {family: FAMILIES[family]}
    lists = {name: _lines(place) for name, place in wanted.items()}
    if as_json:
        emit_json(lists)
        return
    rows = [(name, word, line) for name, lines in lists.items() for word, line in lines.items()]
    show_table(("family", "name", "what it is"), rows, left=2)


def _lines(place: str) -> dict[str, str]:
    module, _, attribute = place.partition(":")
    registry = getattr(import_module(module), attribute)
    return {
        name: _first_line(registry[name]) + _only_as_method(registry[name]) for name in registry
    }


def _only_as_method(entry: Any) -> str:
    """Return a remark on a contribution rule that a run file can name as a method only."""
    name = getattr(entry, "name", "")
    return f' (as method = "{name}" only)' if getattr(entry, "needs", "gram") != "gram" else ""


def _first_line(entry: Any) -> str:
    return (inspect.getdoc(entry) or "").split("\n", 1)[0].replace("``", "")
