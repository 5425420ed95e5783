"""Input gradients, VOG, PLIS and individual privacy against the golden cases of valuation."""

import numpy as np
import pytest
import torch
from torch import nn
from valuation_cases import cases

from equigrad.valuation import Trajectory, plis_map, score
from equigrad.valuation.context import ScoringContext, scored_rows
from equigrad.valuation.input_gradients import input_gradients
from equigrad.valuation.scorers import IndividualPrivacy, Plis, Vog
from equigrad.valuation.trajectory import PrivateSteps


def tensors(numbers):
    return {k: torch.tensor(v, dtype=torch.float64) for k, v in numbers.items()}


def state_of(checkpoint):
    """Return a golden checkpoint as the state dict of ``network``."""
    given = tensors(checkpoint)
    if "W" in given:
        return {"1.weight": given["W"], "1.bias": given["b"]}
    return {
        "1.weight": given["W1"],
        "1.bias": given["b1"],
        "3.weight": given["W2"],
        "3.bias": given["b2"],
    }


def network(meta):
    d, k, h = meta["d"], meta["n_classes"], meta["hidden"]
    layers = [nn.Flatten(), nn.Linear(d, h or k)]
    if h:
        layers += [nn.Tanh(), nn.Linear(h, k)]
    return nn.Sequential(*layers).double()


def trajectory_of(case):
    dp = case["dp"]
    return Trajectory(
        network(case["meta"]),
        [state_of(checkpoint) for checkpoint in case["checkpoints"]],
        nn.CrossEntropyLoss(),
        origin="private",
        steps=tuple(range(len(case["checkpoints"]))),
        private_steps=PrivateSteps(
            clip=dp["clip"],
            noise_multiplier=dp["noise_multiplier"],
            steps=dp["steps"],
            delta=dp["delta"],
            sampling_rate=dp["sampling_rate"],
        ),
    )


def records(case):
    x = torch.tensor(case.array("X"))
    layout = case["meta"]["layout_chw"]
    if layout:
        x = x.reshape(-1, *layout)
    return x, torch.tensor(case["y"])


def values_of(case, scorer, checkpoints=None):
    trajectory = trajectory_of(case)
    if checkpoints is not None:
        trajectory = trajectory.subset(checkpoints)
    found = score(trajectory, records(case), [scorer], view="local", batch_size=3)
    return found[scorer.label].values


def flat(maps):
    return maps.reshape(len(maps), -1)


VOG = {
    "raw": {},
    "meanvar": {"reduction": "meanvar"},
    "classnorm": {"class_norm": True},
    "chanmean_raw": {"channel_mean": True},
    "chanmean_classnorm": {"channel_mean": True, "class_norm": True},
}


@pytest.mark.parametrize("target", ["logit", "prob"])
@pytest.mark.parametrize("case", cases("input_grad_logit_last", "input_grad_prob_last"))
def test_input_gradients(case, target):
    trajectory = trajectory_of(case)
    context = ScoringContext(trajectory, scored_rows(records(case)), batch_size=4)
    last = len(trajectory) - 1
    with context.opened() as model_pass:
        trajectory.load(last)
        visits = context.visits(model_pass, last, gradients=False)
        got = torch.cat([input_gradients(visit, target) for visit in visits])
    case.check(flat(got.numpy()), f"input_grad_{target}_last")


@pytest.mark.parametrize("form", VOG)
@pytest.mark.parametrize("target", ["logit", "prob"])
@pytest.mark.parametrize("case", cases("vog_logit_raw", "vog_prob_raw"))
def test_vog(case, target, form):
    key = f"vog_{target}_{form}"
    case.raw(key)  # skips where the case has no channels
    case.check(values_of(case, Vog(target=target, **VOG[form])), key)


@pytest.mark.parametrize("reduction", ["l2", "l1"])
@pytest.mark.parametrize("case", cases("plis_l2", "plis_l1"))
def test_plis(case, reduction):
    count = len(case["checkpoints"])
    got = [values_of(case, Plis(reduction), [t]) for t in range(count)]
    case.check(np.stack(got), f"plis_{reduction}")


MAPS = {
    "plis_last": {},
    "plis_share_last": {"share": True},
    "plis_rho_last": {"kind": "rho", "clipped_zero": True},
    "plis_rho_unclipped_last": {"kind": "rho"},
}


@pytest.mark.parametrize("key", MAPS)
@pytest.mark.parametrize("case", cases(*MAPS))
def test_plis_maps(case, key):
    made = plis_map(trajectory_of(case), records(case), view="local", batch_size=3, **MAPS[key])
    case.check(flat(made.maps), key)
    np.testing.assert_array_equal(made.clipped, case.want("grad_norm")[-1] > case["dp"]["clip"])
    np.testing.assert_allclose(made.norms, case.want("grad_norm")[-1], rtol=1e-9)


@pytest.mark.parametrize(
    ("output", "key"), [("rho", "rho_total"), ("mu", "mu_gdp_total"), ("eps", "eps_gdp")]
)
@pytest.mark.parametrize("case", cases("rho_total", "mu_gdp_total", "eps_gdp"))
def test_individual_privacy(case, output, key):
    case.check(values_of(case, IndividualPrivacy(output)), key)
    _, worst = IndividualPrivacy(output).bounds(trajectory_of(case))
    if output == "eps":
        case.check(worst, "eps_worst_case_gdp")
