"""Nothing of size n x P: ten million parameters and 512 records stay far below 20 GiB."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_GIB = 2.0

PROGRAM = """
import pathlib, torch
from torch import nn
from equigrad.valuation import Trajectory, score, validation_matrix

def peak():
    # Of this program: the system's ru_maxrss starts from that of the process which began it.
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20

torch.set_num_threads(1)
torch.manual_seed(0)
model = nn.Sequential(
    nn.Linear(784, 3200), nn.ReLU(), nn.Linear(3200, 2350), nn.ReLU(), nn.Linear(2350, 10)
)
assert sum(p.numel() for p in model.parameters()) > 10**7
state = {name: t.clone() for name, t in model.state_dict().items()}
trajectory = Trajectory(
    model, [state], nn.CrossEntropyLoss(), origin="public", learning_rates=(0.1,)
)
records = torch.randn(512, 784), torch.randint(10, (512,))
others = records[0][:64], records[1][:64]
before = peak()
names = ["grad-norm", "tracin", "tracin-self"]
score(trajectory, records, names, view="local", validation=others)
validation_matrix(trajectory, records, others, "grad-dot", view="local")
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_norms_and_products_of_a_large_model_fit_into_two_gibibytes():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < LIMIT_GIB
    assert float(done.stdout) > 0.02, "it did not measure anything"
