"""Basics for all other packages; imports none of them."""
