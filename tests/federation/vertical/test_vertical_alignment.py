"""Rows are aligned by digests or by private set intersection, to the same run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vertical_runs import make_config, run_text, write_files

from equigrad.errors import AlignmentError, ConfigError, RecordError
from equigrad.federation.config.loader import load_config
from equigrad.federation.messages import from_bytes, to_bytes
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.record.verify import verify
from equigrad.federation.runner import run
from equigrad.federation.vertical.messages import PsiRequest, tensor
from equigrad.federation.vertical.party import VerticalAgent
from equigrad.federation.vertical.setup import party_specs, read_run_key
from equigrad.federation.vertical.shelf import PartyShelf

MISSING = {"bank": 12, "shop": 9, "clinic": 20}


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "record.jsonl").read_text().splitlines()]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_files(tmp_path, missing=MISSING)
    return tmp_path


def test_private_set_intersection_gives_the_same_run(files: Path) -> None:
    pytest.importorskip("private_set_intersection.python")
    plain = run(make_config(files), files / "plain", report=False)
    private = run(make_config(files, more='method = "psi"'), files / "psi", report=False)
    (_, first, *rest), (_, second, *others) = lines(plain), lines(private)
    assert first["body"]["masks"] == second["body"]["masks"]
    assert first["body"]["common"] == second["body"]["common"]
    told = [[line["body"] for line in some if line["round"] is not None] for some in (rest, others)]
    assert told[0] == told[1]
    assert verify(private).finished
    for name in ("shop", "clinic"):
        assert not (RunFolder.open(private).party(name) / "psi.key").exists()


def test_after_an_intersection_a_party_has_seen_digests_of_common_rows_alone(files: Path) -> None:
    pytest.importorskip("private_set_intersection.python")
    counts = {}
    for method in ("hmac", "psi"):
        config = make_config(files, more=f'method = "{method}"')
        folder = run(config, files / method, report=False)
        counts[method] = lines(folder)[1]["body"]
        offer = PartyShelf(RunFolder.open(folder).party("shop")).offer()
        assert offer is not None
        assert len(offer[0]) == counts[method]["common"]["shop"]
    assert counts["hmac"]["common"]["shop"] < counts["hmac"]["n_rows"]
    assert counts["psi"]["sent"]["bank"] < counts["psi"]["sent"]["shop"]


@pytest.mark.parametrize("method", ["hmac", "psi"])
def test_no_identifier_is_in_a_message_or_record(files: Path, method: str) -> None:
    if method == "psi":
        pytest.importorskip("private_set_intersection.python")
    folder = run(make_config(files, more=f'method = "{method}"'), files / "run")
    written = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 30
    assert not [content for content in written if b"P-0" in content]


def test_a_request_without_a_set_up_is_refused(files: Path, tmp_path: Path) -> None:
    pytest.importorskip("private_set_intersection.python")
    config = make_config(files)
    place = RunFolder.create(tmp_path / "run", "", {})
    spec = party_specs(config, read_run_key(config), place)[1]
    agent = VerticalAgent(spec)
    request = PsiRequest(round=-1, task=spec.task, request=tensor(np.zeros(3, dtype=np.uint8)))
    assert from_bytes(to_bytes(request)).kind == request.kind
    with pytest.raises(RecordError, match="set-up before the request"):
        agent.handle(agent.initial_state(), request)


def test_another_key_leaves_no_common_row(files: Path) -> None:
    config = make_config(files)
    frame = (files / "shop.csv").read_text()
    (files / "shop.csv").write_text(frame.replace("P-", "Q-"))
    with pytest.raises(AlignmentError, match=r"shop 0.*same key, id column and id_fold"):
        run(config, files / "run", report=False)


def test_too_few_common_rows_are_told_with_counts(files: Path) -> None:
    text = (files / "shop.csv").read_text().replace("P-", "Q-").splitlines()
    known = (files / "bank.csv").read_text().splitlines()[1].split(",")[0]
    text[1] = f"{known},{text[1].partition(',')[2]}"
    (files / "shop.csv").write_text("\n".join(text) + "\n")
    with pytest.raises(AlignmentError, match=r"at least 2 of the sponsor's 78 rows.*shop 1, clini"):
        run(make_config(files), files / "run", report=False)


def test_repeated_identifiers_are_refused_before_a_folder_is_made(files: Path) -> None:
    text = (files / "shop.csv").read_text()
    (files / "shop.csv").write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(AlignmentError, match=r"1 repetitions .*Remove the copies") as caught:
        run(make_config(files), files / "run", report=False)
    assert "P-0" not in str(caught.value)
    assert not (files / "run").exists()


def test_spellings_that_fold_alike_are_one_row(files: Path) -> None:
    text = (files / "shop.csv").read_text()
    (files / "shop.csv").write_text(text.replace("P-", " p"))
    folds = 'id_fold = ["casefold", "alphanumeric"]'
    folder = run(make_config(files, more=folds), files / "run", report=False)
    assert lines(folder)[1]["body"]["common"]["shop"] > 60
    (files / "other.toml").write_text(run_text(more='id_fold = ["lower"]'))
    with pytest.raises(ConfigError, match="casefold"):
        load_config(files / "other.toml")
