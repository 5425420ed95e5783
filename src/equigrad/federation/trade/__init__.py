"""Market rounds: a buyer's budget, sealed bids, an auction, protected gradients, payments.

Neighbours: ``messages`` says what crosses, ``config`` what a run file asks for; auctions, local
protection, aggregation and settlement are those of :mod:`equigrad.market`.
"""
