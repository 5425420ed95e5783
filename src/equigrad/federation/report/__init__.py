"""Tables, plots and the report of a run, made from its record alone."""
