"""How fast and how small contribution values are, against naive evaluation and pyDVL.

Everything runs on one core. Times of our exact rule include the Gram product of N uploads of D
parameters; sampled values start from the Gram matrix.

Run: ``python benchmarks/contribution_speed.py [--quick] [--json FILE]``
"""

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from _common import Report, arguments, interleave, ratio, show, timed
from _contribution_memory import memory, one_core
from _shapley_rivals import each_once, gray_code, load_pydvl, naive, pydvl_values, uploads_of
from equigrad.contribution import Cosine, CosineGame, ExactCGSV, SampledCGSV, cosine_game, gram

D = 100_000


def ours(uploads: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return exact values, Gram product included."""
    return ExactCGSV().value(gram(uploads), weights).values


def compare(
    report: Report, part: str, n: int, calls: dict[str, Callable[[], np.ndarray]], repeats: int
) -> list[dict[str, Any]]:
    """Time rivals in turn with "equigrad"; return a row for each, with the paired ratios."""
    want = calls["equigrad"]()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    gap = dict.fromkeys(calls, 0.0)
    for _ in range(repeats):
        for name, call in calls.items():
            spent, got = timed(call)
            seconds[name].append(spent)
            gap[name] = max(gap[name], float(np.abs(got - want).max()))
    rows = []
    for name in calls:
        if name != "equigrad":
            mid, low, high = ratio(seconds[name], seconds["equigrad"])
            measured = {
                "rival_s": median(seconds[name]),
                "equigrad_s": median(seconds["equigrad"]),
                "ratio": mid,
                "ratio_min": low,
                "ratio_max": high,
                "difference": gap[name],
            }
            rows.append(report.row(part=part, n=n, rival=name, **measured))
    return rows


def against_vectors(report: Report, sizes: list[int], repeats: int) -> None:
    """Compare exact values with evaluation of all coalitions on D-vectors."""
    rows = []
    for n in sizes:
        uploads, weights = uploads_of(n, D), np.ones(n)
        rivals = {
            "naive, as defined": naive,
            "each coalition once": each_once,
            "one vector at a time": gray_code,
            "equigrad": ours,
        }
        calls = {name: partial(form, uploads, weights) for name, form in rivals.items()}
        rows += compare(report, "exact against D-vectors", n, calls, repeats)
    show(f"Exact values, D = {D:.0e}, one core, against evaluation on D-vectors", rows)
    report.claim(
        "exact, N = 12, D = 1e5: times faster than naive subset evaluation (as defined)",
        next(r["ratio"] for r in rows if r["n"] == 12 and r["rival"] == "naive, as defined"),
        1000,
        "higher",
    )
    worst = max(row["difference"] for row in rows)
    report.claim("exact: largest difference to values from D-vectors", worst, 1e-10, "lower")


def _value_of_vectors(uploads: np.ndarray, whole: np.ndarray, members: np.ndarray) -> float:
    total = uploads[members].sum(axis=0)
    return float(total @ whole / (np.linalg.norm(total) * np.linalg.norm(whole)))


def _value_of_gram(game: CosineGame, members: np.ndarray) -> float:
    square = game.G[np.ix_(members, members)].sum()
    return float(game.worth(game.g[members].sum(), square))


def against_pydvl(report: Report, sizes: list[int], repeats: int) -> None:
    """Compare exact values with pyDVL's Shapley values of the same game."""
    pydvl = load_pydvl()
    name = "exact: largest difference to pyDVL's values"
    if pydvl is None:
        print("pyDVL cannot be imported here: not compared.")
        report.claim(name, None, 1e-8, "lower")
        return
    rows = []
    for n in sizes:
        uploads, weights = uploads_of(n, D), np.ones(n)
        vectors = partial(_value_of_vectors, uploads, uploads.sum(axis=0))
        products = partial(_value_of_gram, cosine_game(gram(uploads), weights))
        values = partial(pydvl_values, pydvl, n)
        calls = {
            "D-vectors": partial(values, vectors, remember=False),
            "D-vectors, remembered": partial(values, vectors, remember=True),
            "our Gram form, remembered": partial(values, products, remember=True),
            "equigrad": partial(ours, uploads, weights),
        }
        rows += compare(report, "exact against pyDVL", n, calls, repeats)
    show(f"Exact values, D = {D:.0e}, one core, against pyDVL, by the form of its utility", rows)
    report.claim(name, max(row["difference"] for row in rows), 1e-8, "lower")


def cosine_scores(uploads: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return cosine scores, Gram product included."""
    return Cosine().value(gram(uploads), weights).values


def exact_sizes(report: Report, repeats: int) -> None:
    """Time the exact rule up to the largest automatic case, Gram product included."""
    rows = []
    for n in (8, 12, 14, 16, 18, 20):
        uploads, weights = uploads_of(n, D), np.ones(n)
        calls = {
            "all": partial(ours, uploads, weights),
            "gram": partial(gram, uploads),
            "cosine": partial(cosine_scores, uploads, weights),
        }
        seconds = interleave(calls, repeats)
        rows.append(
            report.row(
                part="exact",
                n=n,
                seconds=median(seconds["all"]),
                least=min(seconds["all"]),
                most=max(seconds["all"]),
                gram_s=median(seconds["gram"]),
                cosine_s=median(seconds["cosine"]),
            )
        )
    show(f"Exact values by Gram, D = {D:.0e}, one core, seconds with the Gram product", rows)
    report.claim(
        "exact, N = 20, D = 1e5, Gram included, one core: seconds",
        rows[-1]["seconds"],
        0.5,
        "lower",
    )


def families(n: int) -> dict[str, np.ndarray]:
    """Gram matrices of uploads of norm one, of three kinds."""
    generator = np.random.default_rng(1)
    dimension = 2000
    noise = generator.standard_normal((n, dimension)) / np.sqrt(dimension)
    shared = generator.standard_normal((2, dimension)) / np.sqrt(dimension)
    second = (np.arange(n) >= 0.7 * n).astype(int)
    uploads = {
        "independent directions": noise,
        "shared direction, unequal noise": shared[0]
        + generator.uniform(0.5, 3.0, size=(n, 1)) * noise,
        "two clusters, 70 and 30 %": shared[second] + noise,
        "two tight clusters, 70 and 30 %": shared[second] + 0.1 * noise,
    }
    return {name: gram(u / np.linalg.norm(u, axis=1, keepdims=True)) for name, u in uploads.items()}


def sampled(report: Report, repeats: int) -> None:
    """Time sampled values for many parties, to the stated interval."""
    rows = []
    for n in (100, 1000):
        for name, C in families(n).items():
            runs = [
                timed(
                    lambda C=C, n=n, s=s: SampledCGSV().value(
                        C, np.ones(n), np.random.default_rng(s)
                    )
                )
                for s in range(repeats)
            ]
            seconds, found = [s for s, _ in runs], [v for _, v in runs]
            rows.append(
                report.row(
                    part="sampled",
                    n=n,
                    uploads=name,
                    permutations=max(v.permutations for v in found),
                    seconds=median(seconds),
                    most=max(seconds),
                    worst_half_width=max(float(v.half_width.max()) * n for v in found),
                    converged=all(v.converged for v in found),
                )
            )
    show("Sampled values from the Gram matrix, one core (half-width as share of 1/N)", rows)
    largest = [row for row in rows if row["n"] == 1000]
    report.claim(
        "sampled, N = 1000, slowest kind of uploads: seconds",
        max(row["most"] for row in largest),
        10,
        "lower",
    )
    report.claim(
        "sampled, N = 1000, worst party's 95 % half-width, share of the mean value",
        max(row["worst_half_width"] for row in largest),
        0.05,
        "lower",
    )


def main() -> None:
    """Run all parts and write what was found."""
    options = arguments(__doc__).parse_args()
    one_core()
    report = Report("Contribution values: speed and memory")
    quick = options.quick
    exact_sizes(report, repeats=5 if quick else 21)
    against_vectors(report, [8, 10, 12] if quick else [8, 10, 11, 12], 1 if quick else 3)
    against_pydvl(report, [8, 10] if quick else [8, 10, 12], 1 if quick else 3)
    sampled(report, repeats=1 if quick else 5)
    memory(report)
    report.finish(options.json, ["pydvl"])


if __name__ == "__main__":
    main()
