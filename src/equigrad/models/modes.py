"""Leave a model as it was found: its modes (training or evaluation) and its buffers."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from equigrad.gradients.calling import buffers_kept, evaluating

__all__ = ["preserved", "set_training_mode"]


def set_training_mode(model: nn.Module, frozen: Iterable[nn.Module]) -> None:
    """Put ``model`` into training mode, except the ``frozen`` modules, in place."""
    model.train()
    for module in frozen:
        module.eval()


@contextmanager
def preserved(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Restore modes and buffers of ``model`` afterwards; yields copies of the buffers."""
    with buffers_kept(model) as buffers, evaluating(model):
        yield buffers
