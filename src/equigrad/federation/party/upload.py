"""From an update to an upload: the bound that was announced, then the party's own noise.

Nothing leaves a party that has not passed here. The bounds are :mod:`equigrad.reward.bound`'s.
"""

from typing import Literal

import torch

from equigrad.errors import ConfigError, UploadError
from equigrad.federation.messages import Bounding
from equigrad.reward.bound import BOUNDS

__all__ = ["bounded", "noised"]


def bounded(update: torch.Tensor, bounding: Bounding, gamma: float | None) -> torch.Tensor:
    """Return the upload ``(D,)`` of an update under the bound that was announced.

    An update with NaN or infinity is returned as it is: no bound can mend it, and the coordinator
    refuses it by name.

    Raises
    ------
    ConfigError
        If a bound was announced without an upload norm.
    """
    if bounding == "none":
        return update
    if gamma is None:
        raise ConfigError(f"Expected gamma with bounding={bounding!r}, got none.")
    try:
        return torch.from_numpy(BOUNDS[bounding]()(update.numpy(), gamma))
    except UploadError:
        return update


def noised(
    upload: torch.Tensor,
    kind: Literal["gaussian", "laplace"],
    deviation: float,
    generator: torch.Generator,
) -> torch.Tensor:
    """Return an upload plus independent noise on every entry; ``upload`` is not changed.

    Parameters
    ----------
    upload
        ``(D,) float32`` on the CPU, bounded.
    kind
        Distribution of the noise; its mean is zero.
    deviation
        Standard deviation of the noise, > 0, whatever the kind (a Laplace scale is
        ``deviation / sqrt(2)``).
    generator
        The only source of the noise.
    """
    if kind == "gaussian":
        noise = torch.randn(upload.shape, generator=generator, dtype=torch.float64)
    else:
        # Inverse distribution function, on uniform numbers in (0, 1]: the logarithm stays finite.
        size = 1 - torch.rand(upload.shape, generator=generator, dtype=torch.float64)
        sign = 2 * torch.randint(2, upload.shape, generator=generator) - 1
        noise = -sign * size.log() / 2**0.5
    return upload + (deviation * noise).to(upload.dtype)
