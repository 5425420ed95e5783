"""PyTorch's losses become one number per record; anything else is held to it."""

import functools

import pytest
import torch
from torch import nn

from equigrad.errors import ModelError
from equigrad.gradients.checks import check_per_sample, per_record_loss, record_losses

LOGITS = torch.randn(4, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([[0, 1, 2, 0, 1], [2, 2, -100, 0, -100], [1, 1, 1, 1, 1], [0, 0, 0, 2, 2]])


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(),
        nn.CrossEntropyLoss(reduction="sum", label_smoothing=0.1),
        nn.functional.cross_entropy,
        functools.partial(nn.functional.cross_entropy, reduction="sum", ignore_index=2),
        functools.partial(nn.functional.cross_entropy, ignore_index=-100),
    ],
)
def test_class_losses_are_what_they_are_on_a_batch_of_one(loss):
    targets = CLASSES if "ignore_index=2" not in repr(loss) else CLASSES.clamp(min=0)
    losses = per_record_loss(loss)(LOGITS, targets)
    want = torch.stack([loss(LOGITS[i : i + 1], targets[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(losses, want)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    "kind", [nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.BCEWithLogitsLoss]
)
def test_elementwise_losses(kind, reduction):
    loss = kind(reduction=reduction)
    targets = LOGITS.roll(1, 0).sigmoid()
    losses = per_record_loss(loss)(LOGITS, targets)
    want = torch.stack([loss(LOGITS[i], targets[i]) for i in range(4)])
    torch.testing.assert_close(losses, want)
    assert loss.reduction == reduction


def test_divergence_over_the_batch_size_is_a_sum_per_record():
    loss = nn.KLDivLoss(reduction="batchmean")
    p, q = LOGITS[:, :, 0].log_softmax(1), LOGITS[:, :, 1].softmax(1)
    losses = per_record_loss(loss)(p, q)
    torch.testing.assert_close(losses.mean(), loss(p, q))


def test_broadcasting_is_refused():
    loss = per_record_loss(nn.MSELoss())
    with pytest.raises(ModelError, match="other records' targets"):
        loss(torch.zeros(4, 1), torch.zeros(4))


def test_unknown_losses_and_unreduced_ones_are_kept():
    own = nn.CrossEntropyLoss(reduction="none")
    assert per_record_loss(own) is own

    def mine(outputs, targets):
        return outputs.sum(1)

    assert per_record_loss(mine) is mine

    class Weighted(nn.CrossEntropyLoss):
        def forward(self, outputs, targets):
            return 2 * super().forward(outputs, targets)

    special = Weighted()
    assert per_record_loss(special) is special


@pytest.mark.parametrize(
    "value",
    [torch.zeros(()), torch.zeros(4, 2), torch.zeros(3), torch.zeros(4, dtype=torch.long), 1.0],
)
def test_other_shapes_are_refused_with_the_remedy(value):
    with pytest.raises(ModelError, match='reduction="none"'):
        record_losses(value, 4)


def test_a_right_loss_passes_and_a_scalar_is_refused_by_the_check():
    model = nn.Linear(3, 2)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    y = torch.tensor([0, 1, 0, 1])
    check_per_sample(model, x, nn.CrossEntropyLoss(), y)
    with pytest.raises(ModelError, match="a scalar"):
        check_per_sample(model, x, lambda out, y: nn.functional.cross_entropy(out, y), y)
