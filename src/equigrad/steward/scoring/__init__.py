"""``equigrad score``: records scored, chosen and trained on under one privacy budget.

:mod:`.plan` decides the budget before anything is trained; :mod:`.run` plays the stages (the
scorer's model, scores, selection, both arms, comparison), each of which survives a crash;
:mod:`.verify` computes again what can be. What may leave the owner is in the folder's record and
models; everything made from records without noise lies in its part ``local/``, readable for its
owner only. Neighbours: the rest of :mod:`equigrad.steward`, :mod:`equigrad.valuation`.
"""
