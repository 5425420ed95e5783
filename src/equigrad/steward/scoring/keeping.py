"""The third stage: which records are kept; charged once, however often it is begun.

A private selector's key is on the disk before anything is charged under its fingerprint, so a
stage that was killed repeats the same choice with the same noise and finds its charge.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.federation.streams import stream_seed
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.noise import NoiseKey
from equigrad.steward.scoring.job import Job
from equigrad.steward.scoring.places import write_private
from equigrad.steward.scoring.table import scores_digest
from equigrad.valuation import ScoreSet
from equigrad.valuation.release import Slots
from equigrad.valuation.select import KeepRates, Selection, keep_rates

__all__ = ["chosen_by", "selection_body"]

_TO_NOBODY = "Charged to no account"


@dataclass(frozen=True)
class _Coins:
    """A selection's key, its name in an account, and whether it was begun before."""

    key: NoiseKey
    name: str
    again: bool


def chosen_by(
    job: Job, scores: ScoreSet, key_file: Path, account: PrivacyAccount | None
) -> Selection | None:
    """Return the selection, None if nobody chooses.

    Parameters
    ----------
    job, scores
        Who chooses, by which scores.
    key_file
        Where the selection's key is kept until its outcome is safe.
    account
        Where it is charged, or None.

    Raises
    ------
    BudgetExceededError
        If the account refuses; nothing was drawn then.
    """
    if job.selector is None:
        return None
    coins = _coins(job, key_file)
    event = job.selector.event(scores, seeded=not coins.key.private)
    if event is not None and account is not None:
        charged = {entry.label for entry in account.entries()}
        if coins.name not in charged:
            account.charge(event, label=coins.name)
    return job.selector.select(
        scores, key=coins.key, account="none", slots=_slots(job), again=coins.again
    )


def selection_body(job: Job, selection: Selection) -> dict[str, Any]:
    """Return the owner's line of a selection: everything, the number of records kept included."""
    material = job.material
    rates = {"class": _rates(selection.kept, material.dataset.labels, material.classes)}
    groups, of_label = material.groups, ("label", job.settings.data.label)
    if groups is not None and groups.attribute not in of_label:
        rates[groups.attribute] = _rates(selection.kept, groups.train.numpy(), groups.names)
    told = [text for text in selection.warnings if not text.startswith(_TO_NOBODY)]
    told += [text for found in rates.values() for text in found.warnings]
    return {
        "selection": selection.to_json(),
        "kept": int(selection.kept.sum()),
        "records": len(selection),
        "sha256": scores_digest(selection.kept),
        "rates": {name: _rates_body(found) for name, found in rates.items()},
        "warnings": list(dict.fromkeys(told)),
    }


def _coins(job: Job, key_file: Path) -> _Coins:
    """Return the selection's key: that of the file, or a new one that is put there first."""
    again = key_file.exists()
    if job.seeded:
        key = NoiseKey.test(stream_seed(job.settings.seed, "rehearsal of the selection") >> 1)
    elif again:
        key = NoiseKey.from_bytes(key_file.read_bytes())
    else:
        key = NoiseKey.secret()
        write_private(key_file, key.to_bytes())
    return _Coins(key, f"{job.settings.name}: selection {key.fingerprint[:16]}", again)


def _slots(job: Job) -> Slots | None:
    """Return the public slots of the records, where more than there are records were declared."""
    records, declared = len(job.material.train), job.numbers.records
    return None if declared < records else Slots(declared, np.arange(records))


def _rates(
    kept: npt.NDArray[np.bool_], groups: npt.NDArray[Any], names: tuple[str, ...]
) -> KeepRates:
    return keep_rates(kept, groups, names)


def _rates_body(found: KeepRates) -> dict[str, Any]:
    return {
        "names": list(found.names),
        "kept": found.kept.tolist(),
        "total": found.total.tolist(),
        "rates": [None if np.isnan(rate) else float(rate) for rate in found.rates],
        "ratio": None if np.isnan(found.ratio) else found.ratio,
    }
