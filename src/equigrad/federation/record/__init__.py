"""The run folder: hash-chained record, checkpoints, verification."""
