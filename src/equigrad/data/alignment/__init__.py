"""Row alignment: which rows parties have in common, found without showing an identifier.

Identifiers are folded to one spelling, replaced by keyed digests, and put into digest order, so
that no file's own order is ever seen. Pure functions over arrays and bytes. Who holds the key can
test guessed identifiers; :mod:`~equigrad.data.alignment.psi` keeps from a party the digests of
rows it does not hold.
"""

from equigrad.data.alignment.digests import (
    DIGEST_BYTES,
    KEY_BYTES,
    check_key,
    check_unique,
    digest_ids,
    order_by_digest,
)
from equigrad.data.alignment.identifiers import FOLDS, fold_id, identifier_texts
from equigrad.data.alignment.intersect import check_common, intersect
from equigrad.data.alignment.psi import PsiClient, PsiServer, require_psi

__all__ = [
    "DIGEST_BYTES",
    "FOLDS",
    "KEY_BYTES",
    "PsiClient",
    "PsiServer",
    "check_common",
    "check_key",
    "check_unique",
    "digest_ids",
    "fold_id",
    "identifier_texts",
    "intersect",
    "order_by_digest",
    "require_psi",
]
