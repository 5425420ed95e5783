"""The data behind a market record, if they are at hand: what the first line says of them.

Neighbour: ``uploads`` measures the models of all rounds on them.
"""

from equigrad.errors import EquigradError
from equigrad.federation.record.agreement import VerifyResult, fault
from equigrad.federation.record.canonical import plain
from equigrad.federation.record.chain import Line
from equigrad.federation.trade.config.schema import MarketConfig
from equigrad.federation.trade.setup import MarketSetup, prepare

__all__ = ["data_behind"]

_FACTS = ("parties", "sizes", "data", "model")


def data_behind(config: MarketConfig, start: Line, result: VerifyResult) -> MarketSetup | None:
    """Return the run as it is prepared again, or None if that cannot be done here.

    Raises
    ------
    VerificationError
        If the data are there and are not what the first line says.
    """
    try:
        setup = prepare(config)
    except EquigradError as error:
        result.unchecked.append(f"Sizes, models, scores and losses, which need the data: {error}")
        return None
    if setup.start["versions"] != start.body["versions"]:
        result.unchecked.append(
            "Models, scores and losses: this is another version of "
            f"{_other(setup.start['versions'], start.body['versions'])} than the run was made with."
        )
        return None
    for key in _FACTS:
        again = plain(setup.start[key])
        if start.body[key] != again:
            raise fault(
                start,
                f"expected {key} as the data give them, {_short(again)}, got "
                f"{_short(start.body[key])}; or the data were changed since",
            )
        result.count("facts of the data")
    if config.evaluation.baselines:
        result.unchecked.append(
            "The baselines: they would have to be rehearsed again. Run the same file for that."
        )
    return setup


def _other(ours: dict[str, str], theirs: dict[str, str]) -> str:
    names = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    return ", ".join(names)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
