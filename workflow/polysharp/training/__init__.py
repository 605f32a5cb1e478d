"""Everything that computes the results of a cell."""
