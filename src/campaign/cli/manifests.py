"""Errors of a manifest, all of them at once, at no cost where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from campaign.errors import ManifestError

T = TypeVar("T")


def with_all_findings(manifest: str | Path, call: Callable[[], T]) -> T:
    """The result of `call`. Where it finds the manifest invalid, the whole manifest is checked, not only one stage.

    Raises:
        ManifestError: with every finding of every stage.
    """
    try:
        return call()
    except ManifestError:
        from campaign.schedule.check import open_manifest

        open_manifest(manifest)
        raise
