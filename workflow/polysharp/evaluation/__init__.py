"""Scores, intervals, tests and decisions, from arrays alone."""
