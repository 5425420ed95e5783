"""Train the regret nets that ``benchmarks/auctions.py`` compares the clocks with.

    python benchmarks/auction_nets.py dm-regret --steps 4000 --out nets/

The search for misreports is lighter in training than the specification's (it goes on from the last
misreport found for the same round); how strong the regret is that remains is measured by the
benchmark, with the full search. Steps, not seconds, end a training, so equal seeds give equal nets
on one machine.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from equigrad.market.regret import (
    VARIANTS,
    RegretMechanism,
    RegretPlan,
    SearchPlan,
    regret_to_bytes,
    train_regret_net,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("--architecture", choices=("mlp", "equivariant"), default="mlp")
    parser.add_argument("--mode", choices=("right", "reference"), default="right")
    parser.add_argument("--parties", type=int, default=10)
    parser.add_argument("--levels", type=int, default=8)
    parser.add_argument("--dim", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--search-steps", type=int, default=5)
    parser.add_argument("--search-starts", type=int, default=1)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--out", type=Path, default=Path("nets"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    levels = 1 if args.variant == "regret" else args.levels
    mechanism = RegretMechanism(
        args.variant,
        args.parties,
        levels,
        architecture=args.architecture,
        mode=args.mode,
        generator=torch.Generator().manual_seed(args.seed),
    )
    search = SearchPlan(args.search_steps, args.search_starts, random=0, shifts=False)
    plan = RegretPlan(steps=args.steps, batch=args.batch, search=search)
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / f"{args.variant}-{args.architecture}-{args.mode}.safetensors"
    seen, start = [], time.perf_counter()

    def save(step: int) -> None:
        notes = {
            "steps": str(step + 1),
            "batch": str(args.batch),
            "search": f"{args.search_steps} steps, {args.search_starts} random starts",
            "seed": str(args.seed),
            "seconds": f"{time.perf_counter() - start:.0f}",
        }
        file.write_bytes(regret_to_bytes(mechanism, dim=args.dim, notes=notes))

    def progress(step, found, loss):
        seen.append((loss, float(found.regret.mean()), float(found.shortfall.mean())))
        if step % 50 == 49:
            mean = np.mean(seen[-50:], axis=0)
            print(
                f"{step + 1:6d} loss {mean[0]:.3f} regret/cost {mean[1]:.3f} "
                f"shortfall/cost {mean[2]:.3f} {time.perf_counter() - start:.0f} s",
                flush=True,
            )
            save(step)

    train_regret_net(
        mechanism,
        plan,
        dim=args.dim,
        generator=np.random.default_rng(args.seed),
        starts=torch.Generator().manual_seed(args.seed + 1),
        progress=progress,
    )
    save(args.steps - 1)


if __name__ == "__main__":
    main()
