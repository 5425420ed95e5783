"""Vertical runs: parties with different columns of the same rows help one sponsor.

The mathematics is :mod:`equigrad.assistance`; here are run files, parties in folders of their own,
messages over a transport, the record and what is recomputed from it.
"""
