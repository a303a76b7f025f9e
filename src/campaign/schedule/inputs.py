"""The files that a problem or an engine reads, with their hashes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from campaign import data
from campaign.errors import CampaignError, Diagnostic
from campaign.manifest import options as option_models
from campaign.registry import ProblemPlugin
from campaign.schedule.places import Findings, Places
from campaign.schedule.plugins import Named, locate

Inputs = dict[str, dict[str, str]]  # name → {"path", "sha256"}


class Given(NamedTuple):
    """The files of a group.

    Attributes:
        inputs: all of them.
        named: names of those in options; a campaign keeps them. The others the problem finds itself.
    """

    inputs: Inputs
    named: frozenset[str]


def inputs(
    named: Named, options: BaseModel, folder: Path, places: Places, kind: str = "problem"
) -> tuple[Given | None, Findings]:
    """The files that the problem, or the engine, of the runs of a group reads; None when one of them is nowhere."""
    try:
        own = option_models.data_files(options)
        beside = (name for name in option_models.paths(options) if _is_beside(folder, name))
        found = locate(sorted({*own, *beside}), folder)
        finds = named.plugin.inputs if isinstance(named.plugin, ProblemPlugin) else None
        known = set(finds(options)) - found.keys() if finds is not None else set()
        return Given(found | locate(sorted(known), folder), frozenset(found)), []
    except CampaignError as error:
        return None, [Diagnostic.of(_place_of_file(kind, options, error, places), error)]


def _is_beside(folder: Path, name: str) -> bool:
    """Whether an option that is a path names a file next to the manifest."""
    try:
        return data.inside(folder, name) is not None
    except CampaignError:
        return False


def _place_of_file(kind: str, options: BaseModel, error: CampaignError, places: Places) -> str:
    """The option that names the file of an error, else the problem or engine."""
    for name, value in option_models.resolved(options).items():
        if isinstance(value, str) and value and f"`{value}`" in error.message:
            return places.of(f"{kind}.{name}")
    return places.key(kind)
