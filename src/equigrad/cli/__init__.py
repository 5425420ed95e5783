"""The commands: one file each. They read arguments and show results; the work is done elsewhere.

:mod:`equigrad.cli.app` puts them together. Nothing here imports PyTorch before a command needs it,
so that ``equigrad --help`` answers at once.
"""

from equigrad.cli.app import app, main

__all__ = ["app", "main"]
