"""What a step of training an auction costs, and from it the whole of the default plans.

Neighbours: ``market_scale`` prints what is measured here; what trained auctions are worth is
another script's question. One thread; the steps' processor seconds vary with the rounds drawn, so
the mean is taken to the plan's end, after one step that does not count.
"""

import time
from dataclasses import replace

import numpy as np
import torch

from _common import Report
from equigrad.market import Ladder
from equigrad.market.learned.training import TrainingPlan, train_menu
from equigrad.market.regret import RegretMechanism, RegretPlan, train_regret_net

__all__ = ["measure_training"]

TARGET_MINUTES = 10.0


def schedule_steps(plan: TrainingPlan, steps: int) -> list[float]:
    """Return the processor seconds of the first steps of a schedule's training, dim 1."""
    ladder, marks = Ladder(), [time.process_time()]
    train_menu(
        replace(plan, steps=steps + 1, checkpoints=1),
        torch.as_tensor(ladder.levels**2 / 8),
        ladder,
        generator=np.random.default_rng(42),
        weights=torch.Generator().manual_seed(42),
        progress=lambda step, loss: marks.append(time.process_time()),
    )
    return np.diff(marks)[1:].tolist()


def net_steps(plan: RegretPlan, steps: int) -> list[float]:
    """Return the processor seconds of the first steps of a DM-RegretNet for ten parties."""
    generator, marks = torch.Generator().manual_seed(42), [time.process_time()]

    def progress(step: int, found: object, loss: float) -> None:
        marks.append(time.process_time())

    train_regret_net(
        RegretMechanism("dm-regret", 10, 8, generator=generator),
        replace(plan, steps=steps + 1),
        generator=np.random.default_rng(42),
        starts=torch.Generator().manual_seed(43),
        progress=progress,
    )
    return np.diff(marks)[1:].tolist()


def measure_training(report: Report, *, quick: bool) -> None:
    """Add a row for the schedule of the learned clock and for DM-RegretNet."""
    torch.set_num_threads(1)
    menu, net = TrainingPlan(), RegretPlan()
    cycle = len(menu.parties)  # every size of round equally often
    for name, each, steps, batch in (
        (
            "learned-clock",
            schedule_steps(menu, cycle * (1 if quick else 6)),
            menu.steps,
            menu.batch,
        ),
        ("dm-regret", net_steps(net, 3 if quick else 20), net.steps, net.batch),
    ):
        minutes = float(np.mean(each)) * steps / 60
        report.row(
            part="training",
            auction=name,
            batch=batch,
            timed_steps=len(each),
            cpu_s=float(np.mean(each)),
            least=min(each),
            most=max(each),
            plan_steps=steps,
            plan_minutes=minutes,
        )
        if name == "learned-clock":
            what = "processor minutes to train a schedule, by extrapolation"
            report.claim(what, minutes, TARGET_MINUTES, "lower")
