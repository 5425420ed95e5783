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

import json
import time
import warnings
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from _common import arguments, machine, show
from equigrad.assistance import (
    CNN,
    AssistanceWarning,
    LocalParties,
    Pass,
    ReferenceCNN,
    Settings,
    SharedLearner,
    make_loss,
    party_seed,
    train,
)
from equigrad.data import load

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


@dataclass(frozen=True)
class Images:
    """Patches by party: training rows first to stop on, test rows; class numbers."""

    patches: dict[str, np.ndarray]
    y: np.ndarray
    test: dict[str, np.ndarray]
    y_test: np.ndarray
    whole: np.ndarray
    whole_test: np.ndarray

    @property
    def target(self) -> np.ndarray:
        """One-hot classes."""
        return np.eye(10)[self.y]


def grid(images: np.ndarray, n_parties: int) -> dict[str, np.ndarray]:
    """Return each party's patch ``(n, c, h, w)``, row by row of the grid."""
    power = int(np.log2(n_parties))
    rows, columns = 2 ** (power // 2), 2 ** (power - power // 2)
    parts = [
        np.ascontiguousarray(part)
        for band in np.split(images, rows, axis=2)
        for part in np.split(band, columns, axis=3)
    ]
    return {f"party {m}": part for m, part in enumerate(parts)}


def read(name: str, n_parties: int, n_rows: int | None, seed: int) -> Images:
    """Return a set's images, standardised by the mean and deviation of the training part."""
    found = load(name)  # standardised
    pixels = [found.train.features, found.test.features]
    labels = [found.train.labels, found.test.labels]
    if n_rows is not None and n_rows < len(labels[0]):
        some = np.random.default_rng(1000 + seed).permutation(len(labels[0]))[:n_rows]
        pixels[0], labels[0] = pixels[0][some], labels[0][some]
    parts = [grid(p, n_parties) for p in pixels]
    return Images(parts[0], labels[0], parts[1], labels[1], pixels[0], pixels[1])


def say(text: str) -> None:
    """Print at once, with the time of day."""
    print(time.strftime("%H:%M:%S"), text, flush=True)


def accuracy(scores: np.ndarray, y: np.ndarray) -> float:
    """Return % of right classes."""
    return 100.0 * float(np.mean(scores.argmax(axis=1) == y))


@dataclass(frozen=True)
class Result:
    """A row's accuracy in %, rounds, CPU seconds, messages and bytes; accuracy after each round."""

    value: float
    rounds: int
    cpu_s: float
    messages: float = 0.0
    mbytes: float = 0.0
    staged: tuple[float, ...] = ()


def assisted(
    images: Images, learner: Any, seed: int, row: str, settings: Settings, only: int | None = None
) -> tuple[Result, np.ndarray]:
    """Train, and return the result and the test scores of the chosen number of rounds."""
    keep = list(images.patches) if only is None else [f"party {only}"]
    parties = LocalParties(
        {name: images.patches[name] for name in keep}, [learner] * len(keep), run_seed=seed
    )
    resolved = settings.resolved(classification=True)
    aside = 0.0  # CPU seconds of looking at test rows, which no training needs
    scores = np.zeros((len(images.y_test), 10))
    staged: list[np.ndarray] = []

    def look(under_way: Pass) -> None:
        nonlocal aside, scores
        begun = time.process_time()
        sponsor, t = under_way.sponsor, under_way.sponsor.t
        last = sponsor.track.rounds[-1]
        told = ""
        if not parties.restating:  # sums so far; a shared network moves earlier ones
            scores = sponsor.track.start + scores if t == 1 else scores
            for m, name in enumerate(keep):
                w = last.weights[m]
                if w > 0:
                    scores = scores + last.eta * w * parties.learners[m].predict(
                        t, images.test[name]
                    )
            staged.append(scores)
            told = f"test {accuracy(scores, images.y_test):.2f} %, "
        held_out = f"{sponsor.stop_losses[-1].mean():.4f}" if sponsor.stop_losses else "-"
        say(
            f"{row} seed {seed} round {t}: {told}held-out loss {held_out}, train loss "
            f"{last.loss:.4f}, eta {last.eta:.2f}, w {np.round(last.weights, 2).tolist()}"
        )
        aside += time.process_time() - begun

    begun = time.process_time()
    training = train(
        parties,
        images.target,
        resolved,
        classes=images.y,
        run_seed=seed,
        on_round=look,
    )
    spent = time.process_time() - begun - aside
    model = training.model
    if staged:
        final = (
            staged[model.n_rounds - 1] if model.n_rounds else np.tile(model.start, (len(scores), 1))
        )
    else:
        held = np.ones((len(images.y_test), len(keep)), dtype=np.bool_)
        final = model.scores(
            lambda m, t: parties.learners[m].predict(t, images.test[keep[m]]), held
        )
    value = accuracy(final, images.y_test)
    tried = max(len(training.validation_losses) - 1, model.n_rounds)
    answers = tried * (tried + 1) / 2 if parties.restating else tried
    messages = (len(keep) - 1) * 2.0 * tried
    sent = (len(keep) - 1) * 8.0 * 10 * (tried * len(training.rows.fit) + answers * len(images.y))
    say(f"{row} seed {seed}: {value:.2f} % with {model.n_rounds} rounds, {spent:.0f} CPU s")
    each = tuple(accuracy(after, images.y_test) for after in staged)
    return Result(value, model.n_rounds, spent, messages, sent / 1e6, each), final


def sequential(
    images: Images, learner: Any, seed: int, n_rounds: int, n_valid: int
) -> dict[str, Result]:
    """Assistance in turn with own steps; after ``n_rounds`` synchronisations, and as many cycles.

    The rows that stop the other trainings are left out here, too.
    """
    loss, names = make_loss("ce"), list(images.patches)
    order = np.random.default_rng(seed).permutation(len(images.y))
    rows = np.sort(order[n_valid:])
    target = images.target[rows]
    start = loss.start(target)
    F, out = np.tile(start, (len(rows), 1)), np.tile(start, (len(images.y_test), 1))
    found: dict[str, Result] = {}
    begun = time.process_time()
    for s in range(n_rounds * len(names)):
        name = names[s % len(names)]
        block = images.patches[name][rows]
        mine = learner.fresh()
        mine.prepare(block)
        mine.fit(1, loss.residual(target, F), party_seed(seed, name, s))
        g = mine.predict(1, block)
        eta = loss.step(target, F, g, 300.0)
        F, out = F + eta * g, out + eta * mine.predict(1, images.test[name])
        if s + 1 == n_rounds or (s + 1) % len(names) == 0:
            value = accuracy(out, images.y_test)
            say(f"sequential seed {seed} after {s + 1} synchronisations: {value:.2f} %")
            word = "syncs" if s + 1 == n_rounds else "cycles"
            count = n_rounds if word == "syncs" else (s + 1) // len(names)
            if s + 1 in (n_rounds, n_rounds * len(names)):
                messages = 2.0 * (s + 1) * (len(names) - 1) / len(names)
                found[f"sequential, {count} {word}"] = Result(
                    value,
                    s + 1,
                    time.process_time() - begun,
                    messages,
                    messages * 80.0 * len(rows) / 1e6,
                )
    return found


def joint(images: Images, seed: int, epochs: int, n_valid: int, batch: int) -> Result:
    """Train the small network on whole images and labels; its epoch by held-out loss."""
    order = np.random.default_rng(seed).permutation(len(images.y))
    valid, rows = order[:n_valid], np.sort(order[n_valid:])
    begun = time.process_time()
    torch.manual_seed(seed)
    model = CNN().network(images.whole.shape[1:], 10)
    X, y = torch.from_numpy(images.whole), torch.from_numpy(images.y)
    batches = int(np.ceil(len(rows) / batch))
    schedule = replace(CNN.usual, epochs=epochs)
    optimizer, scheduler, _ = schedule.rules(list(model.parameters()), batches)
    best, value = np.inf, 0.0
    for epoch in range(epochs):
        model.train()
        for part in torch.split(torch.from_numpy(rows)[torch.randperm(len(rows))], batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(X[part]), y[part]).backward()
            optimizer.step()
            scheduler.step()
        model.eval()
        with torch.no_grad():
            held_out = float(nn.functional.cross_entropy(model(X[valid]), y[valid]))
            test = accuracy(model(torch.from_numpy(images.whole_test)).numpy(), images.y_test)
        say(f"joint seed {seed} epoch {epoch + 1}: test {test:.2f} %, held-out loss {held_out:.4f}")
        if held_out < best:
            best, value = held_out, test
    return Result(value, 0, time.process_time() - begun)


def backbone(shape: tuple[int, ...]) -> nn.Module:
    """Return the small network without its last layer."""
    return CNN().network(shape, 10)[:-1]


def rows_of(given: Any, images: Images, seed: int, settings: Settings) -> Any:
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
    found: list[dict[str, Any]] = []
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
            found.append({"row": row, "seed": seed, "images": len(images.y), **asdict(result)})
            if given.json:
                content = {"machine": machine(), "set": given.set, "rows": found}
                given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    table = []
    for row in dict.fromkeys(line["row"] for line in found):
        have = [line for line in found if line["row"] == row]
        values = np.array([line["value"] for line in have])
        beside = PUBLISHED.get(row.split(", 1")[0].split(", 8")[0], "")
        table.append(
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
    show(f"{given.set}, {given.parties} parties", table)
    print("  ".join(f"{key}={value}" for key, value in machine().items()))


if __name__ == "__main__":
    main()
