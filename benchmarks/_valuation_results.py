"""Results kept in a folder, so that a killed run goes on; means with their 95 % intervals."""

import json
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import t as student

__all__ = ["best_text", "interval", "kept", "mean_text", "run_all"]

Cell = dict[str, Any]


def kept(file: Path, make: Callable[[], Cell]) -> Cell:
    """Return the cell in ``file``; make and write it if it is not there."""
    if not file.exists():
        cell = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_text(json.dumps(cell, indent=1) + "\n", encoding="utf-8")
        part.replace(file)
    return dict(json.loads(file.read_text(encoding="utf-8")))


def run_all(
    files: Iterable[tuple[Path, Callable[[], Cell]]], *, only_read: bool = False
) -> list[Cell]:
    """Return the cells of all files that are there, after making those that are not."""
    wanted = list(files)
    left = 0 if only_read else sum(not file.exists() for file, _ in wanted)
    done, cells = 0, []
    for file, make in wanted:
        missing = not file.exists()
        if missing and only_read:
            continue
        cells.append(kept(file, make))
        if missing:
            done += 1
            print(f"{file.stem}: {done}/{left}", flush=True)
    return cells


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and half-width of the 95 % Student interval over seeds (NaN for one)."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, math.nan
    error = statistics.stdev(values) / math.sqrt(len(values))
    return mean, float(student.ppf(0.975, len(values) - 1)) * error


def mean_text(values: Sequence[float | None], digits: int = 3) -> str:
    """Return mean and half-width as text, without the latter for one value; '' for none."""
    found = [v for v in values if v is not None and not math.isnan(v)]
    if not found:
        return ""
    mean, half = interval(found)
    return f"{mean:.{digits}f}" + ("" if math.isnan(half) else f"±{half:.{digits}f}")


def best_text(texts: Sequence[str]) -> float | None:
    """Return the greatest mean among texts of :func:`mean_text`."""
    means = [float(text.partition("±")[0]) for text in texts if text]
    return max(means, default=None)
