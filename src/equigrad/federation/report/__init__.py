"""Tables, plots and the report of a run, made from its record alone.

``reading`` takes the record in, ``rows``, ``flags`` and ``summary`` hold what follows from it,
``metrics``, ``plots`` and ``html`` write it down, ``compare`` sets several runs side by side.
"""

from equigrad.federation.report.write import write_report

__all__ = ["write_report"]
