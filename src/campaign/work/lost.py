"""Runs that were lost with their workers, again and again, until each was alone: their records say so.

Such a run has failed, with the outcome "lost" and the last reason: later stages go on without it, `max_failures` counts
it, and `campaign retry` tries it again.
"""

from __future__ import annotations

import time

import numpy as np

from campaign.store import summaries
from campaign.store.checkpoints import discard
from campaign.store.events import EventLog
from campaign.store.failures import failure_signatures
from campaign.store.layout import BlockTask, Layout
from campaign.store.lines import Same, json_lines
from campaign.store.records import loads, read_json
from campaign.work.control import Receipt
from campaign.work.declaration import versions
from campaign.work.planned_block import load_block, time_text
from campaign.work.records import failed_columns

LOST = "lost"


def publish_lost(layout: Layout, task: BlockTask, reason: str, events: EventLog) -> Receipt:
    """Publish the records of a block whose runs are given up.

    Args:
        layout, task: which block.
        reason: how its worker was lost the last time.
        events: journal of the caller.

    Raises:
        Unavailable: the disk cannot be written.
        Damage: the plan on disk contradicts itself.
    """
    if layout.summaries(task.stage, task.part, task.block).exists():  # a worker that was thought dead
        return Receipt(task=task, state="already")
    identity = read_json(layout.identity)
    block = load_block(layout, task, identity.get("id", ""))
    n = len(block.run_ids)
    nowhere = {"host": Same(None), "device": Same(None), "started_at": Same(time_text(time.time()))}
    times = {"runtime_s": np.zeros(n), "compile_s": Same(0.0)}
    lines = list(json_lines({**block.identities(), **nowhere, **times, **failed_columns([reason] * n, LOST)}, n))
    has_folders = identity.get("layout") == summaries.DIRECTORIES
    metas = block.metas(versions()) if has_folders else None
    summaries.publish_block(layout, task.stage, task.part, task.block, lines, metas)
    discard(layout, task.stage, task.part, task.block)
    place = {"stage": task.stage, "part": task.part, "block": task.block}
    failures = failure_signatures(loads(line) for line in lines)
    numbers = {"n_ok": 0, "n_failed": n, "n_steps": 0, "seconds": 0.0, "compile_s": 0.0, "n_compiles": 0}
    events.append("block_published", **place, **numbers, worker="", outcomes={LOST: n}, failures=failures)
    return Receipt(task=task, state="published", n_failed=n)
