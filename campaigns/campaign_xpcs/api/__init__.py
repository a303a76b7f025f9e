"""The documented functions by name."""
