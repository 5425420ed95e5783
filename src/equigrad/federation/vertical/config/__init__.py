"""The run file of a vertical run: keys, checks, resolution."""
