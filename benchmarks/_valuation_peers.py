"""The peers of part ``opendataval``, run by the interpreter that has them: pyDVL 0.10.

A script of its own, since pyDVL 0.10 needs NumPy below 2. Files are exchanged by name:

    peers/bin/python _valuation_peers.py METHOD INPUT.npz OUTPUT.npz CPU_SECONDS SEED

INPUT has the arrays x, y, x_val, y_val; OUTPUT gets values (n,), higher = more valuable, the CPU
seconds spent and, of a sampled method, how many rounds were made.
"""

import sys
import time
import warnings
from typing import Any

import numpy as np

warnings.simplefilter("ignore")  # pyDVL 0.10 warns of its own dependencies' future

Arrays = dict[str, Any]


def knn_shapley(data: Arrays, budget: float, seed: int) -> tuple[np.ndarray, int]:
    """Return KNN-Shapley values of 10 neighbours."""
    from pydvl.valuation import KNNShapleyValuation
    from sklearn.neighbors import KNeighborsClassifier

    train, held = _sets(data)
    valuation = KNNShapleyValuation(KNeighborsClassifier(10), held, progress=False)
    return valuation.fit(train).result.values, 0


def data_oob(data: Arrays, budget: float, seed: int) -> tuple[np.ndarray, int]:
    """Return Data-OOB values of 100 bagged decision trees."""
    from pydvl.valuation import DataOOBValuation
    from sklearn.ensemble import BaggingClassifier
    from sklearn.tree import DecisionTreeClassifier

    train, _ = _sets(data)
    bag = BaggingClassifier(DecisionTreeClassifier(), 100, random_state=seed)
    bag.fit(data["x"], data["y"])
    return DataOOBValuation(bag).fit(train).result.values, 100


def tmc_shapley(data: Arrays, budget: float, seed: int) -> tuple[np.ndarray, int]:
    """Return truncated Monte Carlo Shapley values of a logistic regression's accuracy.

    It stops when the CPU seconds are spent, at the end of a record's update.
    """
    from pydvl.utils.status import Status
    from pydvl.valuation import (
        ModelUtility,
        RelativeTruncation,
        StoppingCriterion,
        SupervisedScorer,
        TMCShapleyValuation,
    )
    from sklearn.linear_model import LogisticRegression

    class Spent(StoppingCriterion):
        """Done when this process has used its CPU seconds."""

        def _check(self, result: Any) -> Any:
            done = time.process_time() - start > budget
            return Status.Converged if done else Status.Pending

        def completion(self) -> float:
            return min(1.0, (time.process_time() - start) / budget)

    start = time.process_time()
    train, held = _sets(data)
    scorer = SupervisedScorer("accuracy", held, default=0.0, range=(0, 1))
    utility = ModelUtility(LogisticRegression(max_iter=100), scorer, show_warnings=False)
    valuation = TMCShapleyValuation(
        utility, RelativeTruncation(rtol=0.05), Spent(), seed=seed, show_warnings=False
    )
    result = valuation.fit(train).result
    return result.values, int(np.mean(result.counts))


def influence(data: Arrays, budget: float, seed: int) -> tuple[np.ndarray, int]:
    """Return mean influences on the validation loss of a fitted logistic regression."""
    import torch
    from pydvl.influence.torch import DirectInfluence
    from sklearn.linear_model import LogisticRegression

    x, x_val = (torch.tensor(data[k], dtype=torch.float64) for k in ("x", "x_val"))
    y, y_val = (torch.tensor(data[k], dtype=torch.int64) for k in ("y", "y_val"))
    fitted = LogisticRegression(max_iter=200).fit(data["x"], data["y"])
    model = torch.nn.Linear(x.shape[1], 2, dtype=torch.float64)
    with torch.no_grad():  # softmax of (-s/2, s/2) is the logistic of s
        half = torch.tensor(np.concatenate([-fitted.coef_, fitted.coef_]) / 2)
        model.weight.copy_(half)
        model.bias.copy_(torch.tensor(np.concatenate([-fitted.intercept_, fitted.intercept_]) / 2))
    batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=100)
    direct = DirectInfluence(model, torch.nn.functional.cross_entropy, regularization=0.01)
    found = direct.fit(batches).influences(x_val, y_val, x, y)
    return found.mean(0).detach().numpy(), 0


METHODS = {
    "knn-shapley": knn_shapley,
    "data-oob": data_oob,
    "tmc-shapley": tmc_shapley,
    "influence": influence,
}


def _sets(data: Arrays) -> tuple[Any, Any]:
    from pydvl.valuation import Dataset

    return Dataset(data["x"], data["y"]), Dataset(data["x_val"], data["y_val"])


def main() -> None:
    method, source, target, budget, seed = sys.argv[1:]
    data = dict(np.load(source))
    METHODS[method](_few(data), 0.1, int(seed))  # imports and first calls are nobody's time
    start = time.process_time()
    values, rounds = METHODS[method](data, float(budget), int(seed))
    spent = time.process_time() - start
    np.savez(target, values=np.asarray(values, float), seconds=spent, rounds=rounds)


def _few(data: Arrays) -> Arrays:
    """Return some records of both classes."""
    first = np.concatenate([np.flatnonzero(data["y"] == k)[:20] for k in (0, 1)])
    return data | {"x": data["x"][first], "y": data["y"][first]}


if __name__ == "__main__":
    main()
