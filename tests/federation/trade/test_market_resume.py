"""A market run that is killed anywhere ends the same: record, money, privacy and model."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from market_runs import bodies, conserved, make_market, record_of
from sqlalchemy.engine.default import DefaultDialect

from equigrad.errors import RecordError
from equigrad.federation.ledger import SqlStore
from equigrad.federation.runner import resume, run
from equigrad.federation.trade.folder import SellerFolder
from equigrad.privacy.account import SalesAccount

EVERY = int(os.environ.get("EQUIGRAD_KILL_EVERY", "37"))
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"market": 'budget = "200.00"\nfee_bps = 100\nappraise = "cgsv"'},
    "rarely kept": {
        "top": "engine.checkpoint_every = 2\nstep.average = true",
        "rounds": 3,
        "party": {"clinic": {"behaviour": "silent-reveal"}, "bank": {"behaviour": "refuses"}},
        "market": 'budget = "200.00"\nexclude_rounds = 1',
    },
}


class Killed(BaseException):
    """The process died."""


class Reaper:
    """Lets a process die at its k-th durable action: afterwards nothing is written any more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, last: int) -> None:
        self.count, self._last = 0, last
        for owner, name, after in (
            (os, "fsync", False),
            (os, "write", False),
            (DefaultDialect, "do_commit", True),
            (SellerFolder, "_insert", True),
        ):
            self._wrap(monkeypatch, owner, name, after)

    def _wrap(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, after: bool) -> None:
        real = getattr(owner, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            self._act()
            result = real(*arguments, **options)
            if after:
                self._act()
            return result

        monkeypatch.setattr(owner, name, wrapped)

    def _act(self) -> None:
        self.count += 1
        if self.count > self._last:
            raise Killed


def sales(folder: Path) -> dict[str, list[tuple[str, str, str | None, float]]]:
    """Return every account's sales: award, state, digest, epsilon."""
    found = {}
    for path in sorted((folder / "accounts").glob("*.sqlite")):
        with SalesAccount.open(
            path, owner=path.stem, epsilon=10.0, delta=1e-6, accountant="basic"
        ) as account:
            sold = [(x.award, x.state, x.digest, x.epsilon) for x in account.sales()]
            found[path.stem] = sold
            assert account.spent() <= 10.0
    return found


def outcome(folder: Path) -> dict[str, Any]:
    """Return all that a run leaves but times, checkpoint and the databases' own bytes."""
    with SqlStore(folder / "market.db") as store:
        lines = [(line.idempotency_key, line.digest) for line in store.snapshot().journal]
    return {
        "record": (folder / "record.jsonl").read_bytes(),
        "model": (folder / "models" / "coordinator.safetensors").read_bytes(),
        "ledger": lines,
        "sales": sales(folder),
    }


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_killed_anywhere_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    settings = {**SETTINGS[name]}
    settings["top"] = settings.get("top", "") + "\nevaluation.baselines = []"
    config = make_market(**settings)
    with monkeypatch.context() as patch:
        reaper = Reaper(patch, 10**9)
        whole = run(config, tmp_path / "whole", report=False)
    expected = outcome(whole)
    conserved(whole)
    for moment in range(2 + 5 * list(SETTINGS).index(name), reaper.count, EVERY):
        folder = tmp_path / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        with monkeypatch.context() as patch:
            Reaper(patch, moment)
            with pytest.raises(BaseException):  # noqa: B017, PT011 - it died, however
                run(config, folder, report=False)
        if not (folder / "config.json").exists():
            continue
        resume(folder, report=False)
        assert outcome(folder) == expected, f"killed at action {moment} of {reaper.count}"


def test_secret_noise_is_drawn_once_whenever_the_run_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_market(
        top="evaluation.baselines = []", local='mechanism = "l2-sphere"\nnoise = "secret"'
    )
    with monkeypatch.context() as patch:
        reaper = Reaper(patch, 10**9)
        run(config, tmp_path / "whole", report=False)
    for moment in range(reaper.count // 3, reaper.count, reaper.count // 4):
        folder = tmp_path / f"killed-{moment}"
        with monkeypatch.context() as patch:
            Reaper(patch, moment)
            with pytest.raises(BaseException):  # noqa: B017, PT011
                run(config, folder, report=False)
        before = {
            award: digest
            for sold in sales(folder).values()
            for award, _, digest, _ in sold
            if digest is not None
        }
        resume(folder, report=False)
        conserved(folder)
        after = {award: digest for sold in sales(folder).values() for award, _, digest, _ in sold}
        assert {award: after[award] for award in before} == before
        delivered = [a["digest"] for body in bodies(folder, "collect") for a in body["awards"]]
        assert sorted(delivered) == sorted(digest for digest in after.values() if digest)
        assert bodies(folder, "start")[0]["mark"] is None


def test_a_finished_run_is_finished_again_to_the_same_bytes(tmp_path: Path) -> None:
    folder = run(make_market(), tmp_path / "run", report=False)
    before = outcome(folder)
    resume(folder, report=False)
    assert outcome(folder) == before


def test_a_run_without_its_ledger_does_not_go_on(tmp_path: Path) -> None:
    folder = run(make_market(rounds=1), tmp_path / "run", report=False)
    (folder / "market.db").unlink()
    before = len(record_of(folder))
    with pytest.raises(RecordError, match=r"Expected the run's ledger in .*market\.db, got no"):
        resume(folder, report=False)
    assert len(record_of(folder)) == before


def test_other_data_do_not_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run(make_market(rounds=1), tmp_path / "run", report=False)
    monkeypatch.setattr("equigrad.federation.trade.setup.equigrad.__version__", "0.0.0")
    with pytest.raises(RecordError, match=r"versions differ"):
        resume(folder, report=False)
