"""The configuration and the sample sheet: what a study is to be, checked before anything runs."""
