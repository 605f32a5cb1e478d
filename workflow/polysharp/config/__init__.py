"""The configuration and the sample sheet: they define a study, and are checked before anything runs."""
