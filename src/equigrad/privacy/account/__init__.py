"""Privacy accounts: a limit on epsilon, kept in a file, that refuses before anything is released.

Neighbours: ``equigrad.privacy.accounting`` says what releases cost; trainers, scores and markets
charge here.
"""

from equigrad.privacy.account.account import PrivacyAccount
from equigrad.privacy.account.chain import Entry
from equigrad.privacy.account.runs import AccountRun
from equigrad.privacy.account.state import StepCharge

__all__ = ["AccountRun", "Entry", "PrivacyAccount", "StepCharge"]
