"""Gradient assisted learning on images: each party holds one patch of every image.

MNIST (own 10,000 test images) and CIFAR-10 (JPEG), a copy of 10,000 images compressed once, whose
numbers stand beside no published one. Images are cut into a grid of patches (8 parties: 2 x 4).
Each party trains a small convolutional network a round; the number of rounds is chosen by held-out
training rows. Rows: the sponsor *alone*, *late* (every party boosts alone on the labels, scores
averaged), *joint* (one network on whole images), *sequential* assistance, *GAL*, equal weights,
weights chosen together with the step, weights and steps from held-out rows, Deep Model Sharing, and
the authors' recipe.

Every round is printed, and ``--json`` is written after every row: a run that is stopped keeps what
it has. Data are read from ``EQUIGRAD_DATA`` or the user's cache.
"""

import warnings
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from _common import Report, arguments, show
from _gal_images import (
    Images,
    Result,
    accuracy,
    assisted,
    backbone,
    joint,
    read,
    say,
    sequential,
)
from equigrad.assistance import CNN, AssistanceWarning, ReferenceCNN, Settings, SharedLearner

PUBLISHED = {
    "alone": "24.2(0.1)",
    "late": "98.0(0.1)",
    "joint": "99.4(0.0)",
    "sequential": "34.3(0.1)",
    "GAL": "96.3(0.6)",
    "GAL, shared networks": "96.3(0.5)",
}
"""MNIST, eight parties: mean(std) over four seeds, best of eleven test evaluations."""
ROWS = (
    "GAL",
    "alone",
    "joint",
    "equal",
    "cone",
    "late",
    "sequential",
    "holdout",
    "shared",
    "reference",
)
SETS = ("mnist", "cifar10")


def rows_of(
    given: Any, images: Images, seed: int, settings: Settings
) -> Iterator[tuple[str, Result]]:
    """Yield the name and result of every row asked for."""
    rounds, n_valid = given.rounds, given.valid
    learner = CNN(epochs=given.epochs, batch_size=given.batch)
    if "GAL" in given.rows:
        yield "GAL", assisted(images, learner, seed, "GAL", settings)[0]
    if "alone" in given.rows and "late" not in given.rows:
        yield "alone", assisted(images, learner, seed, "alone", settings, only=0)[0]
    if "joint" in given.rows:
        yield "joint", joint(images, seed, given.joint_epochs, n_valid, given.batch)
    if "equal" in given.rows:
        equal = replace(settings, weights="equal")
        yield "GAL, equal weights", assisted(images, learner, seed, "equal", equal)[0]
    if "cone" in given.rows:
        cone = replace(settings, weights="cone")
        yield "GAL, weights with step", assisted(images, learner, seed, "cone", cone)[0]
    if "late" in given.rows:
        total, spent = 0.0, 0.0
        for m in range(given.parties):
            one, scores = assisted(images, learner, seed, f"late, party {m}", settings, only=m)
            if m == 0:
                yield "alone", one
            total, spent = total + scores, spent + one.cpu_s
        yield "late", Result(accuracy(total, images.y_test), rounds, spent)
    if "sequential" in given.rows:
        yield from sequential(images, learner, seed, rounds, n_valid).items()
    if "holdout" in given.rows:
        held = replace(
            settings,
            weigh_on="holdout",
            validation_fraction=min(0.2, settings.validation_fraction / 1.5),
        )
        yield "GAL, held out", assisted(images, learner, seed, "holdout", held)[0]
    if "shared" in given.rows:
        shape = next(iter(images.patches.values())).shape[1:]
        shared = SharedLearner(partial(backbone, shape), "refit", learner.schedule)
        yield "GAL, shared networks", assisted(images, shared, seed, "shared", settings)[0]
    if "reference" in given.rows:
        theirs = Settings(loss="ce", preset="reference")
        make = {"small": CNN, "theirs": ReferenceCNN}[given.reference_network]
        schedule = replace(ReferenceCNN.usual, epochs=given.reference_epochs)
        network = make(schedule, scale_residual=False)
        yield "GAL, authors' recipe", assisted(images, network, seed, "reference", theirs)[0]


def main() -> None:
    """Run the benchmark."""
    parser = arguments(__doc__)
    parser.add_argument("--set", choices=SETS, default="mnist")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS[:-1]))
    parser.add_argument("--parties", type=int, choices=(2, 4, 8), default=8)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--images", type=int, help="training images, those held out among them")
    parser.add_argument("--valid", type=int, default=5000, help="of these, held out to stop")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=2, help="epochs a round")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--joint-epochs", type=int, default=10)
    parser.add_argument("--reference-epochs", type=int, default=10)
    parser.add_argument(
        "--reference-network",
        choices=("small", "theirs"),
        default="small",
        help="whose network the authors' recipe trains; theirs takes fifty times as long",
    )
    given = parser.parse_args()
    if given.quick:
        given.images, given.valid, given.rounds, given.joint_epochs = 1500, 300, 2, 2
        given.rows = ["GAL", "alone", "joint", "equal"]
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", AssistanceWarning)
    report = Report(f"Gradient assisted learning on images: {given.set}")
    for seed in given.seeds:
        images = read(given.set, given.parties, given.images, seed)
        settings = Settings(
            loss="ce",
            n_rounds=given.rounds,
            validation_fraction=given.valid / len(images.y),
            refit="never",
        )
        say(f"{given.set}, {len(images.y)} images of which {given.valid} stop, seed {seed}")
        for row, result in rows_of(given, images, seed, settings):
            report.row(row=row, seed=seed, images=len(images.y), **asdict(result))
            report.save(given.json)
    print_table(report, given)
    claims(report, given)
    report.finish(given.json)


def print_table(report: Report, given: Any) -> None:
    """Print each row's mean and deviation over the seeds."""
    lines = []
    for row in dict.fromkeys(line["row"] for line in report.rows):
        have = [line for line in report.rows if line["row"] == row]
        values = np.array([line["value"] for line in have])
        beside = PUBLISHED.get(row.split(",")[0] if row.startswith("sequential") else row, "")
        lines.append(
            {
                "row": row,
                "accuracy %": f"{values.mean():.2f}({values.std():.2f})",
                "published": beside if given.set == "mnist" and given.parties == 8 else "",
                "seeds": len(have),
                "rounds": str([line["rounds"] for line in have]),
                "CPU s": f"{np.mean([line['cpu_s'] for line in have]):.0f}",
                "messages": f"{np.mean([line['messages'] for line in have]):.0f}",
                "MB": f"{np.mean([line['mbytes'] for line in have]):.0f}",
            }
        )
    show(f"{given.set}, {given.parties} parties", lines)


def claims(report: Report, given: Any) -> None:
    """Compare with what was wanted of eight parties; a quick form shows, and proves nothing."""
    if given.parties != 8:
        return

    def mean(row: str) -> float | None:
        values = [line["value"] for line in report.rows if line["row"] == row]
        return float(np.mean(values)) if values else None

    def above(a: float | None, b: float | None) -> float | None:
        return None if a is None or b is None else a - b

    found = mean("GAL")
    if given.set == "mnist":
        report.claim("MNIST: GAL, %", found, 96.3, "higher")
        report.claim("MNIST: GAL, %, wished for", found, 97.5, "higher")
        return
    report.claim(
        "CIFAR-10 (JPEG): GAL above alone, points", above(found, mean("alone")), 20.0, "higher"
    )
    report.claim(
        "CIFAR-10 (JPEG): late above GAL, points", above(mean("late"), found), 2.0, "lower"
    )


if __name__ == "__main__":
    main()
