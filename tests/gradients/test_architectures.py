"""Random architectures: tied, reused and frozen layers, in-place activations, several inputs."""

import torch
from agreement import agree, numbers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

WIDTH = 4


class Mixed(nn.Module):
    """A chain of drawn blocks on ``(B, T, WIDTH)``; a block may be used again or tied."""

    def __init__(self, ids, plan, tie_output):
        super().__init__()
        self.table = nn.Embedding(7, WIDTH, padding_idx=0) if ids else None
        made = [_block(kind, k) for k, (kind, _, _) in enumerate(plan)]
        self.blocks = nn.ModuleList(made)
        self.order = [again % (k + 1) if again is not None else k
                      for k, (_, again, _) in enumerate(plan)]  # fmt: skip
        self.out = nn.Linear(WIDTH, 7, bias=False)
        if tie_output and ids:
            self.out.weight = self.table.weight
        for block, (_, _, frozen) in zip(made, plan, strict=True):
            block.requires_grad_(not frozen)

    def forward(self, x, extra=None):
        x = self.table(x) if self.table is not None else x
        for k in self.order:
            x = self.blocks[k](x)
        if extra is not None:
            x = x + extra[:, None, None]
        return self.out(x)


class Attend(nn.Module):
    def __init__(self):
        super().__init__()
        self.attend = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, x):
        return x + self.attend(x, x, x, need_weights=False)[0]


class Read(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.rnn = kind(WIDTH, WIDTH, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0]


class Filter(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(WIDTH, WIDTH, 3, padding=1, groups=2)

    def forward(self, x):
        return self.conv(x.mT).mT


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.linspace(0.5, 1.5, WIDTH))

    def forward(self, x):
        return x * self.slope


class Tied(nn.Module):
    """Two layers that share a weight but not the bias."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.two(self.one(x).tanh())


def _block(kind, seed):
    blocks = {
        "linear": lambda: nn.Linear(WIDTH, WIDTH),
        "relu": lambda: nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.LeakyReLU(0.1, inplace=True)),
        "norm": lambda: nn.Sequential(nn.LayerNorm(WIDTH), nn.SiLU(inplace=True)),
        "attend": Attend,
        "lstm": lambda: Read(nn.LSTM),
        "gru": lambda: Read(nn.GRU),
        "conv": Filter,
        "own": Own,
        "tied": Tied,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return blocks[kind]()


KINDS = ["linear", "relu", "norm", "attend", "lstm", "gru", "conv", "own", "tied"]
BLOCK = st.tuples(
    st.sampled_from(KINDS),
    st.one_of(st.none(), st.integers(0, 5)),  # the block to use again, if any
    st.sampled_from([True, False, False]),  # frozen
)


@settings(deadline=None, max_examples=40)
@given(
    plan=st.lists(BLOCK, min_size=1, max_size=4),
    ids=st.booleans(),
    tie_output=st.booleans(),
    rows=st.integers(1, 4),
    length=st.integers(1, 5),
    second=st.sampled_from([None, "tuple", "mapping"]),
)
def test_random_architectures_agree_with_the_oracle(plan, ids, tie_output, rows, length, second):
    model = Mixed(ids, plan, tie_output).double()
    x = numbers(rows, length, WIDTH)
    if ids:
        generator = torch.Generator().manual_seed(rows + length)
        x = torch.randint(0, 7, (rows, length), generator=generator)
    extra = numbers(rows, seed=9)
    inputs = {None: x, "tuple": (x, extra), "mapping": {"x": x, "extra": extra}}[second]
    agree(model, inputs)
