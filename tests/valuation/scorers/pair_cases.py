"""Small models, records and contexts for the scorers that compare with a validation set."""

import torch
from torch import nn

from equigrad.gradients import per_sample_oracle
from equigrad.valuation import ScoringContext, Trajectory
from equigrad.valuation.context import scored_rows


def numbers(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def classes(n, k=3, seed=0):
    return torch.randint(k, (n,), generator=torch.Generator().manual_seed(seed))


class Pictures(nn.Module):
    """A small convolutional network with a group norm."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Tanh(), nn.Flatten(), nn.Linear(64, 3)
        )

    def forward(self, x):
        return self.body(x)


BUILD = {
    "mlp": lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)),
    "conv": Pictures,
    "regression": lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)),
}


def context_of(kind="mlp", n=11, m=5, checkpoints=2, **options):
    """Return a context of random records and checkpoints, in float64."""
    states = []
    with torch.random.fork_rng():
        for seed in range(checkpoints):
            torch.manual_seed(seed)
            model = BUILD[kind]().double()
            states.append({k: v.clone() for k, v in model.state_dict().items()})
    shape = (1, 6, 6) if kind == "conv" else (4,)
    if kind == "regression":
        records = (numbers(n, *shape, seed=1), numbers(n, 2, seed=2))
        validation = (numbers(m, *shape, seed=3), numbers(m, 2, seed=4))
    else:
        records = (numbers(n, *shape, seed=1), classes(n, seed=2))
        validation = (numbers(m, *shape, seed=3), classes(m, seed=4))
    trajectory = Trajectory(
        model,
        states,
        nn.MSELoss() if kind == "regression" else nn.CrossEntropyLoss(),
        origin="public",
        learning_rates=tuple(0.5 / (t + 1) for t in range(checkpoints)),
    )
    return ScoringContext(
        trajectory, scored_rows(records), validation=scored_rows(validation), **options
    )


def written_out(context, rows=None, index=-1):
    """Return every record's gradient by parameter name at a checkpoint, by batches of one."""
    rows = context.rows if rows is None else rows
    inputs, labels = rows.take(torch.arange(len(rows)))
    source = context.trajectory
    with source.opened() as model:
        source.load(range(len(source))[index])
        return per_sample_oracle(model, source.loss, inputs, labels, vectorised=False)


def joined(rows):
    """Return gradients by name as ``(n, P)``."""
    return torch.cat([part.flatten(1) for part in rows.values()], dim=1)
