"""The real method and the oracle on the same uploads, every recorded number compared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from robust_oracle import RobustOracle, Verdict
from simulated import line

from equigrad.federation.config.presets import PRESETS, CgsvSettings
from equigrad.federation.methods.base import Intake, Settlement, Terms
from equigrad.federation.methods.cgsv import Cgsv
from equigrad.federation.record.canonical import decode_matrix

Float32 = npt.NDArray[np.float32]
SIZES = (1100, 300, 100)
D = sum(SIZES)  # above the least number of parameters of the third audit
NAMES = tuple(f"p{i}" for i in range(10))
ROBUST = replace(PRESETS["robust"], gamma=1.0, gamma_end=0.5, clear_after=3)
NEAR = 1e-9
SINGLE = 1e-5  # where sums pass through float32


@dataclass(frozen=True)
class Scene:
    """What a plan of uploads may look at: the round, who uploads, rewards, the bound."""

    t: int
    party: str
    rewards: Mapping[str, Float32]
    gamma: float

    @property
    def reward(self) -> Float32:
        """The party's own last reward, zeros if it has none."""
        return self.rewards.get(self.party, np.zeros(D, np.float32))

    @property
    def draws(self) -> np.random.Generator:
        return np.random.default_rng([self.t, NAMES.index(self.party), 7])

    def towards(self, length: float, spread: float = 1.0) -> Float32:
        """Return an honest upload: the round's common direction and something of its own."""
        common = np.random.default_rng([self.t, 99]).standard_normal(D)
        return scaled(common + spread * self.draws.standard_normal(D), length)

    def random(self, length: float) -> Float32:
        return scaled(self.draws.standard_normal(D), length)


def scaled(vector: npt.NDArray[Any], length: float) -> Float32:
    result: Float32 = (vector * (length / np.linalg.norm(vector))).astype(np.float32)
    return result


Noise = Mapping[str, Any]
Upload = tuple[Float32, Noise]
Plan = Callable[[Scene], Upload | Float32 | None]


@dataclass
class SideBySide:
    """The real method and the oracle, round after round on the same uploads."""

    settings: CgsvSettings
    plan: Plan
    rounds: int
    since: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, -1))
    rewards: dict[str, Float32] = field(default_factory=dict)
    models: dict[str, Float32] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)

    def __post_init__(self) -> None:
        initial = np.random.default_rng(0).standard_normal(D).astype(np.float32)
        terms = Terms(
            seed=1,
            rounds=self.rounds,
            parties=NAMES,
            layer_sizes=SIZES,
            names=("hidden", "out.weight", "out.bias"),
            shapes=((1100,), (3, 100), (100,)),
            initial=torch.from_numpy(initial.copy()),
            settings=self.settings,
        )
        self.method, self.oracle = Cgsv(terms), RobustOracle(self.settings, D)
        self.models = {p: initial.astype(np.float64) for p in NAMES}
        self.model = initial.astype(np.float64)

    def gamma(self, t: int) -> float:
        return float(self.settings.gamma * self.settings.gamma_end ** (t / (self.rounds - 1)))

    def play(self, t: int, members: Sequence[str]) -> tuple[Settlement, Verdict]:
        """Play one round and compare everything that follows from it."""
        gamma = self.gamma(t)
        assert self.method.plan(t).gamma == pytest.approx(gamma, rel=1e-12)
        uploads: dict[str, Float32] = {}
        noise: dict[str, Noise] = {}
        for p in members:
            made = self.plan(Scene(t, p, self.rewards, gamma))
            if made is not None:
                uploads[p], noise[p] = made if isinstance(made, tuple) else (made, {})
        intake = Intake(
            round=t,
            members=tuple(members),
            parties=tuple(uploads),
            uploads=tuple(torch.from_numpy(u) for u in uploads.values()),
            records=(10,) * len(uploads),
            gamma=gamma,
            noise=tuple(noise.values()),
        )
        owed = {p: self.oracle.memory.rewards.get(p) for p in uploads}
        settlement = self.method.settle(intake)
        exact = {p: u.astype(np.float64) for p, u in uploads.items()}
        declared = {p: (str(n["kind"]), float(n["variance"])) for p, n in noise.items() if n}
        verdict = self.oracle.judge(t, members, exact, declared, gamma)
        same_evidence(line(settlement, "appraise"), exact, owed)
        same_appraisal(line(settlement, "appraise"), verdict, members)
        same_rewards(line(settlement, "reward"), verdict)
        self._deliver(t, verdict)
        self._same_models(line(settlement, "settle"), verdict, members)
        self.verdicts.append(verdict)
        return settlement, verdict

    def _deliver(self, t: int, verdict: Verdict) -> None:
        """Deliver to those who were there, as in the round's next exchange."""
        for p, owed in verdict.rewards.items():
            delivery = self.method.delivery(p, self.since[p])
            assert (delivery is not None) == bool(owed.any())
            if delivery is not None:
                got = delivery.increment(D).numpy()
                assert delivery.round == t
                assert np.flatnonzero(got).tolist() == verdict.kept[p]
                np.testing.assert_allclose(got, owed, rtol=SINGLE, atol=0)
                self.since[p], self.rewards[p] = t, got
                self.models[p] = self.models[p] + got

    def _same_models(
        self, settle: Mapping[str, Any], verdict: Verdict, members: Sequence[str]
    ) -> None:
        self.model = self.model + verdict.aggregate
        length = float(np.linalg.norm(verdict.aggregate))
        assert settle["aggregate_norm"] == pytest.approx(length, rel=SINGLE)
        np.testing.assert_allclose(self.method.model().numpy(), self.model, rtol=0, atol=SINGLE)
        for p in members:
            away = np.linalg.norm(self.models[p] - self.model) / np.linalg.norm(self.model)
            assert settle["drift"][p] == pytest.approx(away, abs=SINGLE)


def same_evidence(
    body: Mapping[str, Any],
    uploads: Mapping[str, npt.NDArray[np.float64]],
    rewards: Mapping[str, npt.NDArray[np.float64] | None],
) -> None:
    """Compare C, H and V with the vectors themselves."""
    C = [[float(u @ w) for w in uploads.values()] for u in uploads.values()]
    held = [np.zeros(D) if r is None else r for r in rewards.values()]
    H = [[float(r @ u) for u in uploads.values()] for r in held]
    np.testing.assert_allclose(decode_matrix(body["C"]), C, rtol=0, atol=NEAR)
    np.testing.assert_allclose(decode_matrix(body["H"]), H, rtol=0, atol=SINGLE)
    for recorded, reward in zip(body["V"], held, strict=True):
        assert recorded == (
            pytest.approx(float(reward @ reward), rel=SINGLE) if reward.any() else None
        )


def same_appraisal(body: Mapping[str, Any], verdict: Verdict, members: Sequence[str]) -> None:
    present = list(verdict.caps)
    assert body["parties"] == present
    assert body["members"] == list(members)
    assert body["excluded"] == verdict.excluded
    found = {
        "caps": verdict.caps,
        "aggregation_weights": verdict.weights,
        "value_weights": verdict.value_weights,
        "values": verdict.values,
    }
    for key, expected in found.items():
        assert body[key] == near([expected[p] for p in present]), key
    standing = {"A": verdict.earned, "B": verdict.attended, "r": verdict.reputation}
    for key, expected in standing.items():
        assert body[key] == near([expected[p] for p in members]), key
    assert body["kappa"] == near(verdict.kappa)
    assert body["degenerate_share"] == near(verdict.degenerate)
    if verdict.trust is None:
        assert body["trust"] is None
    else:
        assert body["trust"]["snr"] == pytest.approx(verdict.trust[0], rel=NEAR)
        assert body["trust"]["level"] == verdict.trust[1]
    same_audit(body["audit"], verdict, present)
    assert body["flags"] == body["audit"]["flags"]


def same_audit(body: Mapping[str, Any], verdict: Verdict, present: Sequence[str]) -> None:
    audit = verdict.audit
    assert body["parties"] == list(present)
    for key in ("echo", "clone", "alignment", "news"):
        assert body[key] == pytest.approx([audit.table[p][key] for p in present], abs=SINGLE), key
    assert body["streak"] == [audit.streaks[p] for p in present]
    assert body["groups"] == audit.groups
    assert body["not_testable"] == audit.untested
    assert [(hit["party"], hit["kind"]) for hit in body["hits"]] == audit.hits
    flags = {(flag["party"], flag["kind"]): flag for flag in body["flags"]}
    assert list(flags) == sorted(verdict.flags)
    for flag, facts in verdict.flags.items():
        recorded = {name: flags[flag][name] for name in facts}
        assert recorded == pytest.approx(facts, abs=SINGLE), flag


def same_rewards(body: Mapping[str, Any], verdict: Verdict) -> None:
    present = list(verdict.caps)
    assert body["parties"] == present
    assert body["s"] == near([verdict.sharpened[p] for p in present])
    assert body["q"] == near([verdict.ratios[p] for p in present])
    counts = [len(verdict.kept[p]) for p in present]
    assert [sum(kept) for kept in body["kept"]] == counts
    assert body["share"] == near([count / D for count in counts])
    length = float(np.linalg.norm(verdict.aggregate))
    norms = [float(np.linalg.norm(verdict.rewards[p])) for p in present]
    assert body["cos"] == pytest.approx(
        [norm / length if length else 0 for norm in norms], abs=SINGLE
    )
    digests = [digest is not None for digest in body["digests"]]
    assert digests == [bool(verdict.rewards[p].any()) for p in present]


def near(expected: Any) -> Any:
    return pytest.approx(expected, abs=NEAR, rel=NEAR)
