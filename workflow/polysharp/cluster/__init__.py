"""Slurm: queries, the doctor, the driver and its locks, and commands that wait for Slurm."""
