"""Run files of markets that cannot work: refused at once, with line, field, expected and got."""

from pathlib import Path
from typing import Any

import pytest
from market_runs import make_market, market_text

from equigrad.errors import ConfigError, EquigradError
from equigrad.federation.config.loader import parse_config
from equigrad.federation.trade.setup import prepare

MARKET = 'budget = "200.00"'


def market(line: str, budget: str = MARKET) -> dict[str, Any]:
    return {"market": f"{budget}\n{line}"}


def clinic(**keys: Any) -> dict[str, Any]:
    return {"party": {"clinic": keys}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"market": 'budget = "0"'}, 'Expected market.budget > 0, got "0"|> 0'),
        ({"market": 'budget = "-5"'}, "market.budget"),
        ({"market": "budget = 5"}, "market.budget"),
        ({"market": 'budget = "1.0000001"'}, "no more decimals than scale=1000000 holds"),
        ({"market": 'budget = "9e30"'}, "market.budget"),
        ({"market": 'budget = "9000000000000000"'}, "at most 2^62 ledger units"),
        (market("scale = 300"), "Expected market.scale a power of ten"),
        (market('funds = "0.0000001"'), "market.funds"),
        (market('mechanism = "clok"'), "Did you mean 'clock'"),
        (market('mechanism = "fair-query"'), "an auction of market runs"),
        (market('aggregator = "optaggr"'), "Did you mean 'opt-aggr'"),
        (market('mechanism = "learned-clock"'), "Expected market.schedule"),
        (market('schedule = "s.safetensors"'), 'with mechanism "learned-clock" only'),
        (market('form = "truthful"'), 'with mechanism "all-in" only'),
        (market('mechanism = "all-in"\nsize_exponent = 0.5'), "market.size_exponent"),
        (market("quorum = 3\ninvite = 2"), "no round could ever sell"),
        (market("quorum = 4"), "Expected market.quorum <= 3"),
        (market("eps_max = 200"), "market.eps_max <= 100"),
        (market("stepz = 16"), "Did you mean `steps`"),
        (market('currency = "euro"'), "market.currency"),
        (market("fee_bps = 10001"), "market.fee_bps"),
        (market("deliver_seconds = 0"), "market.deliver_seconds"),
        (market('ledger = "postgresql+psycopg://me:secret@host/db"'), "without a password"),
        ({"local": 'mechanism = "gaussian"'}, "Expected market.local.delta"),
        ({"local": 'mechanism = "l2-sphere"\ndelta = 1e-6'}, "Expected market.local.delta with"),
        ({"local": 'mechanism = "l2-sphere"\nsampler = "discrete"'}, '"laplace" only'),
        ({"local": 'mechanism = "gaussian"\ndelta = 1e-3'}, "market.account.delta >= 0.001"),
        ({"local": 'mechanism = "l3-sphere"'}, "market.local.mechanism"),
        ({"local": ""}, "market.local.mechanism"),
        ({"more": "[market.account]\nlimit = 0"}, "market.account.limit"),
        (clinic(kind="cubic"), "party.clinic.kind|kind"),
        (clinic(factor=0.0), "factor"),
        (clinic(factor=-1.0), "factor"),
        (clinic(factor=float("nan")), "factor"),
        (clinic(eps_cap=0.0), "eps_cap"),
        (clinic(eps_cap=-0.5), "eps_cap"),
        (clinic(eps_cap=None), "Expected party.clinic to say eps_cap"),
        (clinic(kind=None), "Expected party.clinic to say kind"),
        (clinic(size=0), "size"),
        (clinic(size=1.5), "size"),
        (clinic(kind="table", factor=None), "curve = [[epsilon, cost], ...]"),
        (clinic(curve=[[0.5, 1.0]]), 'kind = "table"'),
        (clinic(kind="table", factor=None, curve=[[0.5, 2.0], [1.0, 1.0]]), "nondecreasing"),
        (clinic(kind="table", factor=None, curve=[[0.0, 1.0], [1.0, 2.0]]), "v(0) = 0"),
        (clinic(kind="table", factor=None, curve=[[0.5, -1.0]]), "finite and >= 0"),
        (clinic(behaviour="silent"), "Did you mean 'silent-reveal'"),
        (clinic(behaviour="late", options={"sekonds": 2}), "Did you mean 'seconds'"),
        (clinic(join=5), "Expected join below rounds = 2"),
        ({**market("size_exponent = 0.5"), **clinic(size=10)}, "Expected no size of party.clinic"),
        ({"top": 'buyer = "lab"'}, "somebody else"),
        ({"top": 'kind = "horizontal"'}, "market"),
    ],
)
def test_what_cannot_work_is_refused_with_its_line(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(market_text(**changes), "market.toml")
    text = str(refused.value)
    assert any(part in text for part in told.split("|")), text
    assert "market.toml, line " in text


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(
            market_text(
                market='budget = "1.0000001"\nmechanism = "clok"',
                party={"bank": {"behaviour": "rude"}},
            )
        )
    lines = str(refused.value).splitlines()
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (clinic(size=41), "Expected party.clinic.size of at most 40"),
        (market("max_upload_mb = 0.001"), "Expected market.max_upload_mb >= 0.00484"),
        ({"market": 'budget = "0.000001"\nscale = 1000000'}, "budget"),
        (market('mechanism = "learned-clock"\nschedule = "none.safetensors"'), "No such file"),
    ],
)
def test_what_only_the_data_tell_is_refused_before_there_is_a_folder(
    changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(EquigradError) as refused:
        prepare(make_market(**changes))
    assert told in str(refused.value)


def test_a_schedule_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "schedule.safetensors"
    path.write_bytes(b"not a schedule")
    with pytest.raises(EquigradError, match="schedule"):
        prepare(make_market(**market(f'mechanism = "learned-clock"\nschedule = "{path}"')))
