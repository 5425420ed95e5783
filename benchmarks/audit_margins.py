"""How near honest parties come to the audits' thresholds for echoes and clones.

Everybody is honest; shown are the largest cosine of an upload with its party's own last reward and
with another party's upload. ``--quick`` plays scikit-learn's sets only; the others need
``EQUIGRAD_DATA``.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from _common import Report, arguments, show
from equigrad.contribution.audit import AuditSettings
from equigrad.federation.config.schema import RunConfig
from equigrad.federation.record.chain import read_record
from equigrad.federation.runner import run

SETTINGS = (  # data, parties, split, model, lr, batch size, epochs, rounds, seeds
    ("digits", 8, "power-law", "mlp", 0.1, 16, 2, 15, 3),
    ("iris", 3, "uniform", "mlp", 0.1, 8, 1, 6, 1),
    ("breast_cancer", 3, "uniform", "logistic", 0.1, 16, 1, 6, 1),
    ("mnist", 3, "uniform", "logistic", 0.1, 64, 1, 6, 1),
    ("adult", 3, "uniform", "logistic", 0.1, 256, 1, 6, 1),
    ("dutch_census", 3, "uniform", "logistic", 0.1, 256, 1, 6, 1),
)
IN_SCIKIT_LEARN = 3


def margins(setting: tuple[Any, ...], seed: int) -> tuple[float, float]:
    """Return the largest echo and clone cosine of one run."""
    data, parties, split, model, lr, batch_size, epochs, rounds, _ = setting
    config = RunConfig.model_validate(
        {
            "seed": seed,
            "rounds": rounds,
            "data": {"name": data},
            "partition": {"rule": split, "parties": parties},
            "model": {"factory": model},
            "training": {"lr": lr, "batch_size": batch_size, "epochs": epochs},
            "audit": {"action": "flag"},
            "evaluation": {"standalone": False, "every": rounds},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        record = read_record(run(config, Path(folder) / "run", report=False) / "record.jsonl")
    audits = [line.body["audit"] for line in record if line.stage == "appraise"]
    return max(max(a["echo"]) for a in audits), max(max(a["clone"]) for a in audits)


def main() -> None:
    """Play the settings and print the table."""
    options = arguments(__doc__).parse_args()
    report = Report("Margins of the audits: everybody is honest")
    limits = AuditSettings()
    for setting in SETTINGS[:IN_SCIKIT_LEARN] if options.quick else SETTINGS:
        found = [margins(setting, seed) for seed in range(setting[-1])]
        echo, clone = (max(column) for column in zip(*found, strict=True))
        row = {"data": setting[0], "parties": setting[1], "split": setting[2], "model": setting[3]}
        report.row(**row, echo=echo, clone=clone)
        print(f"{setting[0]}: echo {echo:.4f}, clone {clone:.5f}", file=sys.stderr)
    show("Largest cosines of honest parties", report.rows)
    for key, limit in (("echo", limits.echo), ("clone", limits.clones)):
        largest = max(float(row[key]) for row in report.rows)
        report.claim(f"honest parties: largest {key} cosine", largest, limit, "lower")
    report.finish(options.json)


if __name__ == "__main__":
    main()
