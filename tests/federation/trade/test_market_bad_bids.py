"""Bids that go wrong in whole runs, and sellers in two runs at once: money and privacy conserved.

The clinic strays; bank and lab are honest.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from market_checks import private, strayed
from market_runs import NAMES, bodies, conserved, make_market, play, verified_ledger

from equigrad.federation.record.folder import RunFolder
from equigrad.federation.runner import run
from equigrad.federation.trade.setup import prepare
from equigrad.market import Curve
from equigrad.privacy.account import SalesAccount


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return play(tmp_path_factory.mktemp("honest") / "run", rounds=1)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("silent-reveal", "not opened (raised: DataError: Expected an opened bid of clinic"),
        ("other-reveal", "the opening does not match what was sealed"),
        ("oversize", "expected a size from 1 to 40, got 80"),
    ],
)
def test_a_bad_opening_is_dropped_and_the_others_clear_once(
    tmp_path: Path, behaviour: str, reason: str
) -> None:
    folder = strayed(tmp_path / "run", behaviour, {})
    conserved(folder)  # which clears every round again, from what was opened soundly
    for opened, cleared in zip(bodies(folder, "open"), bodies(folder, "clear"), strict=True):
        assert list(opened["dropped"]) == ["clinic"]
        assert opened["dropped"]["clinic"].startswith(reason)
        assert [paper["party"] for paper in opened["papers"]] == ["bank", "lab"]
        assert cleared["parties"] == ["bank", "lab"]
        assert all(cleared["payments"])
    assert private(folder)["clinic"] == 0.0


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.25, 2.0])
def test_a_misreport_gains_nothing(tmp_path: Path, honest: Path, factor: float) -> None:
    utility = {}
    bent = strayed(tmp_path / "bent", "misreport", {"factor": factor}, rounds=1)
    for name, place in (("honest", honest), ("bent", bent)):
        conserved(place)
        cleared = bodies(place, "clear")[0]
        at = cleared["parties"].index("clinic")
        level = cleared["epsilons"][at]
        true = 40 * int(np.ceil(1e6 * float(Curve("linear", 0.5)(level))))
        utility[name] = cleared["payments"][at] - true if level else 0
    assert utility["bent"] <= utility["honest"]
    assert utility["honest"] >= 0


def test_two_runs_that_draw_on_the_same_accounts_at_once_never_overdraw_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "accounts"
    shared.mkdir()
    monkeypatch.setattr(RunFolder, "account", lambda _, party: shared / f"{party}.sqlite")
    limit, start = 2.5, threading.Barrier(2)

    def go(which: int) -> Path:
        config = make_market(
            rounds=3,
            top=f'name = "run-{which}"\nevaluation.baselines = []',
            more=f"[market.account]\nlimit = {limit}",
        )
        start.wait()
        return run(config, tmp_path / f"run-{which}", report=False)

    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(go, range(2)))
    delivered: dict[str, list[str]] = {name: [] for name in NAMES}
    for folder in folders:
        conserved(folder)
        verified_ledger(folder)
        for body in bodies(folder, "collect"):
            for award in body["awards"]:
                if award["state"] == "verified":
                    delivered[award["party"]].append(award["digest"])
    for name in NAMES:
        with SalesAccount.open(shared / f"{name}.sqlite") as account:
            spent = [sale for sale in account.sales() if sale.state == "spent"]
            assert sorted(sale.digest or "" for sale in spent) == sorted(delivered[name])
            assert account.spent() == pytest.approx(sum(sale.epsilon for sale in spent))
            assert account.spent() <= limit
            assert len({sale.award for sale in spent}) == len(spent)
    assert all(delivered.values())


@pytest.mark.parametrize(
    ("local", "told"),
    [
        ('mechanism = "laplace"\nnoise = "secret"', True),
        ('mechanism = "laplace"\nsampler = "discrete"\nnoise = "secret"', False),
        ('mechanism = "l2-sphere"\nnoise = "secret"', False),
        ('mechanism = "laplace"', False),
    ],
)
def test_noise_that_leaks_through_its_last_bits_is_told(local: str, told: bool) -> None:
    notes = prepare(make_market(local=local)).notes
    assert any("last bits" in note for note in notes) is told
    assert any("rehearsal" in note for note in notes) is ("secret" not in local)
