"""The embedded example's texts: ``python -m tools.example_data`` builds them anew."""
