"""Measured frames from files. No JAX."""
