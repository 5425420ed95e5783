"""Equigrad: fair, private, collaborative machine learning over gradients.

The rooms of the house, lowest first: :mod:`equigrad.contribution` (what each party's upload was
worth), :mod:`equigrad.reward` (what each party gets back), :mod:`equigrad.fairness` (whether that
was fair), :mod:`equigrad.assistance` (parties with different columns of the same records),
:mod:`equigrad.models` and :mod:`equigrad.data` (what is trained, and on what),
:mod:`equigrad.federation` (the rounds, the parties, the record) and :mod:`equigrad.cli`.
"""

from importlib.metadata import version

from equigrad.errors import EquigradError

__all__ = ["EquigradError", "__version__"]

__version__ = version("equigrad")
