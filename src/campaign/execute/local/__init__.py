"""Blocks on this machine without a scheduler."""
