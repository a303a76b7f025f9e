"""Blocks that have not moved for long: which runs are at hand, and what their code was called for.

A block with people's own code, or with `timeout_s`, notes what it calls beside its checkpoint (`last_words`); that file
changes with every call, the checkpoint after chunks of steps.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from campaign.analysis.journal import Journal
from campaign.errors import CampaignError
from campaign.last_words import spoken_at, unfinished
from campaign.store import plan
from campaign.store.layout import BlockTask, Layout
from campaign.store.owner import is_writer_surely_dead

FEWEST_S, TIMES = 300.0, 5.0  # still for so long, and for so many times as long as a block usually takes
ADVICE = "with `timeout_s` in its stage a run that hangs is ended and the others go on"


def still_blocks(layout: Layout, journal: Journal) -> Iterator[str]:
    """A sentence for each block at work that has not moved for a long time. `journal` is up to date."""
    took = [float(event.get("seconds") or 0.0) for event in journal.published.values()]
    limit = max(FEWEST_S, TIMES * statistics.median(took)) if took else FEWEST_S
    for task, writer in journal.open_blocks():
        if not is_writer_surely_dead(writer) and (found := _still(layout, task, limit)) is not None:
            yield found


def any_still(layout: Layout) -> bool:
    """Whether a look at the journal could find one: a file of last words that is old."""
    now = time.time()
    files = (layout.root / "checkpoints").glob("*/*.hung")
    return any(now - (spoken_at(path) or now) > FEWEST_S for path in files)


def _still(layout: Layout, task: BlockTask, limit: float) -> str | None:
    place = (task.stage, task.part, task.block)
    try:
        words = unfinished(layout.hung(*place).read_text(errors="replace"))
        said = layout.hung(*place).stat().st_mtime
        seconds = time.time() - max(said, spoken_at(layout.checkpoint(*place)) or said)
        if not words or "rows" not in words[-1] or seconds < limit or layout.summaries(*place).exists():
            return None
        rows, run_ids = words[-1]["rows"], plan.read_block(layout, *place).column("run_id")
        first = run_ids[rows[0]].as_py()[:8]
    except (OSError, CampaignError, IndexError):
        return None
    runs = f"run {first}" if len(rows) == 1 else f"{len(rows)} runs, the first {first}"
    return f"no step for {seconds / 60:.0f} min in {runs} of stage `{task.stage}` while {words[-1]['phase']}; {ADVICE}"
