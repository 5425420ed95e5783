"""What a vertical run leaves for people: metrics, plots and one page, from its record alone.

``story`` takes the record in, ``rows`` holds what follows from it, ``learned`` who learned what;
``metrics``, ``plots`` and ``html`` write it down.
"""

from equigrad.federation.vertical.report.story import Story, read_story
from equigrad.federation.vertical.report.write import write_report

__all__ = ["Story", "read_story", "write_report"]
