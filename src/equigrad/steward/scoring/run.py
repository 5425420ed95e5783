"""Beginning, going on with and ending a scoring; the stages are :mod:`.play`'s.

A folder is made only after everything could be made ready; whatever is refused leaves nothing
behind. Neighbours: :mod:`.job` (what is done) and :mod:`.verify` (what can be checked afterwards).
"""

import os
from pathlib import Path
from typing import Any

from equigrad.errors import RecordError
from equigrad.federation.record.canonical import sha256_json
from equigrad.federation.record.chain import RecordWriter, iter_record
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.record.seal import ZERO_HASH, Line
from equigrad.privacy.account import PrivacyAccount
from equigrad.steward.budget import opened_account
from equigrad.steward.config import ScoreSettings, dump_toml, restore_score_settings
from equigrad.steward.folder import is_scoring, refuse_taken, undo
from equigrad.steward.locking import locked
from equigrad.steward.scoring.bodies import local_start_body, start_body
from equigrad.steward.scoring.ending import finish
from equigrad.steward.scoring.job import Job
from equigrad.steward.scoring.places import ScorePlaces
from equigrad.steward.scoring.plan import refuse_beyond_account
from equigrad.steward.scoring.play import Play
from equigrad.steward.scoring.preparing import prepare_job
from equigrad.steward.scoring.progress import ScoreListener, SilentScoring

__all__ = ["resume_scoring", "start_scoring"]


def start_scoring(
    settings: ScoreSettings,
    folder: Path | str,
    *,
    listener: ScoreListener | None = None,
    report: bool = True,
) -> Path:
    """Score, choose and train into a new folder, as far as settings ask for it, and return it.

    Parameters
    ----------
    settings
        What to do.
    folder
        New or empty.
    listener
        Who is told.
    report
        Whether the owner's report is made at the end (``equigrad report`` makes it at any time).

    Raises
    ------
    EquigradError
        For whatever cannot be done; then there is no folder, and no account was charged.
    """
    place = RunFolder(folder)
    new = refuse_taken(place)
    job = prepare_job(settings)
    told = listener or SilentScoring()
    with opened_account(settings, job.material.name) as account:
        refuse_beyond_account(job.plan, account)
        place = RunFolder.create(place.path, dump_toml(settings), settings.model_dump())
        with locked(place):
            try:
                ScorePlaces(place).make()
                writers = _writers(place, [], [])
                _begin(job, place, writers)
            except BaseException:
                undo(place, new)
                raise
            return _played(job, place, account, told, writers, {}, report=report)


def resume_scoring(
    folder: Path | str, *, listener: ScoreListener | None = None, report: bool = True
) -> Path:
    """Go on with a scoring that was stopped, and return its folder.

    The result is the same, bit for bit, as if it had not been stopped, and nothing is charged
    twice. A finished scoring has its report written again.

    Raises
    ------
    RecordError
        If there is no scoring in the folder, another process goes on with it, it is damaged, or
        data or program have changed.
    """
    place = RunFolder.open(folder)
    if not is_scoring(place.path):
        raise RecordError(
            f"Expected a scoring in {place.path}, got another run. Go on with it by "
            "`equigrad resume`."
        )
    with locked(place):
        return _resumed(place, listener or SilentScoring(), report=report)


def _resumed(place: RunFolder, listener: ScoreListener, *, report: bool) -> Path:
    places = ScorePlaces(place)
    shared, local = _lines(place.record), _lines(places.record)
    if local and local[-1].stage == "finish":
        return _tidied(places, listener, report=report)
    settings = restore_score_settings(place.read_config())
    job = prepare_job(settings)
    with opened_account(settings, job.material.name) as account:
        places.make()
        shared = shared[:1]  # its last line is written after all others, and again
        _refuse_other(job, place, shared, local)
        writers = _writers(place, shared, local)
        try:
            _begin(job, place, writers, shared, local)
        except BaseException:
            _close(writers)
            raise
        done = {(line.stage, _part(line.body)): line.body for line in local[1:]}
        return _played(job, place, account, listener, writers, done, report=report)


def _played(
    job: Job,
    place: RunFolder,
    account: PrivacyAccount | None,
    listener: ScoreListener,
    writers: tuple[RecordWriter, RecordWriter],
    done: dict[tuple[str, str], Any],
    *,
    report: bool,
) -> Path:
    """Do what is left of a scoring whose records have begun."""
    places = ScorePlaces(place)
    try:
        listener.started(start_body(job, place.config_sha256()))
        for sentence in job.warnings:
            listener.message("warning", sentence)
        play = Play(job, places, account, listener, writers[1], done)
        play.stages()
        finish(play, writers[0])
    finally:
        _close(writers)
    return _tidied(places, listener, report=report)


def _begin(
    job: Job,
    place: RunFolder,
    writers: tuple[RecordWriter, RecordWriter],
    shared: list[Line] | None = None,
    local: list[Line] | None = None,
) -> None:
    """Write the first lines that are not there yet."""
    digest = place.config_sha256()
    for writer, lines, body in (
        (writers[0], shared, start_body(job, digest)),
        (writers[1], local, local_start_body(job, digest)),
    ):
        if not lines:
            writer.append("start", None, body)
            writer.sync()


def _refuse_other(job: Job, place: RunFolder, shared: list[Line], local: list[Line]) -> None:
    """Refuse to go on with other data or another program."""
    digest = place.config_sha256()
    for lines, body in ((shared, start_body(job, digest)), (local, local_start_body(job, digest))):
        if not lines or sha256_json(body) == sha256_json(lines[0].body):
            continue
        kept = lines[0].body
        changed = sorted(k for k in body if sha256_json(body[k]) != sha256_json(kept.get(k)))
        raise RecordError(
            "Expected the data and the program with which the scoring in "
            f"{place.path} began, got others ({', '.join(changed)} differ). Restore them, or "
            "start a new scoring."
        )


def _writers(
    place: RunFolder, shared: list[Line], local: list[Line]
) -> tuple[RecordWriter, RecordWriter]:
    """Return writers of both records behind the kept lines; the owner's is for the owner only."""
    private = ScorePlaces(place).record
    os.close(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    made: list[RecordWriter] = []
    for path, lines in ((place.record, shared), (private, local)):
        if path.exists():
            head = lines[-1].hash if lines else ZERO_HASH
            made.append(RecordWriter.resume(path, len(lines), head))
        else:
            made.append(RecordWriter(path))
    return made[0], made[1]


def _close(writers: tuple[RecordWriter, RecordWriter]) -> None:
    for writer in writers:
        writer.close()


def _lines(path: Path) -> list[Line]:
    return list(iter_record(path, allow_cut=True)) if path.exists() else []


def _part(body: Any) -> str:
    """Return which of several equal stages a line is of."""
    return f"{body['arm']} {body['repeat']}" if "arm" in body else ""


def _tidied(places: ScorePlaces, listener: ScoreListener, *, report: bool) -> Path:
    """Remove what a finished scoring needs no more; write the report."""
    places.drop_work()
    if report:
        from equigrad.steward.scoring.report import write_score_report

        write_score_report(places.place)
    listener.finished(places.place.path)
    return places.place.path
