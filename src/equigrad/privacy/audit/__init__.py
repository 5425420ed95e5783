"""Privacy audits: empirical lower bounds on epsilon that a wrong trainer exceeds.

Two forms. :func:`judge_one_run` needs one training run with canaries and works for any model; it
sees gross mistakes only. :func:`judge_repeated` needs thousands of runs of a tiny trainer and sees
a sensitivity that is wrong by a factor of two. Neither proves privacy, and each says so.
"""

from equigrad.privacy.audit.canaries import Dirac, Mislabelled, coins, dirac, mislabelled
from equigrad.privacy.audit.one_run import (
    OneRunAudit,
    judge_one_run,
    one_run_bound,
    one_run_ceiling,
    one_run_p_value,
)
from equigrad.privacy.audit.repeated import (
    RepeatedAudit,
    gaussian_claim,
    gaussian_lower_bound,
    judge_repeated,
)
from equigrad.privacy.audit.trials import audit_training, dirac_one_run, dirac_repeated

__all__ = [
    "Dirac",
    "Mislabelled",
    "OneRunAudit",
    "RepeatedAudit",
    "audit_training",
    "coins",
    "dirac",
    "dirac_one_run",
    "dirac_repeated",
    "gaussian_claim",
    "gaussian_lower_bound",
    "judge_one_run",
    "judge_repeated",
    "mislabelled",
    "one_run_bound",
    "one_run_ceiling",
    "one_run_p_value",
]
