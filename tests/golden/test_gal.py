"""Golden cases of gradient assisted learning: every key of ``gal.json``, from an oracle in NumPy.

In the file "org" means party; org 0 is the sponsor.
"""

from functools import cache
from typing import Any

import numpy as np
import pytest
from golden_cases import load

from equigrad.assistance import (
    LOSSES,
    LocalParties,
    Ridge,
    Settings,
    Training,
    WeighProblem,
    all_rows,
    make_weigher,
    train,
)
from equigrad.assistance.learners import LeastSquares
from equigrad.assistance.privacy import interval_transform, laplace_transform

FILE = "gal.json"
CONTENT = load(FILE)
RTOL = float(CONTENT["tolerance"])
CASES = {case["name"]: case for case in CONTENT["cases"]}
NAMED = pytest.mark.parametrize("name", sorted(CASES))
PRIVACY = CONTENT["privacy"]


def close(got: Any, want: Any, what: str) -> None:
    """Compare within ``tolerance * max(1, |want|)``."""
    got, want = np.asarray(got, dtype=float), np.asarray(want, dtype=float)
    assert got.shape == want.shape, f"{what}: {got.shape}, want {want.shape}"
    gap = np.abs(got - want) - RTOL * np.maximum(1.0, np.abs(want))
    assert (gap <= 0).all(), f"{what}: off by {np.abs(got - want).max()}"


def target_of(case: dict[str, Any], which: str) -> np.ndarray:
    y = np.asarray(case[f"y_{which}"])
    if case["task"] == "classification":
        return np.eye(case["n_classes"])[y.ravel().astype(int)]
    return y.astype(float)


def blocks_of(case: dict[str, Any], which: str) -> dict[str, np.ndarray]:
    return {f"org {m}": np.asarray(x, dtype=float) for m, x in enumerate(case[f"X_{which}"])}


@cache
def run(name: str, scaled: bool = True) -> tuple[Training, LocalParties, list[dict[str, Any]]]:
    """Train as the case says, and keep what each round did."""
    case = CASES[name]
    penalty = float(case["ridge_lambda"])
    learner = (
        Ridge(penalty, scale_residual=scaled) if penalty else LeastSquares(scale_residual=scaled)
    )
    blocks = blocks_of(case, "train")
    parties = LocalParties(blocks, [learner] * len(blocks))
    rate = case["rate"]
    settings = Settings(
        loss=case["overall_loss"],
        init="mean",
        n_rounds=case["n_rounds"],
        weights={"opt": case["local_loss"], "equal": "equal"}[case["weights"]],
        rate=rate if rate == "search" else float(rate),
        stopping="none",
        refit="never",
    ).resolved(classification=case["task"] == "classification")
    seen: list[dict[str, Any]] = []

    def watch(under_way: Any) -> None:
        sponsor = under_way.sponsor
        seen.append({"F": sponsor.track.F.copy(), "residual": sponsor.messages[-1].copy()})

    training = train(parties, target_of(case, "train"), settings, on_round=watch)
    return training, parties, seen


def test_the_file_is_of_the_form_that_is_read_here() -> None:
    assert CONTENT["format"] == "gal-golden-1"
    assert CASES
    assert PRIVACY


@NAMED
@pytest.mark.parametrize("scaled", [True, False])
def test_rounds(name: str, scaled: bool) -> None:
    expected = CASES[name]["expected"]
    training, parties, seen = run(name, scaled)
    close(training.model.start, expected["F0"], "F0")
    close(training.losses[0], expected["train_loss_0"], "train_loss_0")
    assert len(training.rounds) == len(expected["rounds"]) == CASES[name]["n_rounds"]
    held = np.ones_like(parties.held)
    for want, made, was in zip(expected["rounds"], training.rounds, seen, strict=True):
        t = want["t"]
        close(was["residual"], want["residual"], f"residual {t}")
        fits = parties.stated(t)
        for m, learner in enumerate(parties.learners):
            close(learner.coefficients(t), want["local_coef"][m], f"local_coef {t} {m}")
            close(fits[m], want["local_fit"][m], f"local_fit {t} {m}")
            sse = np.mean((was["residual"] - fits[m]) ** 2)
            close(sse, want["local_sse"][m], f"local_sse {t} {m}")
        close(made.weights, want["w"], f"w {t}")
        shares = training.model.shares(t, held)
        mix = sum(shares[:, m, None] * fit for m, fit in enumerate(fits))
        close(mix, want["direction"], f"direction {t}")
        close(made.eta, want["eta"], f"eta {t}")
        close(was["F"], want["F_train"], f"F_train {t}")
        close(made.loss, want["train_loss"], f"train_loss {t}")


@NAMED
def test_predictions(name: str) -> None:
    case = CASES[name]
    expected = case["expected"]
    training, parties, _ = run(name)
    blocks = list(blocks_of(case, "test").values())
    target = target_of(case, "test")
    held = np.ones((len(target), len(blocks)), dtype=bool)

    def outputs(m: int, t: int) -> np.ndarray:
        return parties.learners[m].predict(t, blocks[m])

    stages = list(training.model.staged(outputs, held))
    close(stages, expected["F_test"], "F_test")
    loss = LOSSES[case["overall_loss"]]()
    close([loss.value(target, scores) for scores in stages], expected["test_loss"], "test_loss")
    dropout = expected.get("extension_prediction_dropout")
    for key, mode in (("zero", "zero"), ("renorm", "renormalise")):
        for m, want in enumerate(dropout[key] if dropout else ()):
            got = training.model.scores(outputs, held, absent=[m], mode=mode)
            close(got, want, f"dropout {key} {m}")


@pytest.mark.parametrize(
    "name", sorted(n for n, c in CASES.items() if "w_reference_adam_round1" in c["expected"])
)
def test_the_authors_weights(name: str) -> None:
    expected = CASES[name]["expected"]
    first = expected["rounds"][0]
    fits = np.array([np.ravel(fit) for fit in first["local_fit"]])
    problem = WeighProblem.of(fits, np.ravel(first["residual"]))
    close(make_weigher("reference").weights(problem), expected["w_reference_adam_round1"], "w")


@NAMED
def test_no_step_is_at_its_cap(name: str) -> None:
    training, _, _ = run(name)
    assert not any(made.capped for made in training.rounds)
    np.testing.assert_array_equal(training.rows.fit, all_rows(len(training.F)).fit)


@pytest.mark.parametrize("number", range(len(PRIVACY)))
def test_privacy(number: int) -> None:
    case = PRIVACY[number]
    y = np.asarray(case["y"], dtype=float)
    low, high = np.quantile(y, [0.025, 0.975])
    close(low, case["a"], "a")
    close(high, case["b"], "b")
    if case["kind"] == "dp_laplace":
        scale = (high - low) / case["alpha"]
        close(scale, case["scale"], "scale")
        out = laplace_transform(
            y, case["a"], case["b"], case["scale"], np.asarray(case["unit_laplace"])
        )
        close(out, case["out"], "out")
        return
    assert case["kind"] == "interval"
    uniforms = np.asarray(case["uniforms"], dtype=float)
    assert len(uniforms) == case["n_thresholds"]
    out, lower, upper = interval_transform(y, case["a"], case["b"], uniforms)
    close(out, case["out"], "out")
    close(lower, case["lower"], "lower")
    close(upper, case["upper"], "upper")
