"""Privacy accounts: a limit on epsilon, kept in a file, that refuses before anything is released.

Neighbours: ``equigrad.privacy.accounting`` says what releases cost; trainers, scores and markets
charge here.
"""

from equigrad.privacy.account.account import PrivacyAccount
from equigrad.privacy.account.chain import Entry
from equigrad.privacy.account.runs import AccountRun
from equigrad.privacy.account.sales import SALE_COSTS, Sale, SalesAccount
from equigrad.privacy.account.state import StepCharge

__all__ = [
    "SALE_COSTS",
    "AccountRun",
    "Entry",
    "PrivacyAccount",
    "Sale",
    "SalesAccount",
    "StepCharge",
]
