"""What a run reads of other runs: from the key in its plan row to the arrays that its problem is built from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from campaign.registry import Plugin
from campaign.store.gather import gather
from campaign.store.layout import Layout
from campaign.store.members import read_members

Gathered = Mapping[str, np.ndarray]
Reader = Callable[[str], Gathered]


def reader(layout: Layout, entry: Mapping[str, Any], problem: Plugin, file: bytes | None = None) -> Reader | None:
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
    known: dict[str, Gathered] = {}

    def read(key: str) -> Gathered:
        if key not in known:
            run_ids = read_members(layout.root / where["file"] if file is None else file, key)
            known.clear()  # the runs of a block mostly share one set, and sets may be large
            known[key] = gather(layout, where["stage"], run_ids, problem.gather)
        return known[key]

    return read
