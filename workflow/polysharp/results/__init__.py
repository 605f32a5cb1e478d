"""The results of cells, and the status of every cell of a study."""
