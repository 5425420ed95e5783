"""The in-process engine keeps the promises of the transport, in threads and in processes."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch

from equigrad.errors import ConfigError, RecordError
from equigrad.federation.config.schema import ModelConfig, TrainingConfig
from equigrad.federation.messages import Failure, Message, TrainReply, TrainRequest
from equigrad.federation.party import PartySpec
from equigrad.federation.party.spec import Records
from equigrad.federation.transport import Fault, FaultPlan, InProcessTransport
from equigrad.models import ModelInput

NAMES = ("ada", "bo", "cy")
Pool = Literal["thread", "process"]


def spec(name: str) -> PartySpec:
    generator = torch.Generator().manual_seed(len(name))
    features = torch.randn(12, 3, generator=generator)
    records = Records(features, (features[:, 0] > 0).long())
    return PartySpec(
        name=name,
        seed=1,
        train=records,
        test=records,
        model_input=ModelInput(shape=(3,), outputs=2, task="classification"),
        model=ModelConfig(factory="logistic"),
        training=TrainingConfig(batch_size=4),
    )


def transport(
    faults: list[Fault] | None = None, *, pool: Pool = "thread", workers: int = 2
) -> InProcessTransport:
    specs = [spec(name) for name in NAMES]
    return InProcessTransport(specs, pool=pool, workers=workers, faults=FaultPlan(faults or ()))


def ask(engine: InProcessTransport, round_: int = 0, deadline_s: float = 60.0) -> dict[str, object]:
    request = TrainRequest(round=round_, gamma=1.0)
    answers = list(engine.exchange(dict.fromkeys(NAMES, request), deadline_s=deadline_s))
    assert sorted(name for name, _ in answers) == sorted(NAMES)
    return dict(answers)


def uploads(answers: dict[str, object]) -> dict[str, list[float]]:
    return {n: a.upload.tolist() for n, a in answers.items() if isinstance(a, TrainReply)}


@pytest.fixture
def engine() -> Iterator[InProcessTransport]:
    with transport() as opened:
        yield opened


def test_every_party_answers_for_itself(engine: InProcessTransport) -> None:
    answers = ask(engine)
    assert {n: a.party for n, a in answers.items() if isinstance(a, TrainReply)} == {
        name: name for name in NAMES
    }
    assert engine.parties == NAMES


def test_threads_and_processes_give_the_same_bits() -> None:
    with transport(workers=1) as one, transport(workers=3) as many:
        in_threads = [uploads(ask(engine)) for engine in (one, many)]
    with transport(pool="process", workers=2) as processes:
        in_processes = uploads(ask(processes))
    assert in_threads[0] == in_threads[1] == in_processes
    assert len(in_processes) == len(NAMES)


@pytest.mark.parametrize("pool", ["thread", "process"])
def test_a_party_that_raises_disturbs_nobody(pool: Pool) -> None:
    with transport([Fault("bo", 0, "raise")], pool=pool) as engine:
        answers = ask(engine)
    failure = answers["bo"]
    assert isinstance(failure, Failure)
    assert failure.reason == "raised"
    assert "as planned" in failure.detail
    assert set(uploads(answers)) == {"ada", "cy"}


def test_a_late_party_is_dropped_and_left_as_it_was() -> None:
    with transport([Fault("bo", 0, "delay", 1.0)], workers=3) as engine:
        answers = ask(engine, deadline_s=0.5)
        late = answers["bo"]
        assert isinstance(late, Failure)
        assert late.reason == "deadline"
        assert "bo" not in engine.models()
        time.sleep(1.0)  # it finishes meanwhile; nobody takes its reply
        assert "bo" not in engine.models()
        assert isinstance(ask(engine, 1)["bo"], TrainReply)


def test_the_deadline_holds_for_parties_that_were_never_reached() -> None:
    faults = [Fault(name, 0, "delay", 0.6) for name in NAMES]
    with transport(faults, workers=1) as engine:
        answers = ask(engine, deadline_s=0.3)
    assert all(isinstance(a, Failure) and a.reason == "deadline" for a in answers.values())


def test_a_lost_reply_leaves_no_trace() -> None:
    with transport([Fault("cy", 0, "drop")]) as engine:
        lost = ask(engine)["cy"]
        assert isinstance(lost, Failure)
        assert lost.reason == "lost"
        assert set(engine.models()) == {"ada", "bo"}


def test_requests_are_read_once_and_when_they_are_sent() -> None:
    read: list[str] = []

    class Lazy(dict[str, Message]):
        def __getitem__(self, party: str) -> Message:
            read.append(party)
            return TrainRequest(round=0, gamma=1.0)

    with transport(workers=1) as engine:
        exchange = engine.exchange(Lazy.fromkeys(NAMES), deadline_s=60.0)
        next(exchange)
        assert len(read) <= 2
        list(exchange)
    assert sorted(read) == sorted(NAMES)


def test_states_come_back_from_a_folder(tmp_path: Path, engine: InProcessTransport) -> None:
    folder = tmp_path
    ask(engine)
    engine.save(folder)
    expected = uploads(ask(engine, 1))
    with transport() as other:
        other.load(folder)
        assert uploads(ask(other, 1)) == expected


def test_a_missing_folder_is_an_error(tmp_path: Path, engine: InProcessTransport) -> None:
    with pytest.raises(RecordError, match="Expected the parties' states"):
        engine.load(tmp_path)


def test_the_number_of_torch_threads_is_given_back() -> None:
    before = torch.get_num_threads()
    with transport() as engine:
        ask(engine)
    assert torch.get_num_threads() == before


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="pool"):
        InProcessTransport([spec("ada")], pool="fibre")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="workers"):
        InProcessTransport([spec("ada")], workers=0)
