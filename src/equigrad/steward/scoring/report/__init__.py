"""What a scoring leaves for its owner: a summary, plots and one page, from the folder alone."""

from equigrad.steward.scoring.report.story import ScoreStory, read_score_story
from equigrad.steward.scoring.report.write import write_score_report

__all__ = ["ScoreStory", "read_score_story", "write_score_report"]
