"""Checkpoints: exact, whole after any kill, and damage is noticed."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from equigrad.errors import RecordError
from equigrad.federation.record.chain import ZERO_HASH, RecordWriter
from equigrad.federation.record.checkpoint import load_checkpoint, save_checkpoint
from equigrad.federation.record.folder import RunFolder


def save(folder: RunFolder, round_: int, **more) -> None:
    given = {"record_length": 2, "record_head": ZERO_HASH, "facts": {}, "arrays": {}} | more
    save_checkpoint(folder, round=round_, **given)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", "", {})


def test_none_yet(folder: RunFolder) -> None:
    assert load_checkpoint(folder) is None


def test_everything_comes_back_to_the_last_bit(folder: RunFolder) -> None:
    generator = np.random.default_rng(0)
    arrays = {
        "f64": generator.normal(size=(3, 4)),
        "f32": torch.randn(7, generator=torch.Generator().manual_seed(1)),
        "transposed": torch.arange(6).reshape(2, 3).T,
        "i64": np.array([2**62, -1]),
        "bool": np.array([True, False]),
        "scalar": np.array(0.1),
        "empty": torch.zeros(0, 5),
        "odd": np.array([np.nan, np.inf, -0.0]),
        "shared": None,
    }
    arrays["shared"] = arrays["f32"][:3]
    facts = {"A": {"party-1": 0.1 + 0.2, "party-2": 5e-324}, "pending": None, "rows": [1, True]}

    def writer(path: Path) -> None:
        (path / "deep").mkdir()
        (path / "deep" / "p.bin").write_bytes(b"\x00\x01")

    save(folder, 4, facts=facts, arrays=arrays, writer=writer)
    state = load_checkpoint(folder)
    assert state is not None
    assert (state.round, state.record_length, state.record_head) == (4, 2, ZERO_HASH)
    assert state.facts == facts
    assert (state.parties / "deep" / "p.bin").read_bytes() == b"\x00\x01"
    assert state.arrays.keys() == arrays.keys()
    for key, array in arrays.items():
        back = state.arrays[key]
        assert type(back) is type(array)
        assert back.dtype == array.dtype
        assert back.shape == array.shape
        assert np.asarray(back).tobytes() == np.ascontiguousarray(np.asarray(array)).tobytes()


def test_a_loaded_array_is_ones_own(folder: RunFolder) -> None:
    save(folder, 0, arrays={"a": np.zeros(2), "b": torch.zeros(2)})
    state = load_checkpoint(folder)
    assert state is not None
    state.arrays["a"][0] = 1
    state.arrays["b"][0] = 1
    assert load_checkpoint(folder).arrays["a"][0] == 0


def test_the_newest_wins_and_only_it_is_kept(folder: RunFolder) -> None:
    for round_ in (0, 1, 1, 2):
        save(folder, round_, arrays={"r": np.full(3, round_)})
    assert load_checkpoint(folder).round == 2
    assert sorted(p.name for p in folder.checkpoint.iterdir()) == ["000004", "LATEST"]


def test_leftovers_of_a_killed_run_do_no_harm(folder: RunFolder) -> None:
    save(folder, 0)
    (folder.checkpoint / "000002").mkdir()
    (folder.checkpoint / "000002" / "half").touch()
    (folder.checkpoint / ".LATEST.new").touch()
    assert load_checkpoint(folder).round == 0
    save(folder, 1)
    assert load_checkpoint(folder).round == 1
    assert not (folder.checkpoint / "000002" / "half").exists()


def test_a_failing_writer_leaves_the_old_state(folder: RunFolder) -> None:
    def writer(path: Path) -> None:
        raise OSError(28, "No space left on device")

    save(folder, 0)
    with pytest.raises(RecordError, match="disk is full"):
        save(folder, 1, writer=writer)
    assert load_checkpoint(folder).round == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda s: (s / "arrays.safetensors").write_bytes(b"x"),
        lambda s: (s / "arrays.safetensors").unlink(),
        lambda s: (s / "parties" / "p").write_text("b"),
        lambda s: (s / "parties" / "p").unlink(),
        lambda s: (s / "parties" / "more").touch(),
        lambda s: (s / "state.json").write_text('{"round":7}'),
        lambda s: (s / "state.json").write_text("["),
        lambda s: (s / "state.json").unlink(),
        lambda s: (s.parent / "LATEST").write_text("{}"),
        lambda s: (s.parent / "LATEST").write_text("x"),
    ],
)
def test_damage_is_noticed(folder: RunFolder, damage) -> None:
    save(
        folder, 3, arrays={"a": np.ones(4)}, writer=lambda parties: (parties / "p").write_text("a")
    )
    damage(folder.checkpoint / "000001")
    with pytest.raises(RecordError, match=r"damaged one \("):
        load_checkpoint(folder)


LOOP = """
import sys
from pathlib import Path
import numpy as np, torch
from equigrad.federation.record.chain import RecordWriter, ZERO_HASH
from equigrad.federation.record.checkpoint import load_checkpoint, save_checkpoint
from equigrad.federation.record.folder import RunFolder

folder = RunFolder.open(sys.argv[1])
state = load_checkpoint(folder)
if state is None:
    writer = RecordWriter.resume(folder.record, 0, ZERO_HASH)
    total, start = torch.zeros(2000, dtype=torch.float64), 0
else:
    writer = RecordWriter.resume(folder.record, state.record_length, state.record_head)
    total, start = state.arrays["total"], state.round + 1
print("ready", flush=True)
for t in range(start, 100_000):
    total = total * 0.5 + t / 3
    for stage in ("train", "appraise", "settle"):
        writer.append(stage, t, {"total": float(total[0]), "pad": "x" * 500})
    if t % 2 == 0:
        continue
    writer.sync()
    def parties(path):
        for name in "abc":
            (path / name).write_bytes(total.numpy().tobytes())
    save_checkpoint(folder, round=t, record_length=writer.length, record_head=writer.head,
                    facts={"t": t}, arrays={"total": total}, writer=parties)
"""


def _expected(rounds: int) -> list[float]:
    values, total = [], 0.0
    for t in range(rounds):
        total = total * 0.5 + t / 3
        values.append(total)
    return values


def test_sigkill_at_any_instant_leaves_one_whole_consistent_state(folder: RunFolder) -> None:
    folder.record.touch()
    chance = random.Random(20)
    reached = -1
    for _ in range(7):
        with subprocess.Popen(
            [sys.executable, "-c", LOOP, folder.path], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0.0, 0.25))
            process.send_signal(signal.SIGKILL)
        state = load_checkpoint(folder)
        if state is None:
            continue
        assert state.round >= reached
        reached = state.round
        expected = _expected(state.round + 1)
        with RecordWriter.resume(folder.record, state.record_length, state.record_head) as writer:
            assert writer.length == 3 * (state.round + 1)
        assert state.facts == {"t": state.round}
        total = np.asarray(state.arrays["total"])
        assert np.all(total == expected[-1])
        for name in "abc":
            assert (state.parties / name).read_bytes() == total.tobytes()
    assert reached > 0
