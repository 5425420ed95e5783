"""pyDVL's influence for ``valuation_speed.py``, run by the interpreter that has it: pyDVL 0.10.

A script of its own, since pyDVL 0.10 needs NumPy below 2. Files are exchanged by name:

    peers/bin/python _influence_peer.py direct|cg INPUT.npz OUTPUT.npz THREADS

INPUT has x, y, x_val, y_val, weight, bias and damping; OUTPUT gets values (n,), the mean over the
validation records (higher: training on the record lowers their loss), and the seconds spent.
"""

import sys
import time
import warnings

import numpy as np
import torch

warnings.simplefilter("ignore")  # pyDVL 0.10 warns of its own dependencies' future


def main() -> None:
    kind, source, target, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    from pydvl.influence.torch import CgInfluence, DirectInfluence

    given = np.load(source)
    x, x_val = (torch.tensor(given[key]) for key in ("x", "x_val"))
    y, y_val = (torch.tensor(given[key]) for key in ("y", "y_val"))
    weight, bias = torch.tensor(given["weight"]), torch.tensor(given["bias"])
    model = torch.nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        model.weight.copy_(weight)
        model.bias.copy_(bias)
    batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=200)
    maker = {"direct": DirectInfluence, "cg": CgInfluence}[kind]
    start = time.perf_counter()
    fitted = maker(
        model, torch.nn.functional.cross_entropy, regularization=float(given["damping"])
    ).fit(batches)
    found = fitted.influences(x_val, y_val, x, y)
    seconds = time.perf_counter() - start
    np.savez(target, values=found.mean(0).detach().numpy().astype(float), seconds=seconds)


if __name__ == "__main__":
    main()
