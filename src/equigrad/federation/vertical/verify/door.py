"""The door of verification: the record by itself, then with the sponsor's folder if it is there.

Neighbours: ``judge`` recomputes what follows from the record alone, ``replay`` plays the run again.
"""

import warnings
from typing import Any

import numpy as np

from equigrad.assistance import AssistanceWarning
from equigrad.errors import RecordError, VerificationError
from equigrad.federation.record.agreement import Malformed, VerifyResult, fault, same
from equigrad.federation.record.canonical import plain
from equigrad.federation.record.chain import Line, read_record
from equigrad.federation.record.ends import check_ends, check_models
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.vertical.config.schema import VerticalConfig
from equigrad.federation.vertical.ending import ending_of, model_path
from equigrad.federation.vertical.game import Game
from equigrad.federation.vertical.learning import build_learner
from equigrad.federation.vertical.progress import SilentVertical
from equigrad.federation.vertical.rows import PartyRows
from equigrad.federation.vertical.setup import VerticalSetup, start_body, task_of
from equigrad.federation.vertical.target import Target
from equigrad.federation.vertical.verify.digests import check_digests, check_masks
from equigrad.federation.vertical.verify.judge import Judge
from equigrad.federation.vertical.verify.replay import (
    Comparing,
    EndOfRecordError,
    KeptFolder,
    Replay,
    Seeded,
)

__all__ = ["verify_vertical"]


def verify_vertical(
    place: RunFolder, config: VerticalConfig, *, head: str | None = None
) -> VerifyResult:
    """Recompute all that can be recomputed, and compare; see :func:`..record.verify.verify`.

    From the record alone: chain, members, weights from inner products, steps and falls of the loss
    of squared error, contributions, traffic, the label account, the digest of the model. With the
    sponsor's folder the run is played again from the answers kept there, and every line must come
    out as it stands.

    Raises
    ------
    VerificationError
        At the first thing that does not agree.
    """
    result = VerifyResult()
    lines = read_record(place.record)
    check_ends(place, lines, result, head)
    start = lines[0]
    with Malformed(start):
        _check_start(config, start, result)
    loose = VerifyResult()  # sums in another order than the run's say nothing of its platform
    judge = Judge(config, start, loose)
    for line in lines[1:]:
        with Malformed(line):
            judge.take(line)
    for what, count in loose.checks.items():
        result.count(what, count)
    result.rounds, result.finished = judge.settled, judge.finished
    check_models(place, lines[-1], result)
    if (place.sponsor / "rows.safetensors").is_file() and len(lines) > 2:
        _play_again(place, config, lines, result)
    return result


def _check_start(config: VerticalConfig, start: Line, result: VerifyResult) -> None:
    body = start.body
    again = start_body(config, int(body["n_outputs"]), int(body["classes"]))
    again["versions"] = body["versions"]
    same(start, "the start line, from the configuration", body, plain(again), result)
    if (body["classes"] > 0) != (body["task"] == "classification"):
        raise fault(start, "expected classes with classification alone")
    if body["classes"] and body["classes"] != body["n_outputs"]:
        raise fault(start, f"expected {body['n_outputs']} classes, one for each output")


def _play_again(
    place: RunFolder, config: VerticalConfig, lines: list[Line], result: VerifyResult
) -> None:
    """Play the run again from the sponsor's folder.

    A run with secret noise cannot be played again: its key is gone. Then messages and answers are
    compared with their digests alone.
    """
    folder = KeptFolder(place.sponsor)
    setup = _setup(config, folder, lines[0])
    held = folder.held()
    names = tuple(party.name for party in config.parties)
    if config.private and config.vertical.privacy.noise == "secret":
        check_digests(folder, names, held, lines, result)
        return
    comparing = Comparing(iter(lines), result)
    replay = Replay(names, folder, held, lines, config.vertical.wire_dtype)
    game = Game(
        setup,
        recorder=comparing,
        transport=replay,
        folder=folder,
        progress=SilentVertical(),
        account=Seeded(config.seed) if config.private else None,
    )
    try:
        if config.vertical.alignment.method == "hmac":
            game.align(None)
        else:
            check_masks(lines[1], names, held, result)
            comparing.skip(2)
        with warnings.catch_warnings():  # they were told when the run was made
            warnings.simplefilter("ignore", AssistanceWarning)
            training = game.train(held, None, resumed=True)
        told = [(line.stage, line.body) for line in lines if line.stage != "finish"]
        ending = ending_of(setup, game.parties, training, told)
        comparing.line("finish", None, ending.body)
    except EndOfRecordError:
        return
    except RecordError as error:
        raise VerificationError(str(error)) from error
    kept = model_path(place, private=config.private)
    if kept.is_file() and kept.read_bytes() != ending.model:
        raise VerificationError(f"{kept}: expected the model that the run comes to, got another.")
    result.count("models")


def _setup(config: VerticalConfig, folder: KeptFolder, start: Line) -> VerticalSetup:
    """Return the run's setup from what the sponsor kept; no party's columns are needed."""
    rows = folder.rows()
    values = np.asarray(rows["target"], dtype=np.float64)
    classification = config.vertical.task == "classification"
    if values.shape[1] != start.body["n_outputs"]:
        raise fault(start, f"expected {values.shape[1]} outputs, as in the sponsor's folder")
    codes = values.argmax(axis=1) if classification else None
    classes = tuple(str(k) for k in range(values.shape[1])) if classification else ()
    learners = [build_learner(party.learning) for party in config.parties]
    order = np.arange(len(values))
    digests = np.asarray(rows["digests"], dtype=np.uint8)
    empty: Any = np.zeros((len(values), 0))
    return VerticalSetup(
        config,
        task_of(config),
        b"",
        PartyRows(config.sponsor.name, digests, empty, order, None),
        Target(values, classes, codes),
        all(learner.linear for learner in learners),
        any(learner.restates for learner in learners),
        start.body,
        (),
    )
