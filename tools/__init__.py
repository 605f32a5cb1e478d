"""What makes parts of this repository, and is not part of the library."""
