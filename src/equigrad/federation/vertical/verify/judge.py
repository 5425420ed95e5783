"""What follows from a vertical record alone, line by line.

Who was asked and answered, sizes on the wire, weights from inner products, and for squared error
steps and losses. Neighbours: ``last`` judges the last line, ``replay`` needs the sponsor's folder.
"""

from typing import Any, Final

import numpy as np

from equigrad.assistance import make_weigher
from equigrad.assistance.weights import WeighProblem
from equigrad.federation.record.agreement import VerifyResult, fault, same
from equigrad.federation.record.chain import Line
from equigrad.federation.vertical.config.schema import VerticalConfig
from equigrad.federation.vertical.setup import make_settings, task_of
from equigrad.federation.vertical.verify.last import PassRecord, check_finish
from equigrad.federation.vertical.verify.sizes import Sizes

__all__ = ["Judge"]

_BY_PRODUCTS: Final = ("l2", "cone", "equal")


class Judge:
    """Follows a record line by line.

    Parameters
    ----------
    config
        The run file.
    start
        The record's first line.
    result
        Where comparisons are counted.
    """

    def __init__(self, config: VerticalConfig, start: Line, result: VerifyResult) -> None:
        self.config, self.start, self.result = config, start, result
        self.names: list[str] = start.body["parties"]
        self.settings = make_settings(config)
        self.settled, self.finished = 0, False
        self.passes: list[PassRecord] = []
        self.lines: list[Line] = []
        self._due = "align"
        self._common: dict[str, int] = {}
        self._acknowledged: set[str] = set()
        self._answered: set[str] = set()
        self._asked: Line | None = None
        self._attempt = 0
        self._sizes = Sizes(config, task_of(config), int(start.body["n_outputs"]))

    def take(self, line: Line) -> None:
        """Judge one line.

        Raises
        ------
        VerificationError
            If it does not follow.
        """
        if self.finished:
            raise fault(line, "expected nothing after the finish line")
        stage = line.stage
        between = self._due in ("residual", "weigh") and stage in ("residual", "finish")
        if stage != self._due and not between:
            raise fault(line, f"expected the line {self._due!r} here")
        {
            "align": self._align,
            "residual": self._residual,
            "fit": self._fit,
            "weigh": self._weigh,
            "step": self._step,
            "finish": self._finish,
        }[stage](line)
        self.lines.append(line)

    # --- rows and messages ----------------------------------------------------------------------

    def _align(self, line: Line) -> None:
        body = line.body
        same(line, "parties", list(body["common"]), sorted(self.names), self.result)
        same(line, "method", body["method"], self.config.vertical.alignment.method, self.result)
        same(line, "common rows", body["common"][self.names[0]], body["n_rows"], self.result)
        if any(not 0 < count <= body["n_rows"] for count in body["common"].values()):
            raise fault(line, f"expected between 1 and {body['n_rows']} common rows")
        if set(body["masks"]) != set(self.names) or not all(map(is_digest, body["masks"].values())):
            raise fault(line, "expected the SHA-256 of every mask")
        self._common = body["common"]
        if body["method"] == "hmac":
            for name in self.names:
                sizes = self._sizes.alignment(name, body["n_rows"])
                told = [body["sent"][name], body["received"][name]]
                same(line, "bytes", told, list(sizes), self.result)
        self._due = "residual"

    def _residual(self, line: Line) -> None:
        body = line.body
        again = self._due == "weigh"
        if not again and (not self.passes or body["pass"] == self.passes[-1].number + 1):
            self._begin(line)
        now = self.passes[-1]
        same(line, "round", line.round, self.settled, self.result)
        same(line, "pass", body["pass"], now.number, self.result)
        same(line, "t", body["t"], len(now.rounds) + 1, self.result)
        same(line, "attempt", body["attempt"], int(again), self.result)
        if again and (self._attempt or not self._few()):
            raise fault(line, "expected no second asking of this round")
        members = [p for p in self.config.parties if p.present(self.settled)]
        asked = [p.name for p in members if not (again and p.name in self._answered)]
        same(line, "members", body["to"], asked, self.result)
        before = [p.name for p in self.config.parties if p.present(self.settled - 1)]
        here = [p.name for p in members]
        moved = self.settled > 0
        joined = [name for name in here if moved and name not in before]
        left = [name for name in before if moved and name not in here]
        same(line, "members", [body["joined"], body["left"]], [joined, left], self.result)
        told = [name not in self._acknowledged for name in asked]
        same(line, "members", body["told"], told, self.result)
        self._rows(line, now, again=again)
        sizes = [
            self._sizes.request(line, name, rows, told=new)
            for name, rows, new in zip(asked, body["rows"], told, strict=True)
        ]
        same(line, "bytes", body["bytes"], sizes, self.result)
        self._event(line, now, again=again)
        if not is_digest(body["sha256"]):
            raise fault(line, "expected the SHA-256 of the residual")
        if not again:
            self._answered = set()
        self._asked, self._attempt, self._due = line, int(again), "fit"

    def _begin(self, line: Line) -> None:
        number = len(self.passes)
        once_more = (
            self.settings.refit == "auto"
            and not self.config.private
            and self.settings.weigh_on == "train"
        )
        if number > 1 or (number == 1 and not once_more):
            raise fault(line, f"expected no pass {number} with these settings")
        self.passes.append(PassRecord(number))
        self._acknowledged = set()

    def _rows(self, line: Line, now: PassRecord, *, again: bool) -> None:
        """Check the numbers of rows: a party's stay the same in a pass and are ones it holds."""
        rows = dict(zip(line.body["to"], line.body["rows"], strict=True))
        for name, count in rows.items():
            if not 0 < count <= self._common[name]:
                raise fault(line, f"expected between 1 and {self._common[name]} rows of {name!r}")
            same(line, "rows", count, now.rows.setdefault(name, count), self.result)
        if now.number == 1:
            same(line, "rows", rows, {name: self._common[name] for name in rows}, self.result)
        if not again and self.names[0] not in rows:
            raise fault(line, "expected the sponsor among those asked")

    def _event(self, line: Line, now: PassRecord, *, again: bool) -> None:
        """Check that every release, and nothing else, is an event."""
        expected = self._sizes.event(first=not now.rounds, again=again)
        same(line, "privacy events", line.body["event"], expected, self.result)
        if expected is not None:
            now.events.append(expected)

    def _fit(self, line: Line) -> None:
        body, asked = line.body, self._asked
        if asked is None:
            raise fault(line, "expected a residual before its fits")
        same(line, "round", line.round, self.settled, self.result)
        same(line, "pass", body["pass"], asked.body["pass"], self.result)
        heard = [*body["answered"], *body["absent"], *body["refused"]]
        same(line, "members", sorted(heard), sorted(asked.body["to"]), self.result)
        late = [name for name in self.names if body["absent"].get(name) == "deadline"]
        same(line, "members", body["late"], late, self.result)
        same(
            line,
            "members",
            sorted(body["bytes"]),
            sorted([*body["answered"], *body["refused"]]),
            self.result,
        )
        outputs, t = self.start.body["n_outputs"], asked.body["t"]
        for i, name in enumerate(body["answered"]):
            shape = [self._common[name], outputs]
            told = body["shapes"][i]
            if told not in (shape, [t, *shape]):
                raise fault(line, f"expected an answer of {name!r} of shape {shape}, got {told}")
            size = self._sizes.reply(asked, name, told)
            same(line, "bytes", body["bytes"][name], size, self.result)
            if not is_digest(body["sha256"][i]):
                raise fault(line, "expected the SHA-256 of every answer")
        same(line, "members", len(body["sha256"]), len(body["answered"]), self.result)
        self._answered |= set(body["answered"])
        self._acknowledged |= set(body["answered"])
        self._due = "weigh"

    def _few(self) -> bool:
        return len(self._answered - {self.names[0]}) < self.settings.min_parties

    # --- weights and steps ----------------------------------------------------------------------

    def _weigh(self, line: Line) -> None:
        body, now = line.body, self.passes[-1]
        if self._few():
            raise fault(line, "expected the end of training: too few parties answered")
        same(line, "round", line.round, self.settled, self.result)
        same(line, "pass", body["pass"], now.number, self.result)
        same(line, "t", body["t"], len(now.rounds) + 1, self.result)
        rule = make_weigher(self.settings.weights)
        same(line, "rule", body["rule"], rule.name, self.result)
        answered = [name in self._answered for name in self.names]
        same(line, "members", body["answered"], answered, self.result)
        size = now.size or body["n"]
        same(line, "entries", body["n"], size, self.result)
        now.size = size
        own = now.rows[self.names[0]] * self.start.body["n_outputs"]
        if self.settings.weigh_on == "train" or self.config.private:
            same(line, "entries", body["n"], own, self.result)
        for found in [*body.get("again", []), body]:
            self._weights(line, found, rule)
        if "again" in body:
            now.rounds = [dict(found) for found in body["again"]]
        now.open = {k: body[k] for k in ("answered", "H", "c", "w")}
        self._due = "step"

    def _weights(self, line: Line, found: dict[str, Any], rule: Any) -> None:
        """Check weights against the inner products they were found from."""
        answered = np.array(found["answered"], dtype=np.bool_)
        H, c = np.array(found["H"], dtype=np.float64), np.array(found["c"], dtype=np.float64)
        w = np.array(found["w"], dtype=np.float64)
        n = len(self.names)
        if H.shape != (n, n) or c.shape != (n,) or w.shape != (n,):
            raise fault(line, f"expected products and weights of {n} parties")
        same(line, "products", H.tolist(), H.T.tolist(), self.result)
        if w[~answered].any() or H[~answered].any() or H[:, ~answered].any() or c[~answered].any():
            raise fault(line, "expected zeros for parties that did not answer")
        if (w < 0.0).any() or (answered.any() and abs(w.sum() - 1.0) > 1e-9):
            raise fault(line, "expected weights >= 0 of sum 1")
        if rule.name in _BY_PRODUCTS and answered.any():
            inside = np.ix_(answered, answered)
            empty = np.zeros((int(answered.sum()), 0))
            problem = WeighProblem(empty, np.zeros(0), None, H[inside], c[answered])
            again = np.zeros(n)
            again[answered] = rule.weights(problem)
            same(line, "weights", w.tolist(), again.tolist(), self.result)

    def _step(self, line: Line) -> None:
        body, now = line.body, self.passes[-1]
        same(line, "round", line.round, self.settled, self.result)
        same(line, "pass", body["pass"], now.number, self.result)
        same(line, "t", body["t"], len(now.rounds) + 1, self.result)
        opened = now.open
        if self._whole(opened):
            w, H, c = (np.array(opened[k], dtype=np.float64) for k in ("w", "H", "c"))
            same(line, "products", body["gg"], float(w @ H @ w), self.result)
            same(line, "products", body["rg"], float(w @ c), self.result)
        self._eta(line)
        self._losses(line, now)
        now.rounds.append({**opened, **body})
        self.settled += 1
        self._due = "residual"

    def _whole(self, opened: dict[str, Any]) -> bool:
        """Return whether all parties with a weight hold all rows: then no row is renormalised."""
        rows = self._common[self.names[0]]
        used = [name for name, w in zip(self.names, opened["w"], strict=True) if w > 0.0]
        return all(self._common[name] == rows for name in used)

    def _eta(self, line: Line) -> None:
        body, rule = line.body, self.settings.public_rule
        if not self.config.private:
            rule = self.settings.rule
        loss = self.start.body["loss"]
        if not (body["gg"] > 0.0 and body["rg"] > 0.0):
            same(line, "steps", [body["eta"], body["capped"]], [0.0, False], self.result)
        elif not isinstance(rule.rate, str):
            same(line, "steps", body["eta"], rule.rate * rule.shrinkage, self.result)
            same(line, "steps", body["capped"], False, self.result)
        elif loss == "mse" and rule.rate == "search":
            best = 0.5 * body["rg"] / body["gg"]
            eta = min(best, rule.eta_max) * rule.shrinkage
            same(line, "steps", body["eta"], eta, self.result)
            same(line, "steps", body["capped"], best >= rule.eta_max, self.result)

    def _losses(self, line: Line, now: PassRecord) -> None:
        body, loss = line.body, self.start.body["loss"]
        restated = "loss" not in (now.rounds[-1] if now.rounds else {"loss": 0})
        if now.rounds and not restated:
            last = now.rounds[-1]
            same(line, "losses", body["loss_before"], last["loss"], self.result)
            if body["weigh_loss_before"] is not None:
                same(line, "losses", body["weigh_loss_before"], last["weigh_loss"], self.result)
        if self.config.private:
            told = [body["weigh_loss_before"], body["weigh_loss"], body["validation_loss"]]
            same(line, "losses", told, [None, None, None], self.result)
            return
        if body["weigh_loss_before"] is None:
            return
        before, eta = body["weigh_loss_before"], body["eta"]
        if loss == "mse":
            after = before - eta * body["rg"] + eta**2 * body["gg"]
            same(line, "losses", body["weigh_loss"], after, self.result)
            same(line, "losses", body["rr"], 4.0 * before, self.result)
        if self.settings.weigh_on == "train":
            told = [body["loss_before"], body["loss"]]
            same(line, "losses", told, [before, body["weigh_loss"]], self.result)

    def _finish(self, line: Line) -> None:
        same(line, "round", line.round, None, self.result)
        reason = line.body["reason"]
        if (self._due == "weigh") != (reason == "quorum"):
            raise fault(line, f"expected another reason than {reason!r} for the end here")
        check_finish(self.config, self.start, line, self.passes, self.lines, self.result)
        self.finished = True


def is_digest(text: Any) -> bool:
    """Return whether a value is a SHA-256 in hex."""
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")
