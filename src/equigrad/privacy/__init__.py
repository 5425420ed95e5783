"""Clipping rules, noise, accounting, privacy accounts, private training and its audits."""
