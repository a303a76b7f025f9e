"""What a run reads of other runs: from the key in its plan row to the arrays that its problem is built from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from campaign.errors import InvalidValue
from campaign.registry import ProblemPlugin
from campaign.store.gather import gather
from campaign.store.layout import Layout
from campaign.store.members import read_members

Gathered = Mapping[str, np.ndarray]
Reader = Callable[[str], Gathered]


def reader(
    layout: Layout, entry: Mapping[str, Any], problem: ProblemPlugin, file: bytes | None = None
) -> Reader | None:
    """Key of members → what the problem gathers of them; None where the program reads no other runs.

    Args:
        layout: of the campaign.
        entry: the program's entry in the plan header.
        problem: whose fields are gathered.
        file: content of the members file, where it is not on disk yet.
    """
    where = entry.get("gather")
    if where is None or not problem.gather:
        return None
    return partial(_gathered, layout, where["stage"], file or layout.root / where["file"], problem.gather)


def gathered(problem: ProblemPlugin, read: Reader | None, members: str | None) -> Gathered:
    """What a run's problem is built from.

    Raises:
        InvalidValue: the run does not belong to a stage with the pick "group".
    """
    if read is None or members is None:
        raise InvalidValue(
            f"the problem `{problem.name}` reads runs of an earlier stage",
            hint='run it in a campaign, with "pick": "group"',
        )
    return read(members)


@lru_cache(maxsize=1)  # the runs of a block mostly share one set, and a set may be large
def _gathered(layout: Layout, stage: str, file: Path | bytes, fields: tuple[str, ...], key: str) -> Gathered:
    return gather(layout, stage, read_members(file, key), fields)
