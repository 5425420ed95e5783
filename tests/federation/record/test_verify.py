"""Whatever is changed in a finished run is found, even by somebody who repairs the hashes."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from equigrad.errors import ConfigError, RecordError, VerificationError
from equigrad.federation.config.schema import RunConfig
from equigrad.federation.progress import Silent
from equigrad.federation.record.canonical import canonical_json
from equigrad.federation.record.verify import verify
from equigrad.federation.runner import run

Line = dict[str, Any]

CONFIG = RunConfig.model_validate(
    {
        "seed": 5,
        "rounds": 5,
        "data": {"name": "wine"},
        "partition": {"rule": "power-law", "parties": 4},
        "model": {"options": {"hidden": [8]}},
        "training": {"batch_size": 8},
        "rewards": {"warmup": 1},
        "evaluation": {"standalone": False},
        "party": [{"name": "party-1", "behaviour": "echo"}],
    }
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(CONFIG, tmp_path_factory.mktemp("runs") / "run", report=False)


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(finished, tmp_path / "copy"))


def raw_lines(folder: Path) -> list[str]:
    return (folder / "record.jsonl").read_text().splitlines()


def write(folder: Path, lines: list[str]) -> None:
    (folder / "record.jsonl").write_text("".join(line + "\n" for line in lines))


def reforge(folder: Path, change: Callable[[list[Line]], None]) -> None:
    """Change the record and repair the whole chain, as a coordinator that cheats could."""
    lines = [json.loads(line) for line in raw_lines(folder)]
    change(lines)
    head = "0" * 64
    for index, line in enumerate(lines):
        unsealed = {k: v for k, v in line.items() if k != "hash"} | {"index": index, "prev": head}
        text = canonical_json(unsealed)
        head = hashlib.sha256((head + text).encode()).hexdigest()
        line.clear()
        line |= unsealed | {"hash": head}
    write(folder, [canonical_json(line) for line in lines])


def bodies(lines: list[Line], stage: str) -> list[Line]:
    return [line["body"] for line in lines if line["stage"] == stage]


def test_an_untouched_run_is_confirmed_to_the_last_bit(finished: Path) -> None:
    result = verify(finished)
    assert result.exact
    assert result.finished
    assert result.rounds == 5
    for what in ("contributions", "reputations", "reward sizes", "audits", "models"):
        assert result.checks[what] > 0
    assert result.head == json.loads(raw_lines(finished)[-1])["hash"]


@pytest.mark.parametrize("number", [0, 3, 9, -1])
def test_a_changed_digit_is_found(copy: Path, number: int) -> None:
    lines = raw_lines(copy)
    line = lines[number]
    at = max(i for i, c in enumerate(line[: line.index('"hash"')]) if c.isdigit())
    lines[number] = line[:at] + str((int(line[at]) + 1) % 10) + line[at + 1 :]
    write(copy, lines)
    with pytest.raises(VerificationError, match=rf"line {number % len(lines) + 1}"):
        verify(copy)


@pytest.mark.parametrize("number", [0, 4, 11])
def test_a_removed_line_is_found(copy: Path, number: int) -> None:
    lines = raw_lines(copy)
    del lines[number]
    write(copy, lines)
    with pytest.raises(VerificationError):
        verify(copy)


def test_a_missing_end_is_found(copy: Path) -> None:
    write(copy, raw_lines(copy)[:-2])
    with pytest.raises(VerificationError, match="expected a 'settle' line of round 4"):
        verify(copy)


@pytest.mark.parametrize("missing", [1, 6])
def test_missing_lines_at_the_end_are_found(copy: Path, missing: int) -> None:
    """The finish line, or a whole settled round with it."""
    write(copy, raw_lines(copy)[:-missing])
    with pytest.raises(VerificationError, match="missing"):
        verify(copy)


def test_an_unfinished_run_holds_as_far_as_it_goes(tmp_path: Path) -> None:
    class Stop(Silent):
        def round_done(self, round_: int, total: int, rows: object) -> None:
            if round_ == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(CONFIG, tmp_path / "run", progress=Stop(), report=False)
    result = verify(tmp_path / "run")
    assert not result.finished
    assert result.rounds == 3


def test_a_head_kept_elsewhere_shows_a_record_written_anew(copy: Path) -> None:
    head = verify(copy).head
    assert verify(copy, head=head[:12]).head == head

    def change(lines: list[Line]) -> None:
        bodies(lines, "train")[0]["uploads"][0] = "0" * 64

    reforge(copy, change)
    assert verify(copy).finished
    with pytest.raises(VerificationError, match="the head was kept of"):
        verify(copy, head=head)


@pytest.mark.parametrize("number", [1, 7])
def test_two_swapped_lines_are_found(copy: Path, number: int) -> None:
    lines = raw_lines(copy)
    lines[number], lines[number + 1] = lines[number + 1], lines[number]
    write(copy, lines)
    with pytest.raises(VerificationError):
        verify(copy)


def raise_a_number(stage: str, key: str) -> Callable[[list[Line]], None]:
    def change(lines: list[Line]) -> None:
        body = bodies(lines, stage)[3]
        value = body[key]
        if not isinstance(value, list):
            body[key] = value * 1.001
        elif isinstance(value[1], list):
            value[1][0] += 1
        else:
            value[1] = value[1] * 1.001 + 1e-3

    return change


@pytest.mark.parametrize(
    ("stage", "key", "word"),
    [
        ("announce", "gamma", "gamma"),
        ("train", "norms", "norms"),
        ("appraise", "C", "symmetric"),
        ("appraise", "V", "last rewards"),
        ("appraise", "values", "contributions"),
        ("appraise", "kappa", "consensus"),
        ("appraise", "caps", "caps"),
        ("appraise", "aggregation_weights", "weights"),
        ("appraise", "A", "reputations"),
        ("appraise", "B", "reputations"),
        ("appraise", "r", "reputations"),
        ("reward", "s", "reward shares"),
        ("reward", "q", "reward ratios"),
        ("reward", "kept", "reward sizes"),
        ("reward", "share", "reward sizes"),
        ("settle", "aggregate_norm", "norm of the aggregate"),
    ],
)
def test_a_forged_number_is_found_though_the_chain_is_whole(
    copy: Path, stage: str, key: str, word: str
) -> None:
    reforge(copy, raise_a_number(stage, key))
    with pytest.raises(VerificationError, match=word):
        verify(copy)


def test_a_consistent_gram_matrix_cannot_be_slipped_in(copy: Path) -> None:
    """Changing C together with the norms changes the values, which then do not agree."""

    def change(lines: list[Line]) -> None:
        appraise, train = bodies(lines, "appraise")[2], bodies(lines, "train")[2]
        C = appraise["C"]
        C[0][1] = C[1][0] = 1.01 * C[0][1] + 1e-3
        train["norms"] = [row[i] ** 0.5 for i, row in enumerate(C)]

    reforge(copy, change)
    with pytest.raises(VerificationError, match="recomputed"):
        verify(copy)


def put(stage: str, number: int, **values: Any) -> Callable[[list[Line]], None]:
    """Replace fields of one body."""
    return lambda lines: bodies(lines, stage)[number].update(values)


def put_at(stage: str, number: int, *path: Any) -> Callable[[list[Line]], None]:
    """Replace one entry deep in a body; the last of ``path`` is the new value."""

    def change(lines: list[Line]) -> None:
        place = bodies(lines, stage)[number]
        for key in path[:-2]:
            place = place[key]
        place[path[-2]] = path[-1]

    return change


def _drop_model(lines: list[Line]) -> None:
    del bodies(lines, "finish")[0]["models"]["party-3.safetensors"]


def _drop_party(lines: list[Line]) -> None:
    for stage in ("announce", "train"):
        body = bodies(lines, stage)[3]
        for key in ("parties", "deliveries", "uploads", "norms", "records", "metrics"):
            if key in body:
                body[key].pop()


FORGERIES = {
    "a party is dropped": _drop_party,
    "the bound's norms are hidden": put("announce", 0, gamma_norms=None),
    "the bound is another": put("announce", 2, gamma=100.0),
    "the number of parameters is another": put_at("start", 0, "model", "parameters", 500),
    "a whole reward has a small cosine": put_at("reward", 0, "cos", 1, 0.01),
    "digests of rewards are removed": put("reward", 2, digests=[]),
    "a digest of a reward is wiped": put_at("reward", 2, "digests", 2, None),
    "digests of uploads are removed": put("train", 2, uploads=[]),
    "a digest of an upload is none": put_at("train", 2, "uploads", 0, "0"),
    "another seed": put("start", 0, seed=6),
    "another method": put("start", 0, method="fedavg"),
    "a behaviour is denied": put_at("start", 0, "behaviours", 0, "honest"),
    "overlaps beyond the norms": put_at("appraise", 3, "H", 1, 1, 1e6),
    "noise that was not agreed": put(
        "appraise", 2, noise=[{"kind": "gaussian", "variance": 0.1}] * 4
    ),
    "a model is left out": _drop_model,
}


@pytest.mark.parametrize("change", FORGERIES.values(), ids=FORGERIES)
def test_whatever_follows_from_the_rest_cannot_be_forged(
    copy: Path, change: Callable[[list[Line]], None]
) -> None:
    reforge(copy, change)
    with pytest.raises(VerificationError):
        verify(copy)


def test_one_partys_model_cannot_pass_for_anothers(copy: Path) -> None:
    """Even if the digest of the file is forged with it."""
    import shutil

    models = copy / "models"
    shutil.copy(models / "party-4.safetensors", models / "party-2.safetensors")

    def change(lines: list[Line]) -> None:
        files = bodies(lines, "finish")[0]["models"]
        files["party-2.safetensors"] = files["party-4.safetensors"]

    reforge(copy, change)
    with pytest.raises(VerificationError, match=r"party-2\.safetensors to hold the model"):
        verify(copy)


def test_a_flag_cannot_be_wiped(copy: Path) -> None:
    def change(lines: list[Line]) -> None:
        for body in bodies(lines, "appraise"):
            body["excluded"] = []

    reforge(copy, change)
    with pytest.raises(VerificationError, match="audits"):
        verify(copy)


def test_a_round_cannot_be_cut_out(copy: Path) -> None:
    def change(lines: list[Line]) -> None:
        lines[:] = [line for line in lines if line["round"] != 2]

    reforge(copy, change)
    with pytest.raises(VerificationError, match="expected round 2"):
        verify(copy)


def test_a_malformed_line_is_no_crash(copy: Path) -> None:
    def change(lines: list[Line]) -> None:
        del bodies(lines, "appraise")[1]["V"]

    reforge(copy, change)
    with pytest.raises(VerificationError, match="malformed"):
        verify(copy)


def test_another_configuration_is_found(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["rewards"]["alpha"] = 0.5
    (copy / "config.json").write_text(canonical_json(config))
    with pytest.raises(VerificationError, match="configuration"):
        verify(copy)


def test_a_configuration_of_another_version_is_no_crash(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["rewards"]["of_the_future"] = 1
    (copy / "config.json").write_text(canonical_json(config))
    with pytest.raises(ConfigError, match=r"known key.*of_the_future"):
        verify(copy)


def test_another_model_is_found(copy: Path) -> None:
    path = copy / "models" / "party-2.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(VerificationError, match="party-2"):
        verify(copy)
    path.unlink()
    with pytest.raises(VerificationError, match="no such file"):
        verify(copy)


def test_an_empty_record_and_no_folder(copy: Path, tmp_path: Path) -> None:
    write(copy, [])
    with pytest.raises(VerificationError, match="start line"):
        verify(copy)
    with pytest.raises(RecordError, match="Expected a run folder"):
        verify(tmp_path / "nowhere")
