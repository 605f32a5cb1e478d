"""What cells leave, and what is known of every cell of a study."""
