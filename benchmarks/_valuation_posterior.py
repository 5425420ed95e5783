"""A scorer for small epsilon: one noisy step at zero, read with its noise in mind.

At theta = 0 softmax regression's full-batch gradient is a sum of class contrasts,
``z = sum_i phi_i (onehot(y_i) - 1/K)^T + s N`` with N standard normal and s known. Under the model
``onehot - 1/K = phi w + noise`` with prior ``w ~ (0, omega I)`` the mean of w given z is, along an
eigenvector of ``S = sum_i phi_i phi_i^T`` of eigenvalue lam,

    omega lam / (omega lam^2 + v lam + s^2) z,        v = (1 - 1/K) / K,

and omega follows from z alone (its likelihood on a grid). Labels enter only through the noisy
step, so the scores reveal no more of others' **labels** than the step does; features of the other
records enter through S and through smoothing, so the scores are pooled and stay with their owner;
with S of public rows and no smoothing they depend on their own record alone. Derived here.
"""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from _valuation_data import Case
from _valuation_train import Preset, noise, train

__all__ = ["agreement_of_labels", "centred_unit", "posterior_scores"]

Array = npt.NDArray[np.float64]

BIAS, WAVES, RANDOM_FEATURES, NEIGHBOURS = 0.2, 0.5, 500, 10


def centred_unit(case: Case) -> tuple[Array, Array]:
    """Return training and validation rows of length 1, centred by public figures.

    Images by the mean of the public validation images; standardised tables are centred already.
    """
    rows, held = (part[0].double().numpy() for part in (case.train, case.validation))
    centre = held.mean(0) if case.name == "mnist" else np.zeros(case.width)
    return _unit(rows - centre), _unit(held - centre)


def _unit(rows: Array) -> Array:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))


def _features(case: Case, seed: int) -> tuple[Array, Array]:
    """Return rows of length 1, of the records and of the public validation set.

    The record, a constant, random waves at a public bandwidth.
    """
    rows, held = centred_unit(case)
    squared = 2 - 2 * held @ held.T
    bandwidth = math.sqrt(float(np.median(squared[squared > 1e-6])))
    rng = np.random.default_rng([seed, 26])
    frequencies = rng.standard_normal((rows.shape[1], RANDOM_FEATURES)) / bandwidth

    def made(part: Array) -> Array:
        angles = part @ frequencies
        waves = np.concatenate([np.cos(angles), np.sin(angles)], 1) / math.sqrt(RANDOM_FEATURES)
        return _unit(np.concatenate([WAVES * waves, part, np.full((len(part), 1), BIAS)], axis=1))

    return made(rows), made(held)


def _no_bias(case: Case) -> nn.Module:
    model = nn.Linear(case.width, case.n_classes, bias=False)
    nn.init.zeros_(model.weight)
    return model


def posterior_scores(case: Case, epsilon: float, seed: int) -> dict[str, Array]:
    """Return suspicion by the posterior mean, in three forms.

    With S of the scored records; the same, averaged with that of ten neighbours; and with S of
    the public validation set alone, where a score depends on its own record and z only.
    """
    (phi, public), k = _features(case, seed), case.n_classes
    n, clip = len(phi), math.sqrt(1 - 1 / k)
    step = Preset(1.0, 1, 1, 1.0, 1.0)
    rows = (torch.from_numpy(phi.astype(np.float32)), case.train[1])
    sigma = noise(epsilon, 1.0, 1)
    run = train(replace(case, train=rows), _no_bias, step, epsilon, seed, clip=clip)
    z = n * run.states[-1]["weight"].double().numpy().T
    told = {"z": z, "noise_std": sigma * clip, "v": (1 - 1 / k) / k}
    mean = _posterior_mean(phi, phi, **told)
    near = _nearest(case)
    return {
        "posterior, record form": _margin(_posterior_mean(phi, public, **told), case),
        "posterior": _margin(mean, case),
        "posterior, smoothed": _margin(mean + mean[near[:, :NEIGHBOURS]].mean(1), case),
    }


def _posterior_mean(phi: Array, others: Array, z: Array, noise_std: float, v: float) -> Array:
    """Return ``(n, K)`` predicted contrasts of the records, with S of the rows ``others``."""
    lam, left = np.linalg.eigh(others @ others.T * (len(phi) / len(others)))
    kept = lam > 1e-6 * lam[-1]
    lam, vectors = lam[kept], others.T @ left[:, kept]
    vectors /= np.linalg.norm(vectors, axis=0)
    along = vectors.T @ z
    energy = (along**2).sum(1)

    def misfit(omega: float) -> float:
        variance = omega * lam**2 + v * lam + noise_std**2
        return float(np.sum(z.shape[1] * np.log(variance) + energy / variance))

    omega = min(np.exp(np.linspace(math.log(1e-6), math.log(1e4), 200)), key=misfit)
    shrink = omega * lam / (omega * lam**2 + v * lam + noise_std**2)
    return np.asarray((phi @ vectors) @ (shrink[:, None] * along))


def _margin(predicted: Array, case: Case) -> Array:
    """Return the best other class's prediction less the given label's."""
    at, labels = np.arange(len(predicted)), case.train[1].numpy()
    others = predicted.copy()
    others[at, labels] = -np.inf
    return np.asarray(others.max(1) - predicted[at, labels])


def _nearest(case: Case, count: int = 20) -> npt.NDArray[np.int64]:
    """Return each record's nearest others by the angle between rows."""
    rows, _ = centred_unit(case)
    likeness = rows @ rows.T
    np.fill_diagonal(likeness, -np.inf)
    return np.argsort(-likeness, axis=1, kind="stable")[:, :count]


def agreement_of_labels(case: Case) -> Array:
    """Return minus the share of the 20 nearest records with the same given label.

    It reads the others' labels as they are, without noise, as KNN-Shapley does.
    """
    labels = case.train[1].numpy()
    return np.asarray(-(labels[_nearest(case)] == labels[:, None]).mean(1), dtype=np.float64)
