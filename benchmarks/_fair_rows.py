"""The rows of the fairness tables: what each trains with, and the 12 points it may be tuned on.

A row's *push* is learning rate times C: what one record may move the model by. Every tuned row
has four pushes (or learning rates) times three values of the one other setting that matters most.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from equigrad.privacy.clipping import CLIPPING_RULES, ClippingRule

__all__ = ["PROTOCOL", "ROWS", "Point", "Protocol", "Row", "make_rule"]


@dataclass(frozen=True)
class Protocol:
    """A set's constants: the paper's epochs, noise, and settings of its methods."""

    groups: int
    epochs: int
    sigma_eff: float
    clip: float
    eta_plain: float
    dpsgd_f: tuple[float, float, float]
    global_: tuple[float, float, float]
    adapt: tuple[float, float, float, float]
    pushes: tuple[float, float, float, float]
    floors: tuple[float, float, float]


_MNIST = Protocol(
    10, 60, 0.8, 1.0, 0.01, (0.01, 1.0, 8.0), (0.01, 20.0, 100.0), (0.1, 1.0, 50.0, 0.7),
    (0.1, 0.3, 1.0, 3.0), (5.0, 15.0, 40.0),
)  # fmt: skip

PROTOCOL = {
    "mnist": _MNIST,
    "mnist-mlp": _MNIST,
    "adult": Protocol(
        2, 20, 1.0, 0.5, 0.01, (0.01, 0.5, 10.0), (0.2, 0.5, 50.0), (0.2, 0.5, 50.0, 1.0),
        (0.03, 0.1, 0.3, 1.0), (1.5, 4.0, 10.0),
    ),
    "dutch": Protocol(
        2, 20, 1.0, 0.5, 0.5, (0.01, 0.5, 10.0), (0.5, 0.5, 50.0), (0.5, 0.5, 50.0, 1.0),
        (0.08, 0.25, 0.8, 2.5), (1.5, 4.0, 10.0),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """What one run trains with; ``rule`` None is without clipping and noise.

    With ``decay`` the learning rate falls linearly to 0 over the run.
    """

    eta: float
    rule: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    optimizer: str = "sgd"
    momentum: float = 0.0
    decay: bool = False


@dataclass(frozen=True)
class Row:
    """A row: the paper's settings, or a grid of 12 points, or derived from another row's run."""

    key: str
    title: str
    number: str
    paper: Callable[[Protocol], Point] | None = None
    grid: Callable[[Protocol], list[Point]] | None = None
    frozen_from: str | None = None


def make_rule(point: Point) -> ClippingRule:
    """Return a fresh rule of a point."""
    if point.rule is None:
        raise ValueError("Expected a point with a clipping rule, got none.")
    return CLIPPING_RULES[point.rule](**point.options)


def _adapt(p: Protocol, **more: Any) -> dict[str, Any]:
    _, clip, threshold, tau = p.adapt
    return {"clip": clip, "threshold": threshold, "tau": tau, "count_noise": 10.0, **more}


def _median(p: Protocol) -> dict[str, Any]:
    """Return settings under which each Z_k follows its group's median: half-shifted counts."""
    return _adapt(p, exceed=0.5, rate=0.1 * p.groups)


def _grid(
    rule: str,
    name: str,
    values: Callable[[Protocol], tuple[float, float, float]],
    base: Callable[[Protocol], dict[str, Any]],
    **more: Any,
) -> Callable[[Protocol], list[Point]]:
    """Return the grid of pushes times ``values`` of the option ``name``; eta is push / C."""

    def points(p: Protocol) -> list[Point]:
        made = []
        for push, value in product(p.pushes, values(p)):
            options = {**base(p), name: value}
            made.append(Point(push / options["clip"], rule, options, **more))
        return made

    return points


def _times(center: float) -> tuple[float, float, float]:
    return 0.2 * center, center, 5 * center


def _quantile_grid(p: Protocol) -> list[Point]:
    return [
        Point(eta, "quantile", {"clip": p.clip, "target": target})
        for eta, target in product((0.05, 0.2, 0.8, 3.2), (0.5, 0.7, 0.9))
    ]


def _adam_grid(p: Protocol) -> list[Point]:
    return [
        Point(eta, "global-adapt", _adapt(p, threshold_rate=rate), "adam")
        for eta, rate in product((0.0003, 0.001, 0.003, 0.01), (0.1, 0.3, 0.6))
    ]


def _momentum_grid(p: Protocol) -> list[Point]:
    return [
        Point(push * (1 - m) / p.adapt[1], "global-adapt", _adapt(p), "sgd", m)
        for push, m in product(p.pushes, (0.5, 0.9, 0.97))
    ]


def _plain_grid(p: Protocol) -> list[Point]:
    del p
    return [Point(0.002 * math.sqrt(10) ** (k / 1.5)) for k in range(12)]


_RATES = (0.1, 0.3, 0.6)

_ALL = [
    Row("non-private", "non-private", "1", lambda p: Point(p.eta_plain)),
    Row("non-private-tuned", "non-private, tuned eta", "1t", grid=_plain_grid),
    Row("dpsgd", "DPSGD, paper's eta", "2", lambda p: Point(p.eta_plain, "flat", {"clip": p.clip})),
    Row(
        "dpsgd-tuned", "DPSGD, tuned", "3",
        grid=_grid("flat", "clip", lambda p: _times(p.clip), lambda p: {"clip": p.clip}),
    ),
    Row("frozen", "flat at median Z of row 7", "4", frozen_from="adapt"),
    Row("frozen-tuned", "flat at median Z of row 7t", "4t", frozen_from="adapt-tuned"),
    Row(
        "dpsgd-f", "DPSGD-F, paper's", "5",
        lambda p: Point(
            p.dpsgd_f[0], "group-adaptive", {"clip": p.dpsgd_f[1], "count_noise": p.dpsgd_f[2]}
        ),
    ),
    Row(
        "dpsgd-f-tuned", "DPSGD-F, tuned", "5t",
        grid=_grid(
            "group-adaptive", "clip", lambda p: _times(p.dpsgd_f[1]),
            lambda p: {"count_noise": p.dpsgd_f[2]},
        ),
    ),
    Row(
        "global", "DPSGD-Global, paper's", "6",
        lambda p: Point(p.global_[0], "global", {"clip": p.global_[1], "threshold": p.global_[2]}),
    ),
    Row(
        "global-tuned", "DPSGD-Global, tuned", "6t",
        grid=_grid(
            "global", "threshold", lambda p: (p.global_[2] / 10, p.global_[2] / 3, p.global_[2]),
            lambda p: {"clip": p.clip},
        ),
    ),
    Row(
        "adapt", "Global-Adapt, paper's", "7",
        lambda p: Point(p.adapt[0], "global-adapt", _adapt(p)),
    ),
    Row(
        "adapt-tuned", "Global-Adapt, tuned", "7t",
        grid=_grid("global-adapt", "threshold_rate", lambda p: _RATES, _adapt),
    ),
    Row(
        "auto-s", "AUTO-S, tuned", "8",
        grid=_grid(
            "auto-s", "stability", lambda p: (0.01, 0.1, 1.0), lambda p: {"clip": p.clip},
        ),
    ),
    Row("quantile", "quantile, tuned", "9", grid=_quantile_grid),
    Row(
        "adapt-floor", "Global-Adapt, tuned Z_min", "m1",
        grid=_grid("global-adapt", "threshold_min", lambda p: p.floors, _adapt),
    ),
    Row(
        "group-scaled", "Z_k by group size", "m2",
        grid=_grid("group-scaled", "power", lambda p: (0.5, 0.75, 1.0), _adapt),
    ),
    Row(
        "group-median", "Z_k by group median", "m3",
        grid=_grid("group-global-adapt", "tau", lambda p: (0.25, 0.5, 1.0), _median),
    ),
    Row("adapt-momentum", "Global-Adapt, momentum after noise", "m4", grid=_momentum_grid),
    Row("adapt-adam", "Global-Adapt, Adam after noise", "m5", grid=_adam_grid),
    Row(
        "adapt-decay", "Global-Adapt, falling rate", "m6",
        grid=_grid("global-adapt", "tau", lambda p: (0.2, 0.4, 0.7), _adapt, decay=True),
    ),
    Row(
        "group-scaled-decay", "Z_k by group size, falling rate", "m7",
        grid=_grid("group-scaled", "tau", lambda p: (0.2, 0.4, 0.7), _adapt, decay=True),
    ),
    Row(
        "dpsgd-decay", "DPSGD, falling rate", "m8",
        grid=_grid(
            "flat", "clip", lambda p: _times(p.clip), lambda p: {"clip": p.clip}, decay=True
        ),
    ),
]  # fmt: skip

ROWS = {row.key: row for row in _ALL}
