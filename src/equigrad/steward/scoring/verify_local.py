"""Verification of the owner's part: digests, the selection from the scores, the verdict."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from equigrad.errors import VerificationError
from equigrad.federation.record.agreement import VerifyResult, fault, same
from equigrad.federation.record.canonical import sha256_file
from equigrad.federation.record.chain import Line
from equigrad.steward.config import ScoreSettings
from equigrad.steward.scoring.places import ScorePlaces
from equigrad.steward.scoring.table import KEPT, read_table, restored, scores_digest
from equigrad.valuation.select import make_selector

__all__ = ["LocalWalk"]

Body = Mapping[str, Any]


class LocalWalk:
    """Follows the owner's record line by line.

    Parameters
    ----------
    places, settings
        Of the scoring.
    start, shared_finish
        First and last line of the shared record; the last may be missing.
    result
        Where checks are counted.
    """

    def __init__(
        self,
        places: ScorePlaces,
        settings: ScoreSettings,
        start: Body,
        shared_finish: Body,
        result: VerifyResult,
    ) -> None:
        self.places, self.settings = places, settings
        self.start, self.shared, self.result = start, shared_finish, result
        self.finished = False
        self._scores: Body = {}
        self._arms: dict[str, Body] = {}
        self._frame: pd.DataFrame | None = None

    def take(self, line: Line) -> None:
        """Check one line."""
        if (line.index == 0) != (line.stage == "start") or self.finished:
            raise fault(line, "expected one start line, the first, and one finish line, the last")
        check = {
            "start": self._begun,
            "model": self._model,
            "scores": self._scored,
            "selection": self._selected,
            "trained": self._trained,
            "removal": lambda _: None,
            "finish": self._ended,
        }.get(line.stage)
        if check is None:
            raise fault(line, "expected a stage that a scoring has")
        check(line)

    def _begun(self, line: Line) -> None:
        same(
            line,
            "settings",
            line.body["config_sha256"],
            self.start["config_sha256"],
            self.result,
        )

    def _model(self, line: Line) -> None:
        if self.settings.scoring.checkpoint_folder is not None:
            return  # they lie where the user keeps them
        for one in line.body["checkpoints"]:
            self._file(self.places.checkpoints / one["file"], one["sha256"], "checkpoints")

    def _scored(self, line: Line) -> None:
        self._scores = line.body["scorers"]
        self._frame = read_table(self.places)
        for label, body in self._scores.items():
            values = self._frame[label].to_numpy(dtype=np.float64)
            if scores_digest(values) != body["sha256"]:
                raise VerificationError(
                    f"{self.places.scores}: expected the scores of {label} that were written, got "
                    "others; they were changed."
                )
            self.result.count("scores", len(values))

    def _selected(self, line: Line) -> None:
        """Choose again from the scores, where no coins were tossed."""
        body, chosen = line.body, line.body["selection"]
        frame = read_table(self.places) if self._frame is None else self._frame
        kept = frame[KEPT].to_numpy(dtype=bool)
        if scores_digest(kept) != body["sha256"] or int(kept.sum()) != body["kept"]:
            raise VerificationError(
                f"{self.places.scores}: expected the selection that was written, got another."
            )
        options = {k: v for k, v in chosen["settings"].items() if v is not None}
        selector = make_selector(chosen["selector"], **options)
        if selector.tosses and not chosen["released"]:
            return  # coins are gone with their key
        label = self.start["selection"]["scorer"]
        scores = restored(
            self._scores[label],
            frame[label].to_numpy(dtype=np.float64),
            public_validation=self.settings.scoring.public_validation,
        )
        if selector.tosses:
            if "threshold" not in chosen["released"]:
                return
            given = {k: v for k, v in options.items() if k == "direction"}
            threshold = chosen["released"]["threshold"]
            selector = make_selector("fixed-threshold", threshold=threshold, **given)
        again = selector.select(scores, account="none")
        if not np.array_equal(again.kept, kept):
            raise fault(line, "expected the records that the selector chooses by these scores")
        self.result.count("records chosen again", len(kept))

    def _trained(self, line: Line) -> None:
        body = line.body
        self._arms[f"{body['arm']} {body['repeat']}"] = body
        self._file(self.places.models / body["file"], body["sha256"], "models of the owner")

    def _file(self, path: Any, recorded: str, what: str) -> None:
        found = sha256_file(path) if path.is_file() else "no such file"
        if found != recorded:
            raise VerificationError(
                f"{path}: expected the file with SHA-256 {recorded[:12]}..., got {found[:12]}."
            )
        self.result.count(what)

    def _ended(self, line: Line) -> None:
        body = line.body
        self.finished = True
        if self.shared:
            same(line, "released arm", body["released"], self.shared["released"], self.result)
        found = body["comparison"]
        if found is None:
            return
        for arm in ("selected", "baseline"):
            each = [
                b["test"]["overall"]["accuracy"] for b in self._arms.values() if b["arm"] == arm
            ]
            same(line, f"accuracy, {arm}", found[arm], float(np.mean(each)), self.result)
        gap = found["selected"] - found["baseline"]
        same(line, "difference", found["difference"], gap, self.result)
        low, high = found["interval"]
        verdict = "no difference"
        if low > 0 or high < 0:
            verdict = "selected better" if low > 0 else "baseline better"
        same(line, "verdict", found["verdict"], verdict, self.result)
        if body["released"] is not None and self.shared:
            model = self._arms[f"{body['released']} 0"]["sha256"]
            same(
                line,
                "released model",
                self.shared["models"]["model.safetensors"],
                model,
                self.result,
            )
