"""PyTorch's own generators during a step: what dropout draws follows from the run's key.

They are put to a seed from the key for every chunk of a batch, on the CPU and on the model's
device, and afterwards back to where they were. Neighbours: :mod:`.release` and :mod:`.paired`.
"""

import contextlib
from collections.abc import Iterator

import torch

from equigrad.privacy.noise import NoiseKey

__all__ = ["isolated_torch_generator", "seed_torch"]


def seed_torch(key: NoiseKey, nonce: int, number: int, device: torch.device) -> None:
    """Seed PyTorch's generators, which dropout uses, for one chunk of a step.

    Parameters
    ----------
    key, nonce, number
        The run's key, the step's nonce and the number of the chunk.
    device
        Where the model is.
    """
    seed = int(key.words(nonce, "sample", 1, 2 + number)[0] >> 1)
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        with device:
            torch.get_device_module(device).manual_seed(seed)


@contextlib.contextmanager
def isolated_torch_generator(device: torch.device) -> Iterator[None]:
    """Give PyTorch's global generators, of the CPU and of ``device``, back as they were found."""
    state = torch.get_rng_state()
    there = None if device.type == "cpu" else torch.get_device_module(device)
    state_there = None if there is None else there.get_rng_state(device)
    try:
        yield
    finally:
        torch.set_rng_state(state)
        if there is not None:
            there.set_rng_state(state_there, device)
