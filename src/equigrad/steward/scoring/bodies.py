"""The lines of the two records: what may be shared, and what its owner alone may read.

The shared record holds settings, events, released values and digests of what is released. For
neighbouring data sets with equal coins it differs in released values only: no size of a selection,
no flag, no accuracy and no digest of anything private is in it.
"""

from typing import Any

import equigrad
from equigrad.federation.record.canonical import sha256_array
from equigrad.models import layer_sizes, parameter_names
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.steward.promise import statement_body
from equigrad.steward.scoring.job import SCORER_WEIGHTS, Job
from equigrad.steward.scoring.training import fresh_model

__all__ = ["ledger_body", "local_start_body", "start_body"]


def start_body(job: Job, config_sha256: str) -> dict[str, Any]:
    """Return the shared record's first line."""
    settings, material, numbers = job.settings, job.material, job.numbers
    groups = material.groups
    model = fresh_model(settings, material, SCORER_WEIGHTS)
    return {
        "config_sha256": config_sha256,
        "equigrad": equigrad.__version__,
        "seed": settings.seed,
        "data": {
            "name": material.name,
            "records": numbers.records,
            "test_records": len(material.test),
            "classes": list(material.classes),
            "shape": list(material.model_input.shape),
            "attribute": None if groups is None else groups.attribute,
            "groups": None if groups is None else list(groups.names),
            "notes": list(material.notes),
        },
        "model": {
            "factory": settings.model.factory,
            "names": parameter_names(model),
            "parameters": sum(layer_sizes(model)),
            "initial_sha256": job.initial_sha256,
        },
        "scoring": {
            "origin": settings.scoring.model_origin,
            "scorers": [{"label": one.label, **one.describe()} for one in job.scorers],
            "steps": numbers.scorer_steps,
            "checkpoints": list(numbers.checkpoints),
        },
        "selection": _selection(job),
        "plan": {
            "rate": numbers.rate,
            "batch": numbers.batch,
            "steps": numbers.steps,
            "release": job.plan.release,
            "events": [event.to_json() for event in job.plan.ledger()],
        },
        "statement": ledger_body(job, job.plan.ledger()),
        "warnings": list(job.warnings),
    }


def local_start_body(job: Job, config_sha256: str) -> dict[str, Any]:
    """Return the first line of the owner's record: facts that only the owner may know."""
    material, wrong = job.material, job.scored.wrong
    parts = (material.train, material.test)
    plan = job.plan
    local = {name: event.to_json() for name, event in plan.arms.items() if not plan.charges(name)}
    if plan.scorer is not None and not plan.charges("scorer"):
        local["scorer"] = plan.scorer.to_json()
    return {
        "config_sha256": config_sha256,
        "records": len(material.train),
        "data_sha256": [sha256_array(part.features, part.labels) for part in parts],
        "wrong": None if wrong is None else int(wrong.sum()),
        "spoilt": job.scored.spoilt,
        "not_released": local,
    }


def ledger_body(job: Job, events: list[PrivacyEvent]) -> dict[str, Any] | None:
    """Return the statement of released events as a record keeps it, None if there are none."""
    statement = job.statement(events)
    return None if statement is None else statement_body(statement)


def _selection(job: Job) -> dict[str, Any] | None:
    if job.selector is None:
        return None
    choice = job.settings.selection
    return {
        "selector": job.selector.name,
        "settings": job.selector.settings(),
        "scorer": job.choosing,
        "stability": job.selector.stability,
        "neighbouring": job.selector.neighbouring,
        "trained": choice.train,
        "split": choice.split,
        "release": choice.release if choice.train else None,
        "repeats": choice.repeats,
    }
