"""Noise that nobody can predict and any step can replay: keys, Gaussian and Laplace mechanisms.

Bits come from AES-256 in counter mode (:class:`NoiseKey`). Each mechanism has a secure form,
rounded on a public grid, and a fast one without mitigation of floating-point attacks.
"""

from equigrad.privacy.noise.gaussian import (
    FAST_FORM,
    ROUNDED_FORM,
    GaussianMechanism,
    batch_cap,
    count_mechanism,
    rows_in_one_sum,
    summation_error,
)
from equigrad.privacy.noise.key import STREAMS, KeyStream, NoiseKey
from equigrad.privacy.noise.laplace import LaplaceMechanism
from equigrad.privacy.noise.normals import normals
from equigrad.privacy.noise.prefetch import Prefetch

__all__ = [
    "FAST_FORM",
    "ROUNDED_FORM",
    "STREAMS",
    "GaussianMechanism",
    "KeyStream",
    "LaplaceMechanism",
    "NoiseKey",
    "Prefetch",
    "batch_cap",
    "count_mechanism",
    "normals",
    "rows_in_one_sum",
    "summation_error",
]
