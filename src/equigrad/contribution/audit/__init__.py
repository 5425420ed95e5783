"""Audits for free riders: who uploads its own reward, another's upload, or nothing at all.

They need a few inner products only, so that anyone can repeat them from the record.
Neighbour of the contribution rules, which pay by direction and so pay an echo well; the
federation acts on the flags.

Limits: a party that mixes a little honest work into an echo passes; the third audit needs five
rounds, whose rewards are gone by then, and is off below 1000 parameters; under declared noise
the first two find copies that were made noise and all, but whoever copies and adds noise of its
own is out of their sight ("not testable", never "clean"), and the third says nothing. Where fewer
than half of the parties bring anything new (one honest party against one that uploads noise, a
majority of free riders, everybody converged) the third audit is silent.
"""

from equigrad.contribution.audit.check import check
from equigrad.contribution.audit.flags import AuditState, Flag
from equigrad.contribution.audit.merge import membership, merge_gram, share_values
from equigrad.contribution.audit.report import AuditReport
from equigrad.contribution.audit.settings import AuditSettings

__all__ = [
    "AuditReport",
    "AuditSettings",
    "AuditState",
    "Flag",
    "check",
    "membership",
    "merge_gram",
    "share_values",
]
