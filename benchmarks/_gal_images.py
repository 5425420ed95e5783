"""Patches of images by party, and what each row of the table of images trains."""

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from equigrad.assistance import (
    CNN,
    LocalParties,
    Pass,
    Settings,
    make_loss,
    party_seed,
    train,
)
from equigrad.data import load

__all__ = [
    "Images",
    "Result",
    "accuracy",
    "assisted",
    "backbone",
    "joint",
    "read",
    "say",
    "sequential",
]


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
