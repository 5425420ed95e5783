"""The run file of a market run: ``schema`` its form, ``check`` what goes together."""
