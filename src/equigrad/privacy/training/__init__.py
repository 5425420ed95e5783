"""Private training: Poisson batches, clipped and noisy steps, charges, checkpoints, two doors.

:class:`PrivateTrainer` is the door for PyTorch models, :class:`PrivateClassifier` the one for
tables; the others serve them. What a step costs is the business of
:mod:`equigrad.privacy.accounting`.
"""

from equigrad.privacy.training.classifier import PrivateClassifier
from equigrad.privacy.training.paired import NOT_PRIVATE, PairedTrainer, paired_non_private
from equigrad.privacy.training.reports import DiagnosticHook, SeededEpsilon, StepReport
from equigrad.privacy.training.sampling import PoissonSampler, poisson_rows
from equigrad.privacy.training.settings import Settings
from equigrad.privacy.training.stopping import EarlyStopping, PaidEvaluation, PublicData
from equigrad.privacy.training.trainer import PrivateTrainer

__all__ = [
    "NOT_PRIVATE",
    "DiagnosticHook",
    "EarlyStopping",
    "PaidEvaluation",
    "PairedTrainer",
    "PoissonSampler",
    "PrivateClassifier",
    "PrivateTrainer",
    "PublicData",
    "SeededEpsilon",
    "Settings",
    "StepReport",
    "paired_non_private",
    "poisson_rows",
]
