"""Linear softmax models trained on bought gradients, many arms at once.

All arms of a seed meet the same records in the same order; a round is two matrix products over all
models. Neighbours: ``_market_noise`` says what an upload is, ``_market_awards`` what was bought.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from _market_noise import Draws, draw, norms, parts, spreads, unit
from _market_sets import Task

__all__ = ["Arms", "Scores", "fit", "scores"]

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

_BLOCK = 2_000_000  # numbers of a block of logits while models are scored


@dataclass(frozen=True, eq=False)
class Arms:
    """R models of one local mechanism.

    Attributes
    ----------
    mechanism
        Its name; "none-l1" and "none-l2" clip without noise.
    eps, weights
        ``(R, rounds, invited)``: what is sold, and the weights of the uploads.
    step, clip
        ``(R,)``: learning rate, bound (infinite: not clipped).
    """

    mechanism: str
    eps: Float64
    weights: Float64
    step: Float64
    clip: Float64


@dataclass(frozen=True)
class Scores:
    """Accuracy and balanced accuracy of R models, ``(R,)``."""

    accuracy: Float64
    balanced: Float64


def fit(
    found: Task,
    rounds: list[list[Int64]],
    arms: Arms,
    generator: np.random.Generator,
) -> tuple[Float32, Float32]:
    """Train from zero weights; return the last models and the means over the last half of rounds.

    Parameters
    ----------
    found
        The set; parties hold records of its training part.
    rounds
        For each round the records of each invited party.
    arms
        What differs between the models.
    generator
        Draws the noise, which all models share up to its size.

    Returns
    -------
    tuple
        Twice ``(d classes, R)``.
    """
    x, y = found.train
    d, classes, models = x.shape[1], found.classes, len(arms.step)
    noisy = not arms.mechanism.startswith("none")
    spread = spreads(unit(arms.mechanism, d * classes), arms.eps) if noisy else arms.eps
    weights = np.zeros((d * classes, models), np.float32)
    tail, counted = np.zeros_like(weights), 0
    for t, parties in enumerate(rounds):
        rows = np.concatenate(parties)
        sizes = np.array([len(party) for party in parties])
        errors = _errors(x[rows], y[rows], weights, np.repeat(sizes, sizes))
        update = np.zeros_like(weights)
        ahead: list[Float64] = []
        directions: list[Float64] = []
        for p, (end, size) in enumerate(zip(np.cumsum(sizes), sizes, strict=True)):
            own = slice(end - size, end)
            gradient = (x[rows[own]].T @ errors[own].reshape(size, -1)).reshape(weights.shape)
            nothing = Draws(np.zeros(d * classes), np.zeros(2))
            draws = draw(arms.mechanism, d * classes, generator) if noisy else nothing
            side = draws.direction.astype(np.float32) @ gradient
            norm = norms(arms.mechanism, gradient).astype(np.float64)
            at = (arms.clip, spread[:, t, p], arms.eps[:, t, p], draws)
            a, b = parts(arms.mechanism, norm, side, *at)
            if arms.mechanism != "l2-sphere":
                gradient *= (arms.weights[:, t, p] * a).astype(np.float32)
                update += gradient
            ahead.append(arms.weights[:, t, p] * b)
            directions.append(draws.direction)
        if noisy:
            update += np.array(directions, np.float32).T @ np.array(ahead, np.float32)
        weights -= arms.step.astype(np.float32) * update
        if 2 * t >= len(rounds):
            tail += weights
            counted += 1
    return weights, tail / np.float32(counted)


def _logits(x: Float32, weights: Float32) -> Float32:
    """Return ``(n, classes, R)``."""
    d, models = x.shape[1], weights.shape[1]
    return np.asarray((x @ weights.reshape(d, -1)).reshape(len(x), -1, models))


def _errors(x: Float32, y: Int64, weights: Float32, sizes: Int64) -> Float32:
    """Return the derivatives of each record's loss by its logits over its party's size."""
    logits = _logits(x, weights)
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    logits[np.arange(len(y)), y] -= 1.0
    logits /= sizes.astype(np.float32)[:, None, None]
    return logits


def scores(part: tuple[Float32, Int64], weights: Float32, classes: int) -> Scores:
    """Return how the models ``(d classes, R)`` do on features and labels; a tie is wrong."""
    x, y = part
    models = weights.shape[1]
    counts = np.bincount(y, minlength=classes)
    right = np.zeros((classes, models))
    block = max(_BLOCK // (models * classes), 1)
    for first in range(0, len(y), block):
        rows = slice(first, first + block)
        logits = _logits(x[rows], weights)
        at = np.arange(len(logits)), y[rows]
        own = logits[at]
        logits[at] = -np.inf
        hit = own > logits.max(axis=1)
        for c in range(classes):
            right[c] += hit[y[rows] == c].sum(axis=0)
    present = counts > 0
    shares = right[present] / counts[present, None]
    return Scores(right.sum(axis=0) / len(y), shares.mean(axis=0))
