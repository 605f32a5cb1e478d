"""Texts and labels: read, checked, split, stored."""
