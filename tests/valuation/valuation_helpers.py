"""What the tests of valuation share: a small trajectory, records, slow scores."""

import torch
from torch import nn

from equigrad.gradients import per_sample_oracle
from equigrad.valuation import Local, Trajectory, score

RESEARCH = Local(research=True)


def numbers(*shape, seed=0):
    """Return float64 normal numbers."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def drawn_states(model, count, seed=0, size=0.6):
    """Return ``count`` states of a model, drawn anew."""
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            name: size * torch.randn(t.shape, generator=generator, dtype=torch.float64).to(t.dtype)
            for name, t in model.state_dict().items()
        }
        for _ in range(count)
    ]


def small_trajectory(count=3, *, d=4, classes=3, model=None, loss=None, seed=0, **options):
    """Return a trajectory of drawn states, of a softmax regression by default."""
    model = nn.Sequential(nn.Linear(d, classes)).double() if model is None else model
    options = {"origin": "public", **options}
    return Trajectory(
        model, drawn_states(model, count, seed), loss or nn.CrossEntropyLoss(), **options
    )


def small_records(n=11, *, d=4, classes=3, seed=1):
    """Return float64 inputs and labels."""
    generator = torch.Generator().manual_seed(seed)
    return numbers(n, d, seed=seed), torch.randint(classes, (n,), generator=generator)


def values_of(trajectory, records, scorer, **options):
    """Return the scores of one scorer under the local view."""
    found = score(trajectory, records, [scorer], **{"view": "local", "assess": False, **options})
    (scores,) = found.values()
    return scores.values


def gradient_rows(trajectory, index, records):
    """Return ``(n, P)``: every record's gradient at a checkpoint, from batches of one."""
    trajectory.model.load_state_dict(dict(trajectory.states[index]))
    trajectory.model.eval()
    rows = per_sample_oracle(trajectory.model, trajectory.loss, *records, vectorised=False)
    return torch.cat([part.flatten(1) for part in rows.values()], dim=1)
