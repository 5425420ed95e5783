"""Private training: Poisson batches, clipped and noisy steps, charges, checkpoints, two doors.

:class:`PrivateTrainer` is the door for PyTorch models; the others serve it. What a step costs is
the business of :mod:`equigrad.privacy.accounting`.
"""

from equigrad.privacy.training.reports import DiagnosticHook, SeededEpsilon, StepReport
from equigrad.privacy.training.sampling import PoissonSampler, poisson_rows
from equigrad.privacy.training.settings import Settings
from equigrad.privacy.training.trainer import PrivateTrainer

__all__ = [
    "DiagnosticHook",
    "PoissonSampler",
    "PrivateTrainer",
    "SeededEpsilon",
    "Settings",
    "StepReport",
    "poisson_rows",
]
