"""What commands that take a manifest share: `--set`, and all errors of a manifest at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from campaign.errors import ManifestError

T = TypeVar("T")


set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one value of the manifest, such as problem.sigma=0.2; may be repeated.",
)


def with_all_findings(manifest: str | Path, settings: Sequence[str], call: Callable[[], T]) -> T:
    """The result of `call`. Where it finds the manifest invalid, the whole manifest is checked, not only one stage.

    Raises:
        ManifestError: with every finding of every stage.
    """
    try:
        return call()
    except ManifestError:
        from campaign.schedule.check import open_manifest

        open_manifest(manifest, settings)
        raise
