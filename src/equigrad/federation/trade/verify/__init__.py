"""Whether a market run holds: every auction cleared again, every sum and account compared.

``judge`` follows the record, ``selling``, ``worth`` and ``money`` recompute its rounds, ``ledger``
and ``accounts`` compare it with the databases beside it; ``door`` is the way in.
"""

from equigrad.federation.trade.verify.door import verify_market

__all__ = ["verify_market"]
