"""Checking what the record of a private run says of releases: events, steps, epsilon.

Every plan is worked out again from the run file and the declared numbers of records, every
party's steps are counted, and each epsilon is computed anew from the recorded event. The neighbour
:mod:`equigrad.federation.record.verify` walks through the lines.
"""

from collections.abc import Mapping
from typing import Any

from equigrad.errors import PrivacyError
from equigrad.federation.config.schema import PartyConfig, RunConfig
from equigrad.federation.private.plan import Groups, PrivacyPlan, plan_party
from equigrad.federation.private.prepare import start_facts
from equigrad.federation.private.spending import spent_by_party
from equigrad.federation.private.told import Terms, check_told, declared_noise
from equigrad.federation.record.agreement import TOLERANCE, VerifyResult, fault, same
from equigrad.federation.record.canonical import plain
from equigrad.federation.record.chain import Line

__all__ = ["ReleaseChecker"]


class ReleaseChecker:
    """Checks the releases in one record, line by line in order.

    Parameters
    ----------
    config
        The frozen configuration, with a unit of privacy.
    start
        The record's first line.
    bounding
        What bounds uploads under the run's method.
    result
        Where comparisons are counted.
    """

    def __init__(self, config: RunConfig, start: Line, bounding: str, result: VerifyResult) -> None:
        self.config = config
        self.result = result
        self.declared: list[dict[str, Any]] = []
        self._bounding = bounding
        self._size = int(start.body["model"]["parameters"])
        self._facts: Mapping[str, Any] = start.body["privacy"]
        self._plans = self._again(start)
        self._steps = dict.fromkeys(self._plans, 0)
        self._means: dict[str, float] = {}
        same(start, "plans", self._facts, plain(start_facts(config, self._plans)), result)
        limits = {party: plan.limit_steps for party, plan in self._plans.items()}
        for party, most in spent_by_party(self._facts, limits).items():
            budget = self._plans[party].epsilon
            if most > budget * (1 + TOLERANCE):
                raise fault(
                    start, f"expected noise that keeps {party} within {budget!r}, got {most!r}"
                )
            result.count("budgets")

    def standalone(self, line: Line) -> None:
        """Take note of the steps of training alone."""
        same(line, "steps", len(line.body["steps"]), len(line.body["parties"]), self.result)
        for party, steps in zip(line.body["parties"], line.body["steps"], strict=True):
            self._charge(line, party, steps)

    def train(self, line: Line, gamma: float | None) -> None:
        """Check what every admitted party told of its release."""
        body = line.body
        told = body["privacy"]
        same(line, "privacy events", len(told), len(body["parties"]), self.result)
        self.declared = []
        for party, facts, norm in zip(body["parties"], told, body["norms"], strict=True):
            terms = Terms.of(
                self._plans[party],
                self.config.training,
                line.round or 0,
                n_params=self._size,
                bounding="none" if gamma is None else self._bounding,
                gamma=gamma,
            )
            try:
                release = check_told(terms, facts or {}, norm)
            except PrivacyError as error:
                raise fault(line, f"privacy event of {party}: {error}") from error
            self.declared.append(declared_noise(terms, facts or {}))
            if release is not None:
                if release.total < self._steps[party] + release.steps:
                    raise fault(
                        line,
                        f"expected at least {self._steps[party] + release.steps} steps charged to "
                        f"{party}, got {release.total}",
                    )
                self._charge(line, party, release.total)
                self._mean(line, party, release.mean)
                self.result.count("privacy events")

    def finish(self, line: Line) -> None:
        """Compute every party's epsilon again; no more steps than its budget holds."""
        body = line.body["privacy"]
        same(line, "steps", sorted(body["steps"]), sorted(self._plans), self.result)
        for party, steps in body["steps"].items():
            self._charge(line, party, steps)
        again = spent_by_party(self._facts, self._steps)
        same(line, "epsilon", body["epsilon"], again, self.result)

    def _charge(self, line: Line, party: str, steps: int) -> None:
        known, limit = self._steps[party], self._plans[party].limit_steps
        if type(steps) is not int or not known <= steps <= limit:
            raise fault(
                line, f"expected between {known} and {limit} steps charged to {party}, got {steps}"
            )
        self._steps[party] = steps

    def _mean(self, line: Line, party: str, mean: float | None) -> None:
        """Check that a party tells one mean of its scores, which it paid for once."""
        if mean is None:
            return
        known = self._means.setdefault(party, mean)
        if known != mean:
            raise fault(line, f"expected the mean score {known!r} of {party}, got {mean!r}")
        self.result.count("mean scores")

    def _again(self, start: Line) -> dict[str, PrivacyPlan]:
        """Return every party's plan, worked out again from public numbers and the noise."""
        body, privacy = start.body, self.config.privacy
        groups = None
        if privacy.groups is not None:
            groups = Groups(privacy.groups, tuple(self._facts["groups"]))
        particulars = {party.name: party for party in self.config.party}
        plans = {}
        for party, records in zip(body["parties"], body["records"], strict=True):
            facts = self._facts["parties"][party]
            noise, before = facts["event"]["noise_multiplier"], facts.get("selection")
            plans[party] = plan_party(
                self.config,
                particulars.get(party, PartyConfig(name=party)),
                records,
                self._size,
                groups=groups,
                n_classes=len(body["data"]["classes"]) or None,
                scoring_noise=before["events"][0]["noise_multiplier"] if before else None,
                noise_multiplier=noise if privacy.noise_multiplier is None else None,
            )
        return plans
