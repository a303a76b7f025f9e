"""What a block leaves: the records of its runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from campaign.engines.outcome import OK_OUTCOMES
from campaign.store.failures import FAILED
from campaign.store.lines import Same, json_lines, taken
from campaign.store.records import loads
from campaign.work.block import Execution
from campaign.work.declaration import versions
from campaign.work.jax_runtime import device_name, host_name
from campaign.work.planned_block import time_text

Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a block leaves.

    Attributes:
        lines: the record of each run as a line of JSON, in row order.
        metas: with layout "directories" what each run's meta.json says.
        failed: the records of the runs that failed.
        outcomes: how many runs ended how.
        n_steps: of all runs together.
    """

    lines: list[bytes]
    metas: list[Record] | None
    failed: list[Record]
    outcomes: dict[str, int]
    n_steps: int
    compile_s: float
    n_compiles: int


def records(execution: Execution) -> Done:
    """The records of all runs, in row order; the arrays that belong to them are on disk then.

    Raises:
        Unavailable: the arrays could not be written.
    """
    block = execution.block
    metas = block.metas(versions(), execution.starts) if execution.has_folders else None
    who = block.identities()
    n = len(block.run_ids)
    common = {"started_at": time_text(execution.started), "host": host_name(), "device": device_name()}
    steps = np.zeros(n, int)
    for rows, columns in execution.found:
        steps[rows] = columns["n_steps"]
    each = max(0.0, execution.seconds - execution.compile_s) / (steps.sum() + n)
    shared = {
        "runtime_s": np.round(each * (steps + 1), 9),  # a block's seconds, shared by the steps that runs took
        "compile_s": Same(round(execution.compile_s / n, 9)),
        **{name: Same(value) for name, value in common.items()},
    }
    lines: list[bytes] = [b""] * n
    outcomes: Counter[str] = Counter()
    for rows, columns in execution.found:
        own = {name: taken(column, rows) for name, column in (who | shared).items()}
        for row, line in zip(rows.tolist(), json_lines({**own, **columns}, len(rows)), strict=True):
            lines[row] = line
        outcome = columns["outcome"]
        outcomes.update({outcome.value: len(rows)} if isinstance(outcome, Same) else outcome)
    if execution.output is not None:
        execution.output.flush()
    is_clean = OK_OUTCOMES.issuperset(outcomes)
    failed = [] if is_clean else [loads(line) for line in lines if FAILED in line]
    return Done(
        lines=lines,
        metas=metas,
        failed=[record for record in failed if record["status"] == "failed"],
        outcomes=dict(outcomes),
        n_steps=int(steps.sum()),
        compile_s=execution.compile_s,
        n_compiles=execution.n_compiles,
    )
