"""What a private training leaves for people: metrics, plots and one page, from its record alone."""

from equigrad.steward.report.story import Story, read_story
from equigrad.steward.report.write import write_report

__all__ = ["Story", "read_story", "write_report"]
