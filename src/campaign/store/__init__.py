"""What is on disk, and the only way to it."""
