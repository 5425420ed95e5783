"""The library's local mechanisms, on the gradients of many models at once.

An upload is ``a g + b z``: g the gradient, z a direction that all models of a party and round
share (so arms differ by what they do, not by luck), a and b numbers of each model. ``check``
compares these with the library's own ``release`` on replayed draws.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from equigrad.market.local import Gaussian, L2Sphere, Laplace, LocalMechanism

__all__ = ["DELTA", "MECHANISMS", "Draws", "check", "draw", "norms", "parts", "spreads", "unit"]

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

DELTA = 1e-6
MECHANISMS = ("laplace", "l2-sphere", "gaussian")


class Draws(NamedTuple):
    """One party's numbers of a round: a direction ``(dim,)``, and two for a sphere's sign."""

    direction: Float64
    chance: Float64


def unit(name: str, dim: int, bound: float = 1.0) -> LocalMechanism:
    """Return the library's mechanism."""
    if name == "laplace":
        return Laplace(bound=bound, dim=dim)
    if name == "l2-sphere":
        return L2Sphere(bound=bound, dim=dim)
    return Gaussian(bound=bound, dim=dim, delta=DELTA)


def draw(name: str, dim: int, source: Any) -> Draws:
    """Draw in the order of the library's mechanism."""
    if name == "laplace":
        size = -np.log1p(-source.random(dim))
        return Draws(np.where(source.random(dim) < 0.5, -size, size), np.zeros(2))
    direction = source.standard_normal(dim)
    if name == "gaussian":
        return Draws(direction, np.zeros(2))
    return Draws(direction / np.linalg.norm(direction), source.random(2))


def spreads(mechanism: LocalMechanism, eps: Float64) -> Float64:
    """Return b at the bound of the mechanism for each epsilon; 1 at 0, where nothing is sent."""
    each, inverse = np.unique(eps, return_inverse=True)
    size = {"laplace": "scale", "l2-sphere": "radius", "gaussian": "deviation"}[mechanism.name]
    found = [getattr(mechanism, size)(e) if e else 1.0 for e in each.tolist()]
    return np.array(found)[inverse].reshape(eps.shape)


def norms(name: str, gradient: Float32) -> Float32:
    """Return the norm that the mechanism clips, of gradients ``(dim, models)``."""
    if name in ("laplace", "none-l1"):
        return np.asarray(np.abs(gradient).sum(axis=0))
    return np.sqrt(np.einsum("jr,jr->r", gradient, gradient))


def parts(
    name: str,
    norm: Float64,
    side: Float64,
    clip: Float64,
    spread: Float64,
    eps: Float64,
    draws: Draws,
) -> tuple[Float64, Float64]:
    """Return a and b of each model; all arguments ``(models,)``.

    Parameters
    ----------
    name
        The mechanism; "none-l1" and "none-l2" clip only (never, where ``clip`` is infinite).
    norm, side
        The gradient's norm, and its product with the direction.
    clip, spread, eps
        The bound, b at bound 1, epsilon.
    draws
        The party's random numbers.
    """
    shrink = np.minimum(1.0, clip / np.maximum(norm, 1e-30))
    if name.startswith("none"):
        return shrink, np.zeros_like(shrink)
    if name != "l2-sphere":
        return shrink, clip * spread
    ahead = draws.chance[0] < 0.5 + 0.5 * np.minimum(norm / clip, 1.0)
    same = draws.chance[1] < 1.0 / (1.0 + np.exp(-eps))
    near = np.where(norm > 0, side, draws.direction[0]) >= 0
    return np.zeros_like(shrink), np.where(near == (ahead == same), 1.0, -1.0) * clip * spread


def check(name: str, *, dim: int = 24, trials: int = 200) -> float:
    """Return the largest difference from the library's uploads, over many gradients."""
    rng, worst = np.random.default_rng(3), 0.0
    for trial in range(trials):
        gradient = rng.standard_normal(dim) * 10.0 ** rng.uniform(-3, 1)
        clip, eps = float(10.0 ** rng.uniform(-1, 1)), float(rng.uniform(0.06, 2))
        upload = unit(name, dim, clip).release(gradient, eps, np.random.default_rng(trial))
        draws = draw(name, dim, np.random.default_rng(trial))
        at = np.array([eps])
        a, b = parts(
            name,
            np.array([np.abs(gradient).sum() if name == "laplace" else np.linalg.norm(gradient)]),
            np.array([gradient @ draws.direction]),
            np.array([clip]),
            spreads(unit(name, dim), at),
            at,
            draws,
        )
        ours = a[0] * gradient + b[0] * draws.direction
        theirs = np.asarray(upload.values if upload is not None else np.nan)
        worst = max(worst, float(np.abs(ours - theirs).max() / np.abs(theirs).max()))
    return worst
