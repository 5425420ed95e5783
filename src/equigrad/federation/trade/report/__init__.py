"""What a market run leaves for people: metrics, plots and one page, from its record alone.

``story`` takes the record in, ``rows`` holds what follows from it; ``metrics``, ``plots`` and
``html`` write it down.
"""

from equigrad.federation.trade.report.story import Story, read_story
from equigrad.federation.trade.report.write import write_report

__all__ = ["Story", "read_story", "write_report"]
