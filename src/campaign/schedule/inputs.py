"""The files that a problem reads, with their hashes."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from campaign.errors import CampaignError
from campaign.manifest import options as option_models
from campaign.schedule.places import Findings, Places, finding
from campaign.schedule.plugins import Named, locate

Inputs = dict[str, dict[str, str]]  # name → {"path", "sha256"}


def inputs(named: Named, options: BaseModel, folder: Path, places: Places) -> tuple[Inputs | None, Findings]:
    """The files that the runs of a group read; None when one of them is nowhere."""
    try:
        names = set(option_models.data_files(options))
        if named.plugin.inputs is not None:
            names.update(named.plugin.inputs(options))
        return locate(sorted(names), folder), []
    except CampaignError as error:
        return None, [finding(_place_of_file(options, error, places), error)]


def _place_of_file(options: BaseModel, error: CampaignError, places: Places) -> str:
    """The option that names the file of an error, else the problem."""
    for name, value in option_models.resolved(options).items():
        if isinstance(value, str) and value and f"`{value}`" in error.message:
            return places.of(f"problem.{name}")
    return places.key("problem")
