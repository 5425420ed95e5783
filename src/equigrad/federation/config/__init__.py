"""The run file: schema, presets, reading it with good error messages."""
