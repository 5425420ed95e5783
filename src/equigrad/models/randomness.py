"""PyTorch's global generator, lent to one user at a time and given back as it was.

``torch.nn`` draws initial weights and dropout masks from one generator for the whole process.
Whoever needs it takes it through :func:`private_rng`: seeded, behind a lock that all threads share,
and restored afterwards. Models that draw nothing (:func:`uses_global_rng`) never take the lock.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from equigrad.models.modes import preserved, set_training_mode

__all__ = ["private_rng", "uses_global_rng"]

# One lock for the process, because there is one global generator for the process. It is re-entrant:
# a factory that is called under it may build a part of its model through build_model.
_LOCK = threading.RLock()


@contextmanager
def private_rng(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Lend the global generators of the CPU and of ``device``, seeded; restore them afterwards.

    Two threads are never inside at the same time.
    """
    where = torch.device(device)
    accelerators = [where] if where.type == "cuda" else []
    with _LOCK, torch.random.fork_rng(devices=accelerators):
        torch.default_generator.manual_seed(seed)
        for accelerator in accelerators:
            with torch.cuda.device(accelerator):
                torch.cuda.manual_seed(seed)
        yield


def uses_global_rng(
    model: nn.Module, batch: torch.Tensor, *, frozen: Iterable[nn.Module] = ()
) -> bool:
    """Return whether a forward pass in training mode draws from PyTorch's global generator.

    Dropout does. Model, buffers, modes and the generators are afterwards as before. Random numbers
    from elsewhere (NumPy, Python) are not seen; a model that uses them is not reproducible.

    Parameters
    ----------
    model
        Any model.
    batch
        Features ``(n, *shape)`` on the model's device.
    frozen
        Modules that stay in evaluation mode.
    """
    with private_rng(0, batch.device), preserved(model), torch.no_grad():
        before = _generator_states(batch.device)
        set_training_mode(model, frozen)
        model(batch)
        after = _generator_states(batch.device)
    return any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def _generator_states(device: torch.device) -> list[torch.Tensor]:
    states = [torch.random.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states
