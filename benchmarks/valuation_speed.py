"""What scoring costs: the per-sample pass against vmap and a loop, and 60,000 records in one sweep.

Parts: ``small`` times norms, PLIS maps and TracIn inner products of 1000 records in three ways that
give the same numbers (the pass; ``torch.func`` vmap in chunks; a loop of batches of one), in turn,
and shows how far they differ. ``sweep`` scores all of MNIST's training records by grad-norm, el2n
and aum over five checkpoints of a convolutional network in one sweep, in a fresh process: minutes
and the peak of resident memory. ``influence`` values 1000 records by our datainf and influence and,
given ``--peers PYTHON`` with pyDVL 0.10, by pyDVL's direct and conjugate-gradient forms on the same
softmax regression (an environment with ``torch==2.13.0 "pydvl==0.10.*" "numpy<2"``).

Run: ``EQUIGRAD_DATA=... python benchmarks/valuation_speed.py [--quick] [--json FILE] [--part ...]``
"""

import multiprocessing
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from _common import Report, arguments, interleave, memory_mib, ratio, show
from _valuation_rivals import (
    loop_dots,
    loop_norms,
    loop_plis,
    pass_dots,
    pass_norms,
    pass_plis,
    vmap_dots,
    vmap_norms,
    vmap_plis,
)
from equigrad.valuation import Trajectory, make_scorer, rank_correlation, score

PARTS = ("small", "sweep", "influence")
RECORDS, VALIDATION = 1000, 200
CHECKPOINTS = 5
DAMPING = 0.01
SCORERS = ("grad-norm-mean", "el2n-mean", "aum")

Way = Callable[[nn.Module, Tensor, Tensor, Tensor, Tensor], Tensor]
WORK: dict[str, dict[str, Way]] = {
    "norms": {"pass": pass_norms, "vmap": vmap_norms, "loop": loop_norms},
    "PLIS": {"pass": pass_plis, "vmap": vmap_plis, "loop": loop_plis},
    "TracIn dots": {"pass": pass_dots, "vmap": vmap_dots, "loop": loop_dots},
}
TARGETS = {
    ("norms", "vmap"): 20.0,
    ("norms", "loop"): 20.0,
    ("PLIS", "vmap"): 50.0,
}


def mlp() -> nn.Module:
    """Return 784-256-10 with tanh, so that second derivatives are not all 0."""
    return nn.Sequential(nn.Linear(784, 256), nn.Tanh(), nn.Linear(256, 10))


def cnn() -> nn.Module:
    """Return the convolutional network of the specification, 26,010 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 8, stride=2, padding=3),
        nn.ReLU(),
        nn.MaxPool2d(2, 1),
        nn.Conv2d(16, 32, 4, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(2, 1),
        nn.Flatten(),
        nn.Linear(512, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


def small(report: Report, threads: int, repeats: int, records: int) -> None:
    """Time the three ways of every kind of work and add the claims."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = mlp()
    x, v = torch.randn(records, 784), torch.randn(VALIDATION, 784)
    y, w = torch.randint(10, (records,)), torch.randint(10, (VALIDATION,))
    table = []
    for work, ways in WORK.items():
        calls = {name: _call(way, model, x, y, v, w) for name, way in ways.items()}
        found = {name: call() for name, call in calls.items()}
        seconds = interleave(calls, repeats)
        for name in ways:
            middle, least, most = ratio(seconds[name], seconds["pass"])
            off = float((found[name] - found["pass"]).abs().max() / found["pass"].abs().max())
            table.append(
                report.row(
                    part="small",
                    work=work,
                    way=name,
                    ms=1e3 * float(np.median(seconds[name])),
                    over_pass=middle,
                    least=least,
                    most=most,
                    difference=off,
                )
            )
            if (work, name) in TARGETS:
                report.claim(
                    f"{work}: pass faster than {name}, times", middle, TARGETS[work, name], "higher"
                )
    show(f"MLP, {records} records, {threads} thread(s), {repeats} rounds", table)


def _call(way: Way, *args: Any) -> Callable[[], Tensor]:
    return lambda: way(*args)


def sweep(report: Report, threads: int, records: int) -> None:
    """Score MNIST in a fresh process and add time and memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(_swept, (threads, records))
    row = report.row(part="sweep", records=records, threads=threads, **found)
    show(f"{', '.join(SCORERS)} over {CHECKPOINTS} checkpoints of the CNN", [row])
    if records == 60_000:
        report.claim("60,000 records, three scorers: minutes", row["minutes"], 5.0, "lower")
        report.claim("60,000 records: peak GiB of the process", row["peak_gib"], 1.5, "lower")


def _swept(threads: int, records: int) -> dict[str, float]:
    """Return minutes, memory and the price of a plain forward and backward pass."""
    torch.set_num_threads(threads)
    x, y = _mnist(records)
    model = cnn()
    states = []
    for seed in range(CHECKPOINTS):
        torch.manual_seed(seed)
        states.append({k: v.clone() for k, v in cnn().state_dict().items()})
    trajectory = Trajectory(model, states, nn.CrossEntropyLoss(), origin="public")
    before, _ = memory_mib()
    start = time.perf_counter()
    score(trajectory, (x, y), SCORERS, view="local", assess=False)
    minutes = (time.perf_counter() - start) / 60
    peak = memory_mib()[1]
    start = time.perf_counter()
    few = min(records, 5120)
    for at in range(0, few, 512):
        nn.functional.cross_entropy(model(x[at : at + 512]), y[at : at + 512]).backward()
    plain = (time.perf_counter() - start) / 60 * records / few * CHECKPOINTS
    return {
        "minutes": minutes,
        "peak_gib": peak / 1024,
        "above_data_gib": (peak - before) / 1024,
        "plain_minutes": plain,
        "over_plain": minutes / plain,
    }


def _mnist(records: int) -> tuple[Tensor, Tensor]:
    """Return MNIST's first training records."""
    from equigrad.data import load

    train = load("mnist").train
    return torch.from_numpy(train.features[:records]), torch.from_numpy(train.labels[:records])


def influence(report: Report, threads: int, records: int, peers: str | None) -> None:
    """Value records by datainf and influence, ours and pyDVL's."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x, y = _mnist(records + VALIDATION)
    x = x.flatten(1)
    train, validation = (x[:records], y[:records]), (x[records:], y[records:])
    model = nn.Linear(784, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(train[0]), train[1]).backward()
        optimizer.step()
    state = {k: v.detach().clone() for k, v in model.state_dict().items()}
    trajectory = Trajectory(model, [state], nn.CrossEntropyLoss(), origin="public")
    values: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}
    for name, options in (("datainf", {}), ("influence", {"damping": DAMPING})):
        scorer = make_scorer(name, **options)
        start = time.perf_counter()
        found = score(
            trajectory, train, [scorer], view="local", validation=validation, assess=False
        )
        seconds[name] = time.perf_counter() - start
        values[name] = next(iter(found.values())).values
    if peers is not None:
        given = {"x": train[0], "y": train[1], "x_val": validation[0], "y_val": validation[1]}
        given |= {"weight": state["weight"], "bias": state["bias"]}
        for kind in ("direct", "cg"):
            name = f"pyDVL influence, {kind}"
            values[name], seconds[name] = _peer(peers, kind, given, threads)
    table = [
        report.row(
            part="influence",
            method=name,
            records=records,
            threads=threads,
            seconds=seconds[name],
            rank_correlation=rank_correlation(values[name], values["influence"]),
        )
        for name in values
    ]
    show(f"Softmax regression, {records} records, {VALIDATION} validation records", table)


def _peer(
    peers: str, kind: str, given: dict[str, Tensor], threads: int
) -> tuple[np.ndarray, float]:
    """Return values and seconds of pyDVL, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(source, damping=DAMPING, **{key: t.numpy() for key, t in given.items()})
        script = Path(__file__).with_name("_influence_peer.py")
        subprocess.run(
            [peers, str(script), kind, str(source), str(target), str(threads)], check=True
        )
        found = np.load(target)
        return found["values"], float(found["seconds"])


def main() -> None:
    """Run the benchmark."""
    parser = arguments(__doc__)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7, help="of the small part")
    parser.add_argument("--records", type=int, default=60_000, help="of the sweep")
    parser.add_argument("--peers", help="a Python that has pyDVL")
    options = parser.parse_args()
    count = RECORDS
    if options.quick:
        options.rounds, options.records, count = 1, 1000, 100
    report = Report("Speed of scoring")
    if "small" in options.part:
        small(report, options.threads, options.rounds, count)
    if "sweep" in options.part:
        sweep(report, options.threads, options.records)
    if "influence" in options.part:
        influence(report, options.threads, count, options.peers)
    report.finish(options.json)


if __name__ == "__main__":
    main()
