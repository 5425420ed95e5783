"""Every loss, weigher and learner of gradient assisted learning keeps its contract."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestRegressor
from sklearn.svm import SVR
from torch import nn

from equigrad.assistance import (
    CNN,
    LEARNERS,
    LOSSES,
    LSTM,
    WEIGHERS,
    HistGradientBoosting,
    LeastSquares,
    ReferenceCNN,
    Ridge,
    Schedule,
    SharedLearner,
    SklearnLearner,
    TorchLearner,
    TorchLoss,
)
from equigrad.assistance.losses import L4, L15, Absolute, CrossEntropy, Squared
from equigrad.assistance.weights import (
    Cone,
    Equal,
    Huber,
    LeastAbsolute,
    Quadratic,
    ReferenceAdam,
    TorchWeigher,
    WeighL4,
    WeighL15,
)
from equigrad.testing.assistance import LearnerContract, LossContract, WeigherContract

QUICK = Schedule(epochs=2, batch_size=16, learning_rate=1e-2)


class TestSquared(LossContract):
    def make(self):
        return Squared()


class TestAbsolute(LossContract):
    def make(self):
        return Absolute()


class TestL15(LossContract):
    def make(self):
        return L15()


class TestL4(LossContract):
    def make(self):
        return L4()


class TestCrossEntropy(LossContract):
    def make(self):
        return CrossEntropy()


class TestUsersLoss(LossContract):
    registered = False

    def make(self):
        return TorchLoss(lambda f, y: torch.log(torch.cosh(y - f)).sum(1))

    def n_terms(self):
        return 1.0


class TestUsersClassLoss(LossContract):
    registered = False

    def make(self):
        def logistic(f, y):
            return nn.functional.softplus((1 - 2 * y) * f).sum(1)

        return TorchLoss(logistic, classification=True)


class TestQuadratic(WeigherContract):
    def make(self):
        return Quadratic()

    def objective(self, problem, w):
        return np.sum((problem.residual - w @ problem.fits) ** 2)


class TestCone(WeigherContract):
    def make(self):
        return Cone()

    def objective(self, problem, w):
        mix = w @ problem.fits
        return -(problem.residual @ mix) / np.linalg.norm(mix)


class TestLeastAbsolute(WeigherContract):
    def make(self):
        return LeastAbsolute()

    def objective(self, problem, w):
        return np.abs(problem.residual - w @ problem.fits).sum()


class TestWeighL15(WeigherContract):
    def make(self):
        return WeighL15()

    def objective(self, problem, w):
        return np.sum(np.abs(problem.residual - w @ problem.fits) ** 1.5)


class TestWeighL4(WeigherContract):
    def make(self):
        return WeighL4()

    def objective(self, problem, w):
        return np.sum((problem.residual - w @ problem.fits) ** 4)


class TestHuber(WeigherContract):
    def make(self):
        return Huber()

    def objective(self, problem, w):
        unit = np.sqrt(np.mean(problem.residual**2))
        e = np.abs(problem.residual - w @ problem.fits) / unit
        return np.where(e <= 1.35, 0.5 * e**2, 1.35 * (e - 0.5 * 1.35)).sum()


class TestUsersWeigher(WeigherContract):
    registered = False

    def make(self):
        return TorchWeigher(lambda e: torch.log(torch.cosh(e)))

    def objective(self, problem, w):
        return np.log(np.cosh(problem.residual - w @ problem.fits)).sum()

    @pytest.mark.parametrize("unit", [1e-3, 1.0, 100.0])  # its units are the residual's own
    @pytest.mark.parametrize("n_parties", [1, 2, 5, 12])
    def test_weights_lie_in_the_simplex(self, n_parties, unit):
        super().test_weights_lie_in_the_simplex(n_parties, unit)


class TestEqual(WeigherContract):
    exact = False

    def make(self):
        return Equal()


class TestReferenceAdam(WeigherContract):
    exact = False

    def make(self):
        return ReferenceAdam()


class TestLeastSquares(LearnerContract):
    def make(self):
        return LeastSquares()


class TestRidge(LearnerContract):
    def make(self):
        return Ridge(0.1)


class TestRidgeOfManyColumns(LearnerContract):
    n_columns = 60

    def make(self):
        return Ridge(1e-3, scale_residual=False)


class TestHistGradientBoosting(LearnerContract):
    def make(self):
        return HistGradientBoosting()


class TestSupportVectors(LearnerContract):
    def make(self):
        return SklearnLearner(SVR())


class TestForest(LearnerContract):
    def make(self):
        return SklearnLearner(RandomForestRegressor(n_estimators=3))


class TestNetwork(LearnerContract):
    def make(self):
        def network(n_outputs):
            return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, n_outputs))

        return TorchLearner(network, QUICK)


class TestNetworkWithDropoutAndNorm(LearnerContract):
    def make(self):
        def network(n_outputs):
            return nn.Sequential(
                nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, n_outputs)
            )

        return TorchLearner(network, Schedule(loss="l1.5", epochs=2, clip_norm=1.0))


class TestNetworkOnImages(LearnerContract):
    def make(self):
        def network(n_outputs):
            return nn.Sequential(
                nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(n_outputs)
            )

        return TorchLearner(network, QUICK)

    def rows(self):
        return np.random.default_rng(0).normal(size=(self.n_rows, 1, 5, 4))


class TestCNN(LearnerContract):
    n_rows = 33  # one row would be left over by batches of eight

    def make(self):
        return CNN(Schedule(epochs=2, batch_size=8, one_cycle=True))

    def rows(self):
        return np.random.default_rng(0).normal(size=(self.n_rows, 1, 5, 4))


class TestCNNOnSmallGreyImages(TestCNN):
    def rows(self):
        return np.random.default_rng(0).normal(size=(self.n_rows, 3, 1))


class TestReferenceCNN(TestCNN):
    n_rows = 9

    def make(self):
        return ReferenceCNN(replace(ReferenceCNN.usual, epochs=1), scale_residual=False)


class TestLSTM(LearnerContract):
    def make(self):
        return LSTM(replace(LSTM.usual, epochs=1))

    def rows(self):
        return np.random.default_rng(0).normal(size=(self.n_rows, 4, 2))


class TestSharedRefit(LearnerContract):
    def make(self):
        return SharedLearner(nn.Sequential(nn.Linear(3, 8), nn.ReLU()), "refit", QUICK)


class TestSharedFrozen(LearnerContract):
    def make(self):
        return SharedLearner(nn.Sequential(nn.Linear(3, 8), nn.ReLU()), "frozen", QUICK)


def made(contract):
    found = [v for v in globals().values() if isinstance(v, type) and issubclass(v, contract)]
    return {suite().make().name for suite in found if suite is not contract}


def test_no_strategy_is_left_out():
    assert made(LossContract) >= set(LOSSES)
    assert made(WeigherContract) >= set(WEIGHERS)
    assert made(LearnerContract) >= set(LEARNERS)
