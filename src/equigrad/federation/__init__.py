"""The federation: rounds, parties, transports and the record of a run."""
