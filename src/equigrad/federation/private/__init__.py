"""Private training in a run: what each party agrees to release, and what it has released.

:mod:`~equigrad.federation.private.rules` makes the clipping rule that the run file names,
:mod:`~equigrad.federation.private.plan` works out every party's noise before the first round,
:mod:`~equigrad.federation.private.account` keeps a party's own account,
:mod:`~equigrad.federation.private.told` checks what a party tells with an upload, and
:mod:`~equigrad.federation.private.spending` adds up what the record says was spent. The training
itself is in :mod:`equigrad.federation.party.private`.
"""
