"""Train a schedule for ``learned-clock``, choose its checkpoint by exact clearing, write the file.

    python benchmarks/auction_schedule.py --dim 1 --out laplace-1.safetensors
    python benchmarks/auction_schedule.py --dim 98 --steps 1600 --out laplace-98.safetensors

Training profiles, validation profiles and the benchmark's test profiles come from different seeds.
The schedule that ships with the package was made by the command above.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from equigrad.market import Ladder
from equigrad.market.learned import Validation, select_schedule
from equigrad.market.learned.training import TrainingPlan, train_menu
from equigrad.market.workload import seeded_profiles

RATES = (0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0)
ROUNDS = ((10, 200), (30, 66), (100, 30), (300, 12), (1000, 6))
VALIDATION_SEED = 77


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dim", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--checkpoints", type=int, default=1)
    parser.add_argument("--seed", type=int, default=20260)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    ladder = Ladder()
    precision = ladder.levels**2 / (8 * args.dim)
    start, processor, losses = time.perf_counter(), time.process_time(), []

    def progress(step: int, loss: float) -> None:
        losses.append(loss)
        if step % 200 == 199:
            print(f"{step + 1:6d} loss {np.mean(losses[-200:]):.4f}", flush=True)

    candidates = train_menu(
        TrainingPlan(steps=args.steps, checkpoints=args.checkpoints),
        torch.as_tensor(precision),
        ladder,
        generator=np.random.default_rng(args.seed),
        weights=torch.Generator().manual_seed(args.seed),
        progress=progress,
    )
    trained, used = time.perf_counter() - start, time.process_time() - processor
    print(f"trained: {trained:.0f} s, of which {used:.0f} s of one processor", flush=True)
    profiles = [
        seeded_profiles(n, seed=VALIDATION_SEED, runs=-(-n * count // 1000)).take(range(count))
        for n, count in ROUNDS
    ]
    schedule = select_schedule(
        candidates,
        Validation(profiles, RATES),
        mechanism="laplace",
        dim=args.dim,
        ladder=ladder,
        precision=precision,
        notes={
            "steps": str(args.steps),
            "seed": str(args.seed),
            "validation seed": str(VALIDATION_SEED),
        },
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_bytes(schedule.to_bytes())
    print(f"checkpoint {schedule.notes['checkpoint']}, digest {schedule.digest}")
    for low, row in zip(schedule.bands.parties, schedule.bands.learned, strict=False):
        print(f"N >= {low:g}: " + " ".join("learned" if cell else "clock" for cell in row))
    print(f"selected after {time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
