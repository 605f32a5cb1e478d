"""Slurm: what it says, what does not fit, and commands that wait for it."""
