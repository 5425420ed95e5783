"""Contract suites: the tests that every strategy of a family must pass, ours and yours.

Inherit a suite in a pytest file, return your strategy from its hook, and the family's contract
is checked. Nothing that ships imports this room.
"""
