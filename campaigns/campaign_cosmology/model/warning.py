"""The one warning of the package."""

from __future__ import annotations


class CosmologyWarning(UserWarning):
    """Something about a fit that a reader of its numbers must know."""
