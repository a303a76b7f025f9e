"""Where runs start: all parameters, as their problem and their row of the plan give them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from campaign.work.building import build_block
from campaign.work.group import Group
from campaign.work.planned_block import PlannedBlock


def starts_of(groups: Iterable[Group]) -> dict[int, dict[str, float]]:
    """Row of a run → its parameters at the start."""
    return {
        int(row): dict(zip(group.space.names, theta, strict=True))
        for group in groups
        for row, theta in zip(group.rows, np.asarray(group.batch.work.target.base).tolist(), strict=False)
    }


def start_of(block: PlannedBlock, run_id: str) -> dict[str, float]:
    """The start of one run of a block, for which its problem is built; empty where that fails."""
    one = block.only(run_id)
    return starts_of(build_block(one.recipe, one.columns, one.run_ids).groups).get(0, {})
