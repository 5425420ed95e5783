"""Runs in which the clinic strays, and what must hold of everybody's privacy after them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from market_runs import NAMES, bodies, play

from equigrad.federation.record.verify import verify
from equigrad.privacy.account import SalesAccount


def strayed(folder: Path, behaviour: str, options: Mapping[str, Any], **changes: Any) -> Path:
    settings = {"behaviour": behaviour, "options": dict(options)}
    party = {"clinic": settings, **changes.pop("party", {})}
    return play(folder, party=party, **changes)


def accounts(folder: Path) -> dict[str, SalesAccount]:
    return {name: SalesAccount.open(folder / "accounts" / f"{name}.sqlite") for name in NAMES}


def private(folder: Path) -> dict[str, float]:
    """Assert that accounts, closings and record agree; return what each account has spent."""
    assert verify(folder).finished
    finish, spent = bodies(folder, "finish")[0], {}
    verified = {
        (award["party"], award["digest"])
        for body in bodies(folder, "collect")
        for award in body["awards"]
        if award["state"] == "verified"
    }
    for name, account in accounts(folder).items():
        with account:
            spent[name] = account.spent()
            assert spent[name] <= account.epsilon
            assert account.remaining() == pytest.approx(account.epsilon - spent[name])
            sold = {s.digest for s in account.sales() if s.state == "spent"}
            at = finish["parties"].index(name)
            assert finish["heads"][at] == account.head()[1]
            assert finish["epsilon"][at] == spent[name]
            assert finish["sales"][at] == len(sold)
        assert {digest for party, digest in verified if party == name} <= sold
    return spent
