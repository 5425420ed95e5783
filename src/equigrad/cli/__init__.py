"""The commands: one file each. They read arguments and show results; the work is done elsewhere.

:mod:`equigrad.cli.commands` puts them together. Nothing here imports PyTorch before a command
needs it, so that ``equigrad --help`` answers at once.
"""

from equigrad.cli.commands import app, main

__all__ = ["app", "main"]
