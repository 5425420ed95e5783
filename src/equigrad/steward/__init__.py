"""The data steward: one owner's data in, a privately trained model with its proof out.

The application behind ``equigrad train`` and ``equigrad audit``: settings
(:mod:`~equigrad.steward.config`), records and groups, the play of a training
(:mod:`~equigrad.steward.run`), its record's verification and its report. What is private about it
is done in :mod:`equigrad.privacy`. Modules are imported by name, so that asking what a folder holds
costs nothing.
"""
