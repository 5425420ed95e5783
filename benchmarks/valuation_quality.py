"""How well scores of records find wrong labels, with and without DP, and whether to act on them.

Parts: ``detection`` (MNIST-1000 over epsilon), ``opendataval`` (tables, against KNN-Shapley,
Data-OOB, Data Shapley and pyDVL), ``selection`` (training on selected records at equal epsilon),
``combined`` (scorers put together, against the best single one). Noise and batches come from
seeds: rehearsals, nothing is private. Results lie in a folder, one JSON file per cell; run the
command again to go on.

    python benchmarks/valuation_quality.py --part detection --folder valuation-runs
    python benchmarks/valuation_quality.py --part opendataval --sets adult --peers peers/bin/python

The peers need an environment of their own, since pyDVL 0.10 wants NumPy below 2:

    python3.11 -m venv peers && peers/bin/pip install 'pydvl==0.10.*' 'numpy<2' 'torch==2.13.0'
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one thread

import argparse
import tempfile
import time
from pathlib import Path

import torch

from _common import Report, arguments
from _valuation_combined import combined_part
from _valuation_detection import detection_part
from _valuation_opendataval import opendataval_part
from _valuation_selection import selection_part
from equigrad.errors import EquigradError

PARTS = {
    "detection": detection_part,
    "opendataval": opendataval_part,
    "selection": selection_part,
    "combined": combined_part,
}


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        if options.folder is None:
            options.folder = Path(scratch) if options.quick else Path("valuation-runs")
        report = Report("Scores of records")
        started = time.perf_counter()
        for part in options.part:
            PARTS[part](options, report)
        print(f"{time.perf_counter() - started:.0f} s")
        report.finish(options.json, ("scipy", "scikit-learn", "dp-accounting"))


def _options() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--part", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument(
        "--folder", type=Path, help="of the results (valuation-runs; a quick run keeps none)"
    )
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED")
    parser.add_argument("--sets", nargs="+", metavar="SET", help="these sets of a part")
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter that has pyDVL 0.10")
    parser.add_argument(
        "--budget", type=float, default=60.0, help="seconds that a peer may take for one seed"
    )
    parser.add_argument("--tables", action="store_true", help="show what is there, run nothing")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except EquigradError as error:  # a missing data file, mostly: the message says what to do
        raise SystemExit(str(error)) from None
