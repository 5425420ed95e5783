"""The data of ``equigrad init --kind vertical``: one real table, dealt to three parties by columns.

Wisconsin's breast cancer data, which scikit-learn ships: 569 patients, ten measurements of cells,
each as mean, standard error and worst.
"""

from pathlib import Path

__all__ = ["write_example"]

_COLUMNS = {"clinic": "mean", "laboratory": "error", "imaging": "worst"}
_MISSING = {"laboratory": 60, "imaging": 90}


def write_example(folder: Path) -> None:
    """Write a CSV file for each party, in an order of its own, and a new alignment key.

    The laboratory has not seen 60 of the patients, the imaging centre 90.
    """
    import numpy as np
    from sklearn.datasets import load_breast_cancer

    from equigrad.federation.vertical.keys import make_key

    loaded = load_breast_cancer(as_frame=True)
    frame = loaded.data
    patients = [f"P{number:04d}" for number in range(len(frame))]
    folder.mkdir(parents=True)
    for number, (party, word) in enumerate(_COLUMNS.items()):
        own = frame[[name for name in frame.columns if word in name.split()]].copy()
        own.columns = [name.replace(" ", "_") for name in own.columns]
        own.insert(0, "patient", patients)
        if party == "clinic":
            names = loaded.target_names[loaded.target]
            own["diagnosis"] = names
        order = np.random.default_rng(number).permutation(len(own))
        own.iloc[order[_MISSING.get(party, 0) :]].to_csv(folder / f"{party}.csv", index=False)
    make_key(folder / "alignment.key")
