"""Golden cases of the reward side: reputation, one round, a closed simulation, masks."""

import numpy as np
import pytest
from golden_cases import cases

from equigrad.contribution import RULES as CONTRIBUTION_RULES
from equigrad.contribution import gram
from equigrad.reward import (
    REWARD_RULES,
    PaperMixing,
    Rescale,
    cosines,
    paper_ratio,
    paper_weights,
    take,
)

FILE = "cgsv.json"
MASK_RULES = ("flat", "layer_repo", "layer_fixed")
pytestmark = pytest.mark.filterwarnings("ignore:Tensor .* has one entry:UserWarning")


def parties(n):
    return [f"p{i}" for i in range(n)]


def rewards(rule, aggregate, ratios, layer_sizes):
    masks = REWARD_RULES[rule]().masks(aggregate, ratios, layer_sizes)
    return masks, [take(aggregate, masks, i) for i in range(len(ratios))]


def bounded(deltas, gamma):
    return np.stack([Rescale()(delta, gamma) for delta in deltas])


def cosine(uploads, aggregate):
    scale = np.linalg.norm(uploads, axis=1) * np.linalg.norm(aggregate)
    return np.divide(uploads @ aggregate, scale, out=np.zeros(len(uploads)), where=scale > 0)


@pytest.mark.parametrize("case", cases(FILE, "reputation"))
def test_reputation(case):
    mixing = PaperMixing(case.inputs["alpha"], case.inputs["floor"])
    r_start = case.array("r_start")
    names = parties(r_start.size)
    state = mixing.start(names, r_start)
    r, q = [], []
    for psi in case.array("psi_per_round"):
        state = mixing.update(state, psi, 1.0, names)
        r.append(state.shares(names))
        q.append(paper_ratio(r[-1], beta=case.inputs["beta"]))
    case.check(r, "r_per_round")
    case.check(q, "q_ratio_per_round")


@pytest.mark.parametrize("case", cases(FILE, "round"))
def test_round_up_to_the_ratio(case):
    uploads = bounded(case.array("deltas"), case.inputs["gamma"])
    case.check(uploads, "uploads")
    weights = case.array("aggregation_weights")
    aggregate = weights @ uploads
    case.check(aggregate, "aggregate")
    psi = cosine(uploads, aggregate)
    case.check(psi, "psi")
    exact = CONTRIBUTION_RULES["cgsv-exact"]().value(gram(uploads), weights)
    case.check(exact.values, "exact_cgsv")
    names = parties(len(uploads))
    mixing = PaperMixing(case.inputs["alpha"], case.inputs["floor"])
    state = mixing.update(mixing.start(names, case.array("r_prev")), psi, 1.0, names)
    case.check(state.shares(names), "r")
    case.check(paper_ratio(state.shares(names), beta=case.inputs["beta"]), "q_ratio")
    case.check(case.array("server_model_before") + aggregate, "server_model_after")


@pytest.mark.parametrize("rule", MASK_RULES)
@pytest.mark.parametrize("case", cases(FILE, "round"))
def test_round_rewards(case, rule):
    aggregate, q = case.want("aggregate"), case.want("q_ratio")
    expected = case.expected[rule]
    masks, sparse = rewards(rule, aggregate, q, case.inputs["layer_sizes"])
    if "keep_counts" in expected:
        np.testing.assert_array_equal(masks.counts(), expected["keep_counts"])
    assert [reward.indices.tolist() for reward in sparse] == expected["keep_indices"]
    dense = np.stack([reward.dense() for reward in sparse])
    after = case.array("agent_models_before") + dense
    np.testing.assert_allclose(after, expected["agent_models_after"], rtol=0, atol=case.tolerance)
    if rule == "flat":
        for got, key in [
            (cosines(aggregate, masks), "cos_reward_aggregate"),
            (np.linalg.norm(dense - aggregate, axis=1), "l2_reward_aggregate"),
        ]:
            np.testing.assert_allclose(got, expected[key], rtol=0, atol=case.tolerance)


@pytest.mark.parametrize("case", cases(FILE, "simulation"))
def test_simulation(case):
    inputs = case.inputs
    curvatures, optima = case.array("curvatures"), case.array("optima")
    names = parties(len(curvatures))
    models = np.tile(case.array("w0"), (len(names), 1))
    server = case.array("w0")
    mixing = PaperMixing(inputs["alpha"], inputs["floor"])
    state = mixing.start(names)
    assert len(case.expected["rounds"]) == inputs["rounds"]
    for t, expected in enumerate(case.expected["rounds"]):
        local = models.copy()
        for _ in range(inputs["local_steps"]):
            local -= inputs["local_lr"] * curvatures * (local - optima)
        uploads = bounded(local - models, inputs["gamma"])
        weights = paper_weights(state.shares(names), inputs["data_sizes"], first=t == 0)
        aggregate = weights @ uploads
        psi = cosine(uploads, aggregate)
        state = mixing.update(state, psi, 1.0, names)
        q = paper_ratio(state.shares(names), beta=inputs["beta"])
        masks, sparse = rewards(inputs["mask_mode"], aggregate, q, inputs["layer_sizes"])
        models = models + np.stack([reward.dense() for reward in sparse])
        server = server + aggregate
        for got, key in [
            (weights, "aggregation_weights"),
            (psi, "psi"),
            (state.shares(names), "r"),
            (q, "q_ratio"),
            (masks.counts(), "keep_counts"),
            (models, "agent_models"),
            (server, "server_model"),
        ]:
            np.testing.assert_allclose(
                got, expected[key], rtol=0, atol=case.tolerance, err_msg=f"round {t}, {key}"
            )


@pytest.mark.parametrize("rule", MASK_RULES)
@pytest.mark.parametrize("case", cases(FILE, "mask"))
def test_masks(case, rule):
    aggregate = case.array("aggregate")
    _, sparse = rewards(rule, aggregate, case.array("q_list"), case.inputs["layer_sizes"])
    got = [reward.indices.tolist() for reward in sparse]
    assert got == [row[rule] for row in case.expected["keep_indices"]]
