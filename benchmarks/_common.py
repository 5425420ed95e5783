"""What every benchmark script shares: timing, claims, tables, JSON, the machine line.

A benchmark measures rivals interleaved (a, b, a, b, ...), so that a slow moment of the machine
hits both; it compares medians and shows their spread. Its numbers become *claims*, each with a
target, and *rows*, the full table. It never asserts a time.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

__all__ = [
    "Claim",
    "Report",
    "arguments",
    "cpu_name",
    "interleave",
    "machine",
    "memory_mib",
    "ratio",
    "show",
    "timed",
]

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Claim:
    """One measured number against its target; ``holds`` is None where it was not measured."""

    name: str
    value: float | None
    target: float
    better: Better
    holds: bool | None = field(init=False)

    def __post_init__(self) -> None:
        holds = None
        if self.value is not None:
            higher = self.better == "higher"
            holds = bool(self.value >= self.target if higher else self.value <= self.target)
        object.__setattr__(self, "holds", holds)


@dataclass
class Report:
    """Claims and rows of one benchmark run; ``finish`` prints the claims and writes the JSON."""

    title: str
    claims: list[Claim] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def claim(self, name: str, value: float | None, target: float, better: Better) -> None:
        """Add one claim."""
        self.claims.append(Claim(name, value, target, better))

    def row(self, **cells: Any) -> dict[str, Any]:
        """Add one row of the full table and return it."""
        self.rows.append(cells)
        return cells

    def finish(self, json_file: Path | None, packages: Sequence[str] = ()) -> None:
        """Print the claims; write claims, rows and the machine to ``json_file`` if given."""
        show(
            f"{self.title}: claims",
            [
                {
                    "claim": c.name,
                    "value": c.value,
                    "target": f"{'>=' if c.better == 'higher' else '<='} {c.target:g}",
                    "holds": {True: "yes", False: "NO", None: "not measured"}[c.holds],
                }
                for c in self.claims
            ],
        )
        print("  ".join(f"{key}={value}" for key, value in machine(packages).items()))
        self.save(json_file, packages)

    def save(self, json_file: Path | None, packages: Sequence[str] = ()) -> None:
        """Write what has been measured so far to ``json_file`` if given, in one piece.

        A long benchmark calls this after each table, so that a stop loses no finished one.
        """
        if json_file is None:
            return
        content = {
            "title": self.title,
            "command": " ".join(["python", *sys.argv]),
            "machine": machine(packages),
            "claims": [asdict(c) for c in self.claims],
            "rows": self.rows,
        }
        json_file.parent.mkdir(parents=True, exist_ok=True)
        beside = json_file.with_name(json_file.name + ".part")
        beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        beside.replace(json_file)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that has the options every benchmark has: ``--json`` and ``--quick``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write claims and rows here")
    parser.add_argument("--quick", action="store_true", help="a smaller run, within 50 seconds")
    return parser


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return wall seconds and the result of one call."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def interleave(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Time every call ``repeats`` times in turn, after one untimed call of each."""
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            seconds[name].append(timed(call)[0])
    return seconds


def ratio(slow: Sequence[float], fast: Sequence[float]) -> tuple[float, float, float]:
    """Return median, least and largest of the paired ratios ``slow[k] / fast[k]``."""
    ratios = [s / f for s, f in zip(slow, fast, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def memory_mib() -> tuple[float, float]:
    """Return the process's resident memory now and at its largest so far, in MiB.

    Where the system does not tell (elsewhere than on Linux) both are the largest so far.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        now, most = (float(lines[key].split()[0]) / 2**10 for key in ("VmRSS", "VmHWM"))
        return now, most
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mib = peak / (2**20 if sys.platform == "darwin" else 2**10)
    return mib, mib


def cpu_name() -> str:
    """Return the processor's name, as well as the system knows it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine(packages: Sequence[str] = ()) -> dict[str, str]:
    """Return processor, cores, system, Python and the versions of the named packages."""
    described = {
        "cpu": cpu_name(),
        "cores": str(os.cpu_count()),
        "system": platform.system(),
        "python": platform.python_version(),
    }
    for package in ("equigrad", "numpy", "torch", *packages):
        try:
            described[package] = version(package)
        except PackageNotFoundError:
            described[package] = "not installed"
    return described


def show(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows of equal keys as one table; floats get four significant digits.

    The key ``part``, which tells the tables of one JSON file apart, is left out.
    """
    if not rows:
        return
    table = Table(title=title, title_justify="left")
    keys = [key for key in rows[0] if key != "part"]
    for key in keys:
        table.add_column(key, justify="left" if isinstance(rows[0][key], str) else "right")
    for row in rows:
        cells = [row[key] for key in keys]
        table.add_row(*(f"{c:.4g}" if isinstance(c, float) else str(c) for c in cells))
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    console.print(table)
    console.file.flush()
