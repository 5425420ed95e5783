"""The second stage: every record's scores, and how well they find labels known to be wrong."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equigrad.errors import ConfigError, EquigradError
from equigrad.federation.streams import stream_seed
from equigrad.privacy.training.checkpoint import load_state, save_state
from equigrad.steward.scoring.job import Job
from equigrad.steward.scoring.progress import ScoreListener
from equigrad.valuation import ScoreSet, SweepState, Trajectory, score, suspicion
from equigrad.valuation.detection import agreement, detection

__all__ = ["agreement_of", "detections", "scored_by_all"]

_PATIENCE = 20.0  # a sweep is saved when so many times a save's time has passed since the last


_NO_SIDE = "Measures difficulty or exposure, and is not taken for evidence of a wrong label."


def scored_by_all(
    job: Job, trajectory: Trajectory, folder: Path, listener: ScoreListener
) -> dict[str, ScoreSet]:
    """Return the scores by label; a sweep that was stopped goes on.

    Parameters
    ----------
    job, trajectory
        What is scored, by which checkpoints.
    folder
        Where the sweep's state is kept.
    listener
        Who watches.
    """
    scoring = job.settings.scoring
    names = ", ".join(scorer.label for scorer in job.scorers)
    listener.stage("scores", f"scores by {names} at {len(trajectory)} checkpoints", "visits")
    validation = job.validation
    found: dict[str, ScoreSet] = score(
        trajectory,
        job.data(),
        job.scorers,
        view=job.view,
        validation=None if validation is None else (validation.features, validation.labels),
        public_validation=scoring.public_validation,
        batch_size=scoring.batch,
        seed=stream_seed(job.settings.seed, "scorers") >> 1,
        progress=listener.moved,
        keep=_keeper(folder),
        state=_kept_state(folder),
    )
    return found


def _keeper(folder: Path) -> Callable[[SweepState], None]:
    """Return what saves a sweep's states, the first at once and others in good time."""
    last, price = -np.inf, 0.0

    def keep(state: SweepState) -> None:
        nonlocal last, price
        now = time.monotonic()
        if now - last < _PATIENCE * price:
            return
        facts = {"start": state.start, "visited": state.visited}
        tensors = {f"t{i}": t for i, t in enumerate(state.tensors.values())}
        names = list(state.tensors)
        save_state(
            folder, step=state.visited, facts={**facts, "names": names}, states={"sweep": tensors}
        )
        last, price = time.monotonic(), time.monotonic() - now

    return keep


def _kept_state(folder: Path) -> SweepState | None:
    if not (folder / "LATEST").exists():
        return None
    saved = load_state(folder)
    tensors = saved.states["sweep"]
    named = {name: tensors[f"t{i}"] for i, name in enumerate(saved.facts["names"])}
    return SweepState(int(saved.facts["start"]), int(saved.facts["visited"]), named)


def detections(scores: Sequence[ScoreSet], wrong: Any) -> dict[str, Any]:
    """Return how well each scorer finds the wrong labels; a note for those without a side."""
    found: dict[str, Any] = {}
    for one in scores:
        try:
            found[one.scorer] = detection(suspicion(one), wrong).to_json()
        except ConfigError:
            found[one.scorer] = {"note": _NO_SIDE}
        except EquigradError as error:
            found[one.scorer] = {"note": str(error)}
    return found


def agreement_of(scores: Sequence[ScoreSet]) -> dict[str, Any]:
    """Return the rank correlations between scorers, each turned so that high is suspicious."""
    turned: Mapping[str, Any] = {one.scorer: _turned(one) for one in scores}
    names, matrix = agreement(turned)
    return {
        "scorers": list(names),
        "matrix": [[None if np.isnan(v) else float(v) for v in row] for row in matrix],
    }


def _turned(scores: ScoreSet) -> Any:
    try:
        return suspicion(scores)
    except ConfigError:  # difficulty and exposure have no side; their own direction is taken
        return scores.values
