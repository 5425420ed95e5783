"""The end of a scoring: both arms compared, one of them released, the last lines written.

The comparison is the owner's. What is released was fixed before anything was trained; ``best``
alone looks at the comparison, and was paid for both arms.
"""

from typing import Any

from equigrad.federation.record.canonical import sha256_file
from equigrad.federation.record.chain import RecordWriter
from equigrad.federation.record.disk import write_atomic
from equigrad.federation.streams import numpy_stream
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.steward.scoring.bodies import ledger_body
from equigrad.steward.scoring.comparing import compared
from equigrad.steward.scoring.play import Play, arm_file
from equigrad.steward.scoring.states import state_path

__all__ = ["MODEL", "SCORER_MODEL", "finish"]

MODEL = "model.safetensors"
"""The released model's file in the folder of models."""
SCORER_MODEL = "scorer.safetensors"
"""The scorer's model, where it is in the ledger."""


def finish(play: Play, shared: RecordWriter) -> None:
    """Compare the arms, put the released models in their place, and write both last lines."""
    job, places = play.job, play.places
    local: dict[str, Any] = {"comparison": None, "released": None}
    models = {}
    if job.plan.arms:
        right = {arm: play.correct(arm) for arm in ("selected", "baseline")}
        generator = numpy_stream(job.settings.seed, "bootstrap")
        found = compared(right["selected"], right["baseline"], generator)
        local["comparison"] = found.to_json()
        release = job.plan.release
        if release == "best":
            better = right["selected"][0].mean() > right["baseline"][0].mean()
            release = "selected" if better else "baseline"
        local["released"] = release
        models[MODEL] = (places.models / arm_file(release, 0)).read_bytes()
        play.listener.outcome(f"{found.verdict} (for the owner only); released: {release}")
    if job.plan.scorer is not None and job.plan.charges("scorer"):
        last = state_path(places.checkpoints, job.numbers.checkpoints[-1])
        models[SCORER_MODEL] = last.read_bytes()
    for name, data in models.items():
        write_atomic(places.place.models / name, data)
    events = _charged(play)
    body = {
        "released": local["released"],
        "events": [event.to_json() for event in events],
        "statement": ledger_body(job, events),
        "values": _values(play),
        "models": {name: sha256_file(places.place.models / name) for name in models},
    }
    shared.append("finish", None, body)
    shared.sync()
    play.writer.append("finish", None, local)
    play.writer.sync()


def _charged(play: Play) -> list[PrivacyEvent]:
    """Return the events of the ledger as they were charged, in the order of the plan."""
    plan, done = play.job.plan, play.done
    bodies: list[Any] = []
    if plan.charges("scorer"):
        bodies += done["model", ""]["events"]
    if plan.charges("selecting") and ("selection", "") in done:
        bodies += done["selection", ""]["selection"]["events"]
    for arm in plan.arms:
        if plan.charges(arm):
            bodies += done["trained", f"{arm} 0"]["events"]
    return [PrivacyEvent.from_json(body) for body in bodies]


def _values(play: Play) -> dict[str, Any]:
    """Return the values that the ledger's events cover: a released threshold, an index set."""
    if not play.job.plan.charges("selecting") or ("selection", "") not in play.done:
        return {}
    released: dict[str, Any] = play.done["selection", ""]["selection"]["released"]
    return released
